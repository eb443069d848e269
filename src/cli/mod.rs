//! The command line: the only code that reads the environment, prints, or exits. Wires everything.

use std::process::ExitCode;

/// Runs the program named by the command line.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
