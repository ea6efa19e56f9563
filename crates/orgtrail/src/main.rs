//! `orgtrail`: the server and every question.

use std::process::ExitCode;

fn main() -> ExitCode {
    orgtrail::main()
}
