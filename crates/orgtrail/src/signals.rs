//! What asks the process to stop.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Interrupted;

/// The signals that end work.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Listens from now on; the signals no longer end the process by themselves.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            int: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
        })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) -> Interrupted {
        tokio::select! {
            biased;
            _ = self.term.recv() => Interrupted::Term,
            _ = self.int.recv() => Interrupted::Int,
        }
    }
}
