//! One file per subcommand; arguments become validated values here and nowhere else.

pub mod synth;

use std::process::ExitCode;

/// Parses the process's arguments, runs the subcommand and maps its error to an exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
