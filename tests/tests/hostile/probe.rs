//! Somebody who only wants to deliver an event now and then, and how long that takes.

use std::time::Duration;

use tests::peer::{Peer, Sender};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::record;

/// How often it delivers.
const EVERY: Duration = Duration::from_millis(100);

/// An honest agent at work.
pub(crate) struct Probe {
    worker: JoinHandle<(Vec<Duration>, Vec<String>)>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Probe {
    /// Begins to deliver records of `account`, the first of number `first`.
    pub(crate) async fn start(peer: &Peer, account: &str, first: u64) -> Self {
        let mut sender = peer.session([0x42; 16]).await.expect("an honest session");
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let account = account.to_owned();
        #[expect(clippy::disallowed_methods, reason = "joined in `finish`")]
        let worker = tokio::spawn(async move {
            let (mut latencies, mut delivered) = (Vec::new(), Vec::new());
            while !*stopped.borrow() {
                let line = record(&account, first + delivered.len() as u64);
                let begun = Instant::now();
                deliver(&mut sender, &line).await;
                latencies.push(begun.elapsed());
                delivered.push(line);
                tokio::time::sleep(EVERY).await;
            }
            (latencies, delivered)
        });
        Self { worker, stop }
    }

    /// Ends; the time that each record took, in order of size, and the records.
    pub(crate) async fn finish(self) -> (Vec<Duration>, Vec<String>) {
        self.stop.send_replace(true);
        let (mut latencies, delivered) = self.worker.await.expect("it does not panic");
        latencies.sort();
        (latencies, delivered)
    }
}

async fn deliver(sender: &mut Sender, line: &str) {
    sender.deliver(&[line.as_bytes()]).await.expect("an honest record is acked");
}
