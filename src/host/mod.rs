//! How requests and events reach us: as a plain server, as an AWS Lambda function, or as a Tencent SCF function.
//!
//! `server` speaks HTTP/1.1; `lambda` answers gateways' events, and runs a worker's; `scf` asks Tencent's platform for
//! events; `function` is the worker as a function, and `events` reads what invokes it, whoever sends it; `figures` serves
//! Prometheus, `embedded` writes CloudWatch's lines.
//!
//! Knows the router and the worker; what an action or a task does is no affair of a host.

mod embedded;
pub mod events;
pub mod figures;
pub mod function;
pub mod lambda;
pub mod scf;
pub mod server;
