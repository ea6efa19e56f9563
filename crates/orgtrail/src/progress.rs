//! What work has done so far, for whoever waits.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
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

/// Waiting between two counts takes so many times as long as a count.
const COUNTING_SHARE: u32 = 100;

/// One line on stderr: of a terminal, where it changes and at last goes away, or now
/// and then a new one where lines stay.
pub(crate) struct Line {
    begun: Instant,
    bar: Option<ProgressBar>,
    said: Mutex<Instant>,
}

impl Line {
    pub(crate) fn new() -> Self {
        let begun = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { begun, bar, said: Mutex::new(begun) }
    }

    /// How often there is something to say.
    fn pace(&self) -> Duration {
        if self.bar.is_some() { TICK } else { LINE }
    }

    /// Says how far it is, and for how long.
    pub(crate) fn say(&self, text: &str) {
        let seconds = self.begun.elapsed().as_secs();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{text}, {seconds} s"));
            bar.tick();
            return;
        }
        let Ok(mut said) = self.said.lock() else { return };
        if said.elapsed() >= LINE {
            *said = Instant::now();
            eprintln!("{text}, {seconds} s");
        }
    }
}

/// Takes its line off the terminal.
impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says on stderr what a question has read, for as long as it is polled.
pub(crate) async fn tell(engine: &Arc<Engine>) -> std::convert::Infallible {
    let line = Line::new();
    tokio::time::sleep(QUIET).await;
    loop {
        let begun = Instant::now();
        let scanned = engine.scanned();
        let spent = begun.elapsed();
        let megabytes = scanned.bytes / 1_000_000;
        line.say(&format!("{} rows and {megabytes} MB scanned", scanned.rows));
        // Of very many files it takes long to count what was read: a share of the time.
        tokio::time::sleep(line.pace().max(spent * COUNTING_SHARE)).await;
    }
}
