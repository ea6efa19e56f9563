//! What the fuzz targets share: a disk in memory, and a place to wait.
//!
//! Each target is one public entry of a crate that takes bytes from outside, and
//! says of whatever comes that it holds its promise: not only that nothing
//! panics, but that what was read is what was written, and that reading again
//! finds the same.

mod memory;

pub use memory::MemoryDisk;

/// Runs what never waits for anything outside to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime that waits for nothing but time");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
