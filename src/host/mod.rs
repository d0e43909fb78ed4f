//! How requests and events reach us: as a plain server, as an AWS Lambda function, or as a Tencent SCF function.

mod embedded;
pub mod events;
pub mod function;
pub mod lambda;
pub mod scf;
pub mod server;
