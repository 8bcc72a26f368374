//! One file per subcommand; arguments become validated values here and nowhere else.

mod check;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::CheckArgs),
}

/// Parses the process's arguments, runs the subcommand and maps its error to an exit code.
pub fn main() -> ExitCode {
    let Command::Check(arguments) = Arguments::parse().command;
    check::run(arguments).unwrap_or_else(|error| {
        eprintln!("lychgate: {error:#}");
        ExitCode::from(2)
    })
}
