//! How requests reach us: as a plain server, or as an AWS Lambda function.

pub mod lambda;
pub mod server;
