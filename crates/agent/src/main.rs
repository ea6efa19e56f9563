//! `orgtrail-agent`: reads audit events where they are and delivers them.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
