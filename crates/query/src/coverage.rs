//! What an answer covers: the difference between "nothing" and "not read".

use event::{AccountId, AgentName};
use jiff::Timestamp;

/// What was searched, and up to where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Whether the question looked at events at all.
    pub searched: bool,
    /// The journal record that the table has reached.
    pub table_position: u64,
    /// The journal record that the answer has reached: all before are in it.
    pub journal_record: u64,
    /// When that record was made, by its writer's clock.
    pub committed_at: Option<Timestamp>,
    /// The journal goes on after that record, past the limit for its tail.
    pub truncated: bool,
    /// Why the journal cannot be read beyond that record, if it cannot.
    pub damaged: Option<String>,
    /// Units that were lost with segments of the journal; no answer has them.
    pub lost: u64,
    /// Events that gap records declare lost: they never reached the journal.
    pub gaps: u64,
    /// Rows that retention has let go; no answer has them.
    pub expired: u64,
    /// Data files that could hold a part of the answer.
    pub files: u64,
    /// Data files of the whole table.
    pub files_total: u64,
    /// Rows that came from the journal's tail.
    pub tail_rows: u64,
    /// Units in the tail whose event another row holds.
    pub tail_duplicates: u64,
    /// Units in the tail that are no events; a pass will put them in quarantine.
    pub tail_rejected: u64,
    /// Bytes of lines in the tail.
    pub tail_bytes: u64,
    /// Bytes read from data files.
    pub file_bytes: u64,
    /// How far each source says it has come, by agent and name.
    pub sources: Vec<SourceCoverage>,
    /// Accounts that have events and of which no source of any agent says how far it
    /// has come: of those nothing is known.
    pub silent: Vec<AccountId>,
}

/// How far one source of one agent says it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCoverage {
    /// The agent's account.
    pub account: AccountId,
    /// The agent.
    pub agent: AgentName,
    /// The source's name.
    pub source: String,
    /// When it was last read to its end; none if never.
    pub caught_up_at: Option<Timestamp>,
    /// How far the source itself lags behind events; none if it cannot say.
    pub known_delay_secs: Option<u64>,
    /// Events that its agent had read and the journal does not have yet.
    pub behind: u64,
}

impl Coverage {
    /// The time up to which every source says that nothing is missing; none if
    /// one cannot say, or there is none.
    #[must_use]
    pub fn complete_to(&self) -> Option<Timestamp> {
        let each = self.sources.iter().map(SourceCoverage::complete_to);
        each.collect::<Option<Vec<_>>>()?.into_iter().min()
    }
}

impl SourceCoverage {
    /// The time up to which nothing of the source is missing; none if it cannot
    /// say, or if what it has read is still on its way.
    #[must_use]
    pub fn complete_to(&self) -> Option<Timestamp> {
        if self.behind > 0 {
            return None;
        }
        let delay = i64::try_from(self.known_delay_secs?).ok()?;
        self.caught_up_at?.checked_sub(jiff::SignedDuration::from_secs(delay)).ok()
    }
}
