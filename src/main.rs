//! The program: log, configuration, application, run.

use std::process::ExitCode;

use clap::Parser;
use guildhall::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
