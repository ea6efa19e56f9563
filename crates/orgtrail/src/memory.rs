//! Bounds what the system's allocator keeps.
//!
//! glibc gives nearly every thread an arena of its own, and an arena keeps the
//! most that its threads ever used. Table passes and settling allocate on
//! whichever thread of the pool runs them, so each arena would in time keep a
//! whole pass: while a million events went through, 170 MiB were alive and
//! 440 MiB resident. With few arenas the next pass uses what the last one freed.
//!
//! # Why by starting again
//! The number of arenas is read from the environment when a process begins; the
//! other way to set it is a C call that safe Rust does not have.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Read by glibc; other allocators ignore it. What an operator set stays.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// One for the async threads' small things, one for whoever comes second.
const ARENAS_MAX: &str = "2";

/// Replaces this process by itself with few arenas, unless it has them. To be
/// called before anything was opened or started. Where that fails, the process
/// goes on as it is and uses more memory.
pub(crate) fn bound() {
    if !cfg!(target_env = "gnu") || std::env::var_os(ARENAS).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    // Comes back only if it failed.
    drop(again.args(words).env(ARENAS, ARENAS_MAX).exec());
}
