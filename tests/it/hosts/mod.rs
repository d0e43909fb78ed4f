//! Where the program runs: plain server, functions, packages, releases, and what operators are told.

pub mod clocks;
pub mod faults;
pub mod function;
pub mod lambda;
pub mod log;
pub mod operators;
pub mod package;
pub mod release_aws;
pub mod release_plain;
pub mod s3;
pub mod scf;
pub mod server;
