//! How requests and events reach us: as a plain server, as an AWS Lambda function, or as a Tencent SCF function.
//!
//! `server` speaks HTTP/1.1, `connection` to one client, over `stream`; `addresses` bounds how many one address has;
//! `shared` is what all connections have. `live` talks on sockets, which `sockets` counts; `feed` reads what is said
//! in the channels they follow, `presence` says who is online, `announcer` tells them what the game says to many,
//! `bus` tells other processes what is stored here and hears them, and `sweep` finds what no bus told; both read
//! tables as `behind` says. `lambda` answers gateways' events, which
//! `gateway` reads, and runs a worker's; `scf` asks Tencent's platform for
//! events; `function` is the worker as a function, and `events` reads what invokes it, whoever sends it. `figures`
//! serves Prometheus, `embedded` writes CloudWatch's lines; `log` says where the log goes.
//!
//! Knows the router and the worker; what an action or a task does is no affair of a host.

mod addresses;
mod announcer;
mod behind;
mod bus;
mod connection;
mod embedded;
pub mod events;
mod feed;
pub mod figures;
pub mod function;
mod gateway;
pub mod lambda;
pub mod live;
pub mod log;
mod presence;
pub mod scf;
pub mod server;
mod shared;
mod sockets;
mod stream;
pub mod sweep;
