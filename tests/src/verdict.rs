//! What became of everything that was written: the judgement on a fleet's store.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::oracle::compare;

/// The judgement; content if there are no problems.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Records that the generator wrote.
    pub written: u64,
    /// Of these, not in the table.
    pub lost: u64,
    /// Of these, more often in the table than written.
    pub duplicated: u64,
    /// Whether the sums of `orgtrail status` close.
    pub closes: bool,
    /// Whatever is not as promised, in sentences.
    pub problems: Vec<String>,
    /// What the independent checker found.
    pub found: Value,
}

impl Verdict {
    /// Judges a store whose processes have ended well. `store` is the directory
    /// where its objects are, or a copy of them.
    ///
    /// # Errors
    /// If somebody who has to be asked cannot answer.
    pub fn of(fleet: &Fleet, store: &Path, written: u64) -> Result<Self> {
        let status = fleet.status()?;
        let found = compare(store, &fleet.feeds(), &status)?;
        let mut verdict = Self { written, ..Self::default() };
        let told = |name| number(&status, name).with_context(|| format!("no {name} in {status:#}"));
        let sum = told("rows")? + told("quarantined")? + told("duplicates")? + told("unselected")?;
        verdict.closes = status.get("closes").and_then(Value::as_bool) == Some(true)
            && told("journaled")? == sum
            && told("waiting")? == 0;
        let mut must = |holds: bool, what: &str| {
            if !holds {
                verdict.problems.push(format!("{what}: {status}"));
            }
        };
        must(verdict.closes, "status does not close");
        must(told("gaps")? == 0 && told("lost")? == 0, "something was given up as lost");
        must(told("journaled")? == written, &format!("{written} records were written"));
        must(number(&found, "rows") == Some(written), &format!("not {written} rows"));
        verdict.lost = number(&found, "lost").unwrap_or(0);
        verdict.duplicated = number(&found, "duplicated").unwrap_or(0);
        let complaints = found.get("problems").and_then(Value::as_array).into_iter().flatten();
        verdict.problems.extend(complaints.map(ToString::to_string));
        verdict.found = found;
        Ok(verdict)
    }

    /// As a part of a report.
    #[must_use]
    pub fn report(&self) -> Value {
        json!({
            "records": self.written,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "status_closes": self.closes,
        })
    }
}

/// A number by its name, wherever it stands.
#[must_use]
pub fn number(value: &Value, name: &str) -> Option<u64> {
    match value {
        Value::Object(members) => members
            .get(name)
            .and_then(Value::as_u64)
            .or_else(|| members.values().find_map(|member| number(member, name))),
        _ => None,
    }
}
