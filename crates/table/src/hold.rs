//! Legal holds: what must be kept whatever its age.

use std::time::Duration;

use event::AccountId;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::error::TableError;
use crate::log::{Body, DataFile};
use crate::table::{Table, Won};

/// How long a decision waits before it looks again whether another process is done.
const DECIDE_AGAIN: Duration = Duration::from_millis(200);

/// The longest case id, and the longest of the words that people give.
const CASE_CHARS_MAX: usize = 64;
const WORDS_CHARS_MAX: usize = 1_000;

/// What a case needs kept.
///
/// A principal's rows lie among others', and files are kept whole: so a hold of a
/// principal keeps every file of its account and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The id of the case: letters, digits, `.`, `_` and `-`.
    pub case: String,
    /// Only of this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// For people: whose events are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Only of this UTC day and later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Only of this UTC day and earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Date>,
    /// Who decided.
    pub by: String,
    /// And why.
    pub why: String,
}

/// The end of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The id of the case.
    pub case: String,
    /// Who decided.
    pub by: String,
    /// And why.
    pub why: String,
}

impl Hold {
    /// Whether the hold keeps a settled file.
    #[must_use]
    pub fn keeps(&self, file: &DataFile) -> bool {
        let Some(partition) = &file.partition else { return true };
        self.account.is_none_or(|account| account == partition.account)
            && self.from.is_none_or(|from| from <= partition.date)
            && self.to.is_none_or(|to| partition.date <= to)
    }

    pub(crate) fn check(&self) -> Result<(), TableError> {
        check_case(&self.case)?;
        let words = [Some(&self.by), Some(&self.why), self.principal.as_ref()];
        words.into_iter().flatten().try_for_each(|words| check_words(words))?;
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => {
                Err(TableError::Hold(format!("there is no day from {from} to {to}")))
            }
            _ => Ok(()),
        }
    }
}

impl Release {
    pub(crate) fn check(&self) -> Result<(), TableError> {
        check_case(&self.case)?;
        check_words(&self.by)?;
        check_words(&self.why)
    }
}

impl Table {
    /// Keeps files until the hold is released, from the next record on.
    ///
    /// # Errors
    /// There is a hold of that case already, or the record could not be added.
    pub async fn hold(&mut self, hold: Hold) -> Result<(), TableError> {
        hold.check()?;
        self.decide(|table| match table.state.holds.contains_key(&hold.case) {
            true => Err(TableError::Hold(format!("case {} has a hold already", hold.case))),
            false => Ok(Body::Hold(hold.clone())),
        })
        .await
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// There is none of that case, or the record could not be added.
    pub async fn release(&mut self, release: Release) -> Result<(), TableError> {
        release.check()?;
        self.decide(|table| match table.state.holds.contains_key(&release.case) {
            true => Ok(Body::Release(release.clone())),
            false => Err(TableError::Hold(format!("case {} has no hold", release.case))),
        })
        .await
    }

    /// Adds what a person decided, however often another process is quicker.
    async fn decide(
        &mut self,
        body: impl Fn(&Self) -> Result<Body, TableError>,
    ) -> Result<(), TableError> {
        loop {
            self.refresh().await?;
            // What another process has begun may be followed by its commit only.
            if !self.finish_open().await? {
                tokio::time::sleep(DECIDE_AGAIN).await;
                continue;
            }
            let body = body(self)?;
            if let Won::Ours(_) = self.append(&body).await? {
                return Ok(());
            }
        }
    }
}

fn check_case(case: &str) -> Result<(), TableError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=CASE_CHARS_MAX).contains(&case.len()) && case.bytes().all(plain) {
        return Ok(());
    }
    Err(TableError::Hold(format!(
        "{case:?} is no case id: 1 to {CASE_CHARS_MAX} letters, digits, '.', '_' or '-'"
    )))
}

fn check_words(words: &str) -> Result<(), TableError> {
    let count = words.trim().chars().count();
    if (1..=WORDS_CHARS_MAX).contains(&count) && !words.chars().any(char::is_control) {
        return Ok(());
    }
    Err(TableError::Hold(format!(
        "{words:?} must be 1 to {WORDS_CHARS_MAX} characters in one line"
    )))
}
