//! Events that were seen are read again from the journal, or from their rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::{AccountId, AgentName, json};
use identity::SpeaksFor;
use integrity::{Hash, sha256};
use jiff::Timestamp;
use jiff::civil::Date;
use journal::JournalError;

use super::{Asker, DuplicateRules, KeyedRow, Search, VARIANTS_MAX, true_day};
use crate::error::TableError;
use crate::keys::{Entry, Key, Place};
use crate::partition::{DATE_UNKNOWN, Partition};
use crate::row::{Identified, RowSource, identify};

/// Lines that one search reads of each direction.
const EVENTS_MAX: usize = 1 << 20;

/// An entry of a run, and the date of that.
pub(super) type Seen = (Entry, Date);

/// Events that were read.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Sorted by key.
    pub(super) events: Vec<(Key, Event)>,
    /// Keys of those that cannot be read.
    pub(super) unread: BTreeSet<Key>,
}

/// An event that is a row, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) json: Hash,
    /// Where its row is,
    pub(super) partition: Partition,
    /// and its line.
    pub(super) place: Place,
    /// The day on which it happened; its date if that is not known.
    pub(super) day: Date,
}

/// Who delivers a stream.
type Origin = (AccountId, AgentName, SpeaksFor);

impl Search<'_> {
    /// Reads the events of these entries, which are sorted; `rows` have their keys.
    pub(super) async fn read(
        &self,
        mut seen: Vec<Seen>,
        rows: &[KeyedRow],
    ) -> Result<Events, TableError> {
        let mut read = Events::default();
        // Whether their segments are deleted yet must decide nothing.
        let has_expired = |seen: &mut Seen| seen.0.place.record() <= self.state.journal_expired;
        let expired: Vec<Seen> = seen.extract_if(.., has_expired).collect();
        match self.asker {
            Asker::Pass(_, rules) if rules >= DuplicateRules::AllMarked && !expired.is_empty() => {
                read.events = self.read_rows(expired, rows).await?;
            }
            _ => read.unread.extend(expired.iter().map(|(entry, _)| entry.key)),
        }
        let mut by_record: BTreeMap<u64, Vec<Seen>> = BTreeMap::new();
        let few = seen.chunk_by(|(one, _), (next, _)| one.key == next.key);
        for seen in few.flat_map(|same| same.iter().take(VARIANTS_MAX)).take(EVENTS_MAX) {
            by_record.entry(seen.0.place.record()).or_default().push(*seen);
        }
        let origins = Arc::new(if by_record.is_empty() { BTreeMap::new() } else { self.origins() });
        for (record, mut seen) in by_record {
            seen.sort_unstable_by_key(|(entry, _)| entry.place);
            let rows: Vec<u64> = seen.iter().map(|(entry, _)| entry.place.row()).collect();
            let origins = Arc::clone(&origins);
            let look = move |_row: u64, stream: u64, line: &[u8]| {
                Some((identified(line, record, origins.get(&stream)?)?, digest(line)?))
            };
            match self.journal.look_at(record, rows, look).await {
                Ok(found) => {
                    let found = seen.iter().zip(found);
                    let events = found.filter_map(|((entry, date), line)| {
                        let (line, json) = line?;
                        Some((entry.key, self.event(line, json, entry.place, *date)))
                    });
                    read.events.extend(events);
                }
                Err(
                    error @ (JournalError::SegmentMissing { .. }
                    | JournalError::SegmentExpired { .. }
                    | JournalError::SegmentDamaged { .. }),
                ) => {
                    tracing::warn!(
                        record,
                        error = &error as &dyn std::error::Error,
                        "events that may be duplicates of this record's cannot be compared"
                    );
                    read.unread.extend(seen.iter().map(|(entry, _)| entry.key));
                }
                Err(error) => return Err(error.into()),
            }
        }
        read.events.sort_by_key(|(key, _)| *key);
        Ok(read)
    }

    fn origins(&self) -> BTreeMap<u64, Origin> {
        let streams = self.streams.streams.iter();
        streams
            .map(|(number, stream)| {
                (*number, (stream.account, stream.agent.clone(), stream.certificate.speaks_for))
            })
            .collect()
    }

    fn event(&self, line: Identified, json: Hash, place: Place, date: Date) -> Event {
        let Identified { account, event_id, region, eventtime } = line;
        let region = self.state.regions.placed(account, region.as_ref());
        let displaced = eventtime.filter(|_| date == DATE_UNKNOWN);
        let day = displaced.and_then(true_day).unwrap_or(date);
        Event { id: event_id, json, partition: Partition { account, region, date }, place, day }
    }
}

fn identified(line: &[u8], record: u64, origin: &Origin) -> Option<Identified> {
    let (account, agent, speaks_for) = origin;
    let source = RowSource {
        agent_account: *account,
        agent: agent.as_str(),
        speaks_for: match speaks_for {
            SpeaksFor::Account(account) => Some(*account),
            SpeaksFor::Organization => None,
        },
        // Neither says anything about the account.
        committed_at: Timestamp::UNIX_EPOCH,
        record,
        row: 0,
    };
    identify(line, &source)
}

/// SHA-256 of the one text of all spellings of a record.
pub(super) fn digest(record: &[u8]) -> Option<Hash> {
    let mut text = Vec::with_capacity(record.len());
    json::canonical(record, &mut text).ok()?;
    Some(sha256(&text))
}
