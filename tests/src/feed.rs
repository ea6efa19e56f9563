//! What an account writes while it is watched: growing NDJSON files, in which a
//! line may stand half written for a while, and finished log files.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use sample::AccountEvents;

use crate::dice::Dice;

/// A file has about this many lines before the next one is begun.
const LINES_PER_FILE: u64 = 400;

/// Writes one account's records into a directory, a few at a time.
#[expect(missing_debug_implementations, reason = "what makes records says nothing to anybody")]
pub struct Feed<'a> {
    dir: PathBuf,
    events: AccountEvents<'a>,
    dice: Dice,
    at: Timestamp,
    files: u64,
    lines: u64,
    /// The end of a line whose beginning is written.
    rest: Vec<u8>,
    written: u64,
}

impl<'a> Feed<'a> {
    /// A feed into `dir`, which must be there.
    #[must_use]
    pub fn new(dir: PathBuf, events: AccountEvents<'a>, seed: u64, at: Timestamp) -> Self {
        let dice = Dice::new(seed);
        Self { dir, events, dice, at, files: 1, lines: 0, rest: Vec::new(), written: 0 }
    }

    /// How many records are begun; all of them are whole after [`Feed::finish`].
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes some records.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn step(&mut self) -> Result<()> {
        let count = 1 + self.dice.below(40);
        if self.dice.below(20) == 0 {
            return self.log_file(count);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        for _ in 0..count {
            self.record(&mut bytes);
            bytes.push(b'\n');
        }
        if self.dice.below(3) == 0 {
            let keep = bytes.len() - self.dice.index(200.min(bytes.len()));
            self.rest = bytes.split_off(keep);
        }
        self.append(&bytes)?;
        self.lines += count;
        if self.lines > LINES_PER_FILE && self.rest.is_empty() {
            self.files += 1;
            self.lines = 0;
        }
        Ok(())
    }

    /// Writes what is left of a line.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn finish(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.rest);
        self.append(&rest)
    }

    fn record(&mut self, out: &mut Vec<u8>) {
        self.at += SignedDuration::from_millis(250);
        self.events.append(self.at, out);
        self.written += 1;
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.dir.join(format!("events-{:04}.ndjson", self.files));
        let open = File::options().create(true).append(true).open(&path);
        let mut file = open.with_context(|| format!("open {}", path.display()))?;
        file.write_all(bytes).with_context(|| format!("write {}", path.display()))
    }

    /// A log file as CloudTrail delivers one: it appears whole.
    fn log_file(&mut self, count: u64) -> Result<()> {
        let mut log = b"{\"Records\":[".to_vec();
        for number in 0..count {
            if number > 0 {
                log.push(b',');
            }
            self.record(&mut log);
        }
        log.extend_from_slice(b"]}");
        let name = format!("log-{:08}.json.gz", self.written);
        let beside = beside(&self.dir, &name)?;
        let mut packed = GzEncoder::new(
            File::create(&beside).context("create a log file")?,
            Compression::fast(),
        );
        packed.write_all(&log).context("write a log file")?;
        packed.finish().context("finish a log file")?;
        fs::rename(&beside, self.dir.join(&name)).context("deliver a log file")
    }
}

/// A path on the same file system that nobody watches.
fn beside(dir: &Path, name: &str) -> Result<PathBuf> {
    let above = dir.parent().and_then(Path::parent).context("a feed lies two deep")?;
    Ok(above.join(name))
}
