//! What an operator may turn, and what the code may trust.

use serde::Deserialize;

/// `[aggregator]` as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where agents connect.
    pub listen: String,
    /// Bytes that credits and uncommitted batches may occupy together.
    pub buffer_bytes: u64,
    /// Commit when the oldest buffered batch has waited this long; three times as long
    /// while less than 2 MiB of events wait.
    pub flush_age_millis: u64,
    /// Commit when this many inflated bytes wait.
    pub flush_bytes: u64,
    /// Agents connected at once; further ones are refused with that reason.
    pub sessions_max: usize,
    /// On shutdown, how long sessions and commits may take to finish.
    pub drain_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:4317".to_owned(),
            buffer_bytes: 64 * 1024 * 1024,
            flush_age_millis: 2_000,
            flush_bytes: 16 * 1024 * 1024,
            sessions_max: 4_096,
            drain_secs: 20,
        }
    }
}

/// Two settings that cannot both hold, or one out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A number is out of its range.
    #[error("aggregator.{key} is {value}; it must be from {least} to {most}")]
    Range {
        /// The setting.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// The buffer cannot give every agent a credit.
    #[error(
        "aggregator.buffer_bytes ({buffer}) must be at least {BYTES_PER_SESSION_MIN} for each of \
         aggregator.sessions_max ({sessions})"
    )]
    Share {
        /// `buffer_bytes`
        buffer: u64,
        /// `sessions_max`
        sessions: u64,
    },
}

/// What the buffer must have for every session, so that each can be given credit.
const BYTES_PER_SESSION_MIN: u64 = 2048;

impl Config {
    /// Checks that the settings make sense together.
    ///
    /// # Errors
    /// The first setting that does not, with the range that would.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        const MIB: u64 = 1024 * 1024;
        let ranges = [
            ("buffer_bytes", self.buffer_bytes, 16 * MIB, 4_095 * MIB),
            ("flush_age_millis", self.flush_age_millis, 10, 60_000),
            ("flush_bytes", self.flush_bytes, 64 * 1024, 64 * MIB),
            ("sessions_max", self.sessions_max as u64, 1, 100_000),
            ("drain_secs", self.drain_secs, 0, 3_600),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(InvalidConfig::Range { key, value, least, most });
            }
        }
        let (buffer, sessions) = (self.buffer_bytes, self.sessions_max as u64);
        if buffer / BYTES_PER_SESSION_MIN < sessions {
            return Err(InvalidConfig::Share { buffer, sessions });
        }
        Ok(())
    }
}
