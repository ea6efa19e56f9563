//! Lines of the journal become rows, batch by batch.
//!
//! A line is scanned once before anything is appended, so a line that is no
//! record leaves no trace. The batch's order is the order of the lines.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch};
use event::AccountId;
use event::json::{
    Fault, Members, SyntaxError, key_is, members, skip_blank, string_contents, unescape,
};
use event::record::SET_ASIDE_MEMBER;
use event::set_aside::{Reason, SetAside};

use super::RowSource;
use super::columns::{Column, TextColumn, append_members, time_of};
use super::notes::Notes;
use super::object::Found;
use crate::partition::{Anomalies, Claim, Claims, Partition, Regions, place};
use crate::schema::{
    MemberOf, RECORD, RECORD_MEMBERS_MAX, STRUCT_MEMBERS_MAX, USER_IDENTITY, schema,
};

/// The members of a record.
type Record<'a> = Found<'a, RECORD_MEMBERS_MAX>;

/// A batch of rows should be finished when it has so many: larger ones are slower.
pub const BATCH_ROWS_MAX: usize = 8_192;

/// What a row takes besides its text: offsets, validity, fixed columns.
const ROW_FIXED_BYTES: usize = 400;

/// Why a line is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineReason {
    /// It is no record: whoever read the source set it aside for this reason,
    /// or it should have been.
    NoRecord(Reason),
    /// It is of an account that its agent's certificate does not speak for.
    AccountNotCovered,
}

impl QuarantineReason {
    /// The reason as one stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRecord(reason) => reason.as_str(),
            Self::AccountNotCovered => "account_not_covered",
        }
    }
}

/// A line that goes to quarantine instead of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why, in one word.
    pub reason: QuarantineReason,
    /// Why, for a person; may be empty.
    pub detail: String,
}

/// Turns lines of the journal into rows, batch by batch.
#[derive(Debug)]
pub struct RowBuilder {
    columns: Vec<Column>,
    unmapped: TextColumn,
    nulls: TextColumn,
    anomalies: TextColumn,
    agent: TextColumn,
    journal_record: Int64Builder,
    journal_row: Int64Builder,
    notes: Notes,
    agent_text: AgentText,
    rows: usize,
    bytes: usize,
}

impl Default for RowBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl RowBuilder {
    /// A builder without rows; it is meant to be used for batch after batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            columns: RECORD.iter().map(|member| Column::new(&member.shape)).collect(),
            unmapped: TextColumn::default(),
            nulls: TextColumn::default(),
            anomalies: TextColumn::default(),
            agent: TextColumn::default(),
            journal_record: Int64Builder::new(),
            journal_row: Int64Builder::new(),
            notes: Notes::default(),
            agent_text: AgentText::default(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds the record that `line` is (without its line feed), or says why it is none.
    ///
    /// # Errors
    /// The line belongs into quarantine. Then nothing was added, nor any region shown.
    pub fn push(
        &mut self,
        line: &[u8],
        source: &RowSource<'_>,
        regions: &mut Regions,
    ) -> Result<Partition, Rejected> {
        let found = scan(line)?;
        let (partition, anomalies) =
            place(&claims(&found), source, regions).map_err(|account| Rejected {
                reason: QuarantineReason::AccountNotCovered,
                detail: account.to_string(),
            })?;
        self.append(&found, anomalies, source);
        self.rows += 1;
        self.bytes += line.len() + ROW_FIXED_BYTES;
        Ok(partition)
    }

    /// The number of rows since the last `finish`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// About how many bytes of memory these rows take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the rows so far, with the columns of a partition file.
    #[must_use]
    pub fn finish(&mut self) -> RecordBatch {
        self.rows = 0;
        self.bytes = 0;
        let mut columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        for text in [&mut self.unmapped, &mut self.nulls, &mut self.anomalies, &mut self.agent] {
            columns.push(Arc::new(text.finish()));
        }
        for number in [&mut self.journal_record, &mut self.journal_row] {
            columns.push(Arc::new(number.finish()));
        }
        RecordBatch::try_new(schema(), columns).expect("every column got one value for each row")
    }

    fn append(&mut self, found: &Record<'_>, anomalies: Anomalies, source: &RowSource<'_>) {
        self.notes.clear();
        append_members(RECORD, &mut self.columns, found, &mut self.notes);
        self.nulls.append_option(self.notes.nulls_text().map(str::as_bytes));
        self.unmapped.append_option(self.notes.unmapped_text());
        self.anomalies.append_option(anomalies.text().as_deref().map(str::as_bytes));
        self.agent.append(self.agent_text.of(source));
        self.journal_record.append_value(journal_number(source.record));
        self.journal_row.append_value(journal_number(source.row));
    }
}

/// `<account>/<name>` of an agent, kept because its rows mostly come together.
#[derive(Debug, Default)]
struct AgentText {
    account: Option<AccountId>,
    text: String,
}

impl AgentText {
    fn of(&mut self, source: &RowSource<'_>) -> &[u8] {
        let is_same = self.account == Some(source.agent_account)
            && self.text.split_once('/').is_some_and(|(_, agent)| agent == source.agent);
        if !is_same {
            self.account = Some(source.agent_account);
            self.text = format!("{}/{}", source.agent_account, source.agent);
        }
        self.text.as_bytes()
    }
}

/// Journal positions are counted one by one; none ever passes 63 bits.
fn journal_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads the line's members, if it is a record.
fn scan(line: &[u8]) -> Result<Record<'_>, Rejected> {
    let (found, walk) = members(line)
        .and_then(|walk| Record::scan(RECORD, walk))
        .map_err(|error| unreadable(line, error))?;
    let end = skip_blank(line, walk.position());
    if end < line.len() {
        return Err(unreadable(line, SyntaxError { at: end, what: Fault::Byte }));
    }
    if found.others.iter().any(|(key, _)| key_is(key, SET_ASIDE_MEMBER)) {
        return Err(match SetAside::parse(line) {
            Some(aside) => no_record(aside.reason, aside.detail),
            None => no_record(Reason::AmbiguousMark, "has a member orgtrail_set_aside".to_owned()),
        });
    }
    let is_string = |member: MemberOf| {
        found.value(member.index()).is_some_and(|value| value.starts_with(b"\""))
    };
    let is_record = is_string(MemberOf::EVENT_VERSION)
        || (is_string(MemberOf::EVENT_NAME) && is_string(MemberOf::EVENT_SOURCE));
    if !is_record {
        return Err(no_record(
            Reason::NotAnEvent,
            "has neither an eventVersion nor an eventName and an eventSource".to_owned(),
        ));
    }
    Ok(found)
}

fn no_record(reason: Reason, detail: String) -> Rejected {
    Rejected { reason: QuarantineReason::NoRecord(reason), detail }
}

fn unreadable(line: &[u8], error: SyntaxError) -> Rejected {
    let is_other_value =
        Members::starting(line, 0).is_err() && event::record::classify(line).is_ok();
    let reason = match error.what {
        _ if is_other_value => Reason::NotAnEvent,
        Fault::Utf8 => Reason::InvalidUtf8,
        Fault::Depth => Reason::TooDeep,
        Fault::End => Reason::Truncated,
        _ => Reason::Syntax,
    };
    no_record(reason, error.to_string())
}

/// What the record says about where it belongs.
fn claims<'a>(found: &Record<'a>) -> Claims<'a> {
    let member = |member: MemberOf| claim(found.value(member.index()));
    Claims {
        recipient: member(MemberOf::RECIPIENT_ACCOUNT_ID),
        identity: identity_account(found),
        region: member(MemberOf::AWS_REGION),
        eventtime: found.value(MemberOf::EVENT_TIME.index()).and_then(time_of),
    }
}

/// `userIdentity.accountId`, which counts only where `recipientAccountId` is absent.
fn identity_account<'a>(found: &Record<'a>) -> Claim<'a> {
    if !matches!(claim(found.value(MemberOf::RECIPIENT_ACCOUNT_ID.index())), Claim::Absent) {
        return Claim::Absent;
    }
    let identity = found.value(MemberOf::USER_IDENTITY.index());
    let Some(Ok(walk)) = identity.map(|raw| Members::starting(raw, 0)) else {
        return Claim::Absent;
    };
    let Ok((identity, _)) = Found::<STRUCT_MEMBERS_MAX>::scan(USER_IDENTITY, walk) else {
        return Claim::Absent;
    };
    let index = USER_IDENTITY.iter().position(|member| member.key == "accountId");
    claim(index.and_then(|index| identity.value(index)))
}

fn claim(raw: Option<&[u8]>) -> Claim<'_> {
    match raw {
        None | Some(b"null") => Claim::Absent,
        Some(raw) => match string_contents(raw).map(unescape) {
            Some(Ok(text)) => Claim::Text(text),
            _ => Claim::Other,
        },
    }
}
