//! A source of numbered records that can be read again from any place.

use std::time::Duration;

use agent::source::{Piece, Source, SourceError, Standing};
use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::dice::Dice;

/// Yields the records 1 to `count` of one agent.
pub(crate) struct Numbered {
    pub(crate) agent: usize,
    pub(crate) count: u64,
    pub(crate) at: u64,
    pub(crate) dice: Dice,
}

/// The record that an agent's source holds at a place.
pub(crate) fn record(agent: usize, number: u64) -> String {
    format!(r#"{{"eventVersion":"1.11","agent":{agent},"number":{number}}}"#)
}

#[async_trait]
impl Source for Numbered {
    fn name(&self) -> &'static str {
        "numbered"
    }

    async fn resume(&mut self, cursor: Map<String, Value>) -> Result<(), SourceError> {
        self.at = cursor.get("at").and_then(Value::as_u64).unwrap_or(0);
        Ok(())
    }

    async fn next(&mut self, _budget_bytes: usize) -> Result<Vec<Piece>, SourceError> {
        tokio::time::sleep(Duration::from_millis(self.dice.below(400))).await;
        let mut pieces = Vec::new();
        for _ in 0..=self.dice.below(6) {
            if self.at < self.count {
                self.at += 1;
                pieces.push(Piece {
                    line: record(self.agent, self.at).into_bytes(),
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
