//! Where blocking work runs.

/// Where disk access, compression and encoding run: off the async threads in
/// production, in place in a simulation, whose order of events must repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// On tokio's bounded pool of blocking threads.
    Pool,
    /// On the calling task.
    Inline,
}

impl Blocking {
    /// Runs `work` to its end and gives its result; a panic in it goes on here.
    ///
    /// Work that has begun on the pool always ends, even if this future is
    /// dropped; callers that must not lose the result poll it to its end.
    pub async fn run<R, F>(self, work: F) -> R
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        match self {
            Self::Inline => work(),
            Self::Pool => match tokio::task::spawn_blocking(work).await {
                Ok(result) => result,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    }
}
