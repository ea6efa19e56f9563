//! `orgtrail`: the server and every question.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// Passes and settling allocate on many threads; the system's allocator keeps an
// arena for each and gives little back (four times the memory on a million events).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    orgtrail::main()
}
