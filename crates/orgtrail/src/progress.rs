//! What a question has read so far, for whoever waits.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use query::Engine;
use tokio::time::Instant;

/// Nothing is said before; most answers are there by then.
const QUIET: Duration = Duration::from_secs(1);
/// How often a terminal's line changes.
const TICK: Duration = Duration::from_millis(200);
/// How often a line is written where it stays.
const LINE: Duration = Duration::from_secs(10);

/// Says on stderr what is read, for as long as it is polled.
pub(crate) async fn tell(engine: &Arc<Engine>) -> std::convert::Infallible {
    let begun = Instant::now();
    if !std::io::stderr().is_terminal() {
        loop {
            tokio::time::sleep(LINE).await;
            eprintln!("{}", line(engine, begun));
        }
    }
    tokio::time::sleep(QUIET).await;
    let bar = Cleared(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.0.set_style(style);
    }
    loop {
        bar.0.set_message(line(engine, begun));
        bar.0.tick();
        tokio::time::sleep(TICK).await;
    }
}

fn line(engine: &Engine, begun: Instant) -> String {
    let scanned = engine.scanned();
    let seconds = begun.elapsed().as_secs();
    let megabytes = scanned.bytes / 1_000_000;
    format!("{} rows and {megabytes} MB scanned, {seconds} s", scanned.rows)
}

/// Takes its line off the terminal when it is dropped.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
