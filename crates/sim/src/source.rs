//! Sources of numbered records that can be read again from any place.

use std::time::Duration;

use agent::source::{Piece, Source, SourceError, Standing};
use async_trait::async_trait;
use event::set_aside::{Reason, SetAside};
use faults::Dice;
use serde_json::{Map, Value};

/// An agent's sources. Two, so that what was read again comes in another order.
pub(crate) const SOURCES: [&str; 2] = ["left", "right"];

/// Every so many records is none, and must be found in quarantine.
pub(crate) const SET_ASIDE_EVERY: u64 = 9;

/// Yields the records 1 to `count` of one agent's source.
pub(crate) struct Numbered {
    pub(crate) agent: usize,
    pub(crate) name: &'static str,
    pub(crate) count: u64,
    pub(crate) at: u64,
    pub(crate) pause_millis_max: u64,
    pub(crate) dice: Dice,
}

/// The id of the event at a place; none if what is there is no event.
pub(crate) fn event_id(agent: usize, source: &str, number: u64) -> Option<String> {
    let is_event = !number.is_multiple_of(SET_ASIDE_EVERY);
    is_event.then(|| format!("{agent}-{source}-{number}"))
}

/// The line that an agent's source holds at a place.
pub(crate) fn record(agent: usize, source: &str, number: u64) -> Vec<u8> {
    let Some(id) = event_id(agent, source, number) else {
        let mark = SetAside {
            part: 1,
            parts: Some(1),
            reason: Reason::Syntax,
            detail: String::new(),
            source: format!("{agent}/{source}"),
            position: number,
            length: 1,
            sha256: [0; 32],
            bytes: Some(vec![b'x']),
        };
        return mark.to_line();
    };
    let region = if number.is_multiple_of(2) { "eu-west-1" } else { "us-east-1" };
    format!(
        "{{\"eventVersion\":\"1.11\",\"eventTime\":\"2026-09-20T10:00:{:02}Z\",\
         \"eventSource\":\"s3.amazonaws.com\",\"eventName\":\"Get{}\",\"awsRegion\":\"{region}\",\
         \"eventID\":\"{id}\",\"recipientAccountId\":\"{:012}\"}}",
        number % 60,
        number % 3,
        111_111_111_000 + agent as u64,
    )
    .into_bytes()
}

#[async_trait]
impl Source for Numbered {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn resume(&mut self, cursor: Map<String, Value>) -> Result<(), SourceError> {
        self.at = cursor.get("at").and_then(Value::as_u64).unwrap_or(0);
        Ok(())
    }

    async fn next(&mut self, _budget_bytes: usize) -> Result<Vec<Piece>, SourceError> {
        tokio::time::sleep(Duration::from_millis(self.dice.below(self.pause_millis_max))).await;
        let mut pieces = Vec::new();
        for _ in 0..=self.dice.below(6) {
            if self.at < self.count {
                self.at += 1;
                pieces.push(Piece {
                    line: record(self.agent, self.name, self.at),
                    cursor: format!(r#"{{"at":{}}}"#, self.at),
                });
            }
        }
        Ok(pieces)
    }

    fn standing(&self) -> Standing {
        Standing { finished: self.at == self.count, ..Standing::default() }
    }
}
