//! The `lychgate` program: parses its arguments, calls [`lychgate::cli`], maps errors to exit codes.

use std::process::ExitCode;

fn main() -> ExitCode {
    lychgate::cli::main()
}
