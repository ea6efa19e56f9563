//! What a row depends on besides its record.

use event::AccountId;
use jiff::Timestamp;

/// Where a record comes from: who delivered it, and its place in the journal.
#[derive(Clone, Copy, Debug)]
pub struct RowSource<'a> {
    /// The account of the agent that delivered the record.
    pub agent_account: AccountId,
    /// The agent's name.
    pub agent: &'a str,
    /// The one account that the agent may speak for; none: the whole organization.
    pub speaks_for: Option<AccountId>,
    /// When the record was committed to the journal.
    pub committed_at: Timestamp,
    /// The commit record's number.
    pub record: u64,
    /// The record's row in that commit record's segment.
    pub row: u64,
}
