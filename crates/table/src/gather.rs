//! From the journal to rows in memory: the part of a pass that writes nothing.
//!
//! Every line becomes a row or a line of quarantine, in the order of the
//! journal. What comes out depends on the journal, on the folded table state
//! and on nothing else, so another process gathers the same.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use event::set_aside;
use identity::SpeaksFor;
use jiff::Timestamp;
use journal::{Delivered, DeliveredBatch, SegmentDamage};

use crate::duplicates::{Found, KeyedRow, add_keyed, by_batch, mark};
use crate::error::TableError;
use crate::files::RowAt;
use crate::keys::NewKeys;
use crate::log::{Counts, DamagedSegment, LostBatch};
use crate::marks::Marks;
use crate::partition::{Partition, Regions};
use crate::quarantine::Quarantine;
use crate::row::{BATCH_ROWS_MAX, RowBuilder, RowSource};

/// Rows in the order of the journal, and whose they are.
#[derive(Default)]
pub(crate) struct Placed {
    /// The rows, as records say them, and the partition of each by its place in
    /// `partitions`.
    pub(crate) batches: Vec<(RecordBatch, Vec<u32>)>,
    /// Partitions in the order of their first row.
    pub(crate) partitions: Vec<Partition>,
    /// The rows that are left out, because another one holds their event.
    pub(crate) duplicates: BTreeSet<RowAt>,
}

impl Placed {
    /// The number of rows that are not left out.
    pub(crate) fn rows(&self) -> u64 {
        let all: usize = self.batches.iter().map(|(batch, _)| batch.num_rows()).sum();
        (all - self.duplicates.len()) as u64
    }

    /// How many rows each partition has, those that are left out included.
    pub(crate) fn rows_of_each(&self) -> Vec<u64> {
        let mut rows = vec![0; self.partitions.len()];
        for place in self.batches.iter().flat_map(|(_, places)| places) {
            if let Some(rows) = rows.get_mut(*place as usize) {
                *rows += 1;
            }
        }
        rows
    }
}

/// The rows of a range of the journal, not yet sorted.
pub(crate) struct Gathered {
    builder: RowBuilder,
    /// The partition of each row in the builder, as in `placed`.
    pending: Vec<u32>,
    /// Finished rows.
    pub(crate) placed: Placed,
    places: BTreeMap<Partition, u32>,
    /// What is no row.
    pub(crate) quarantine: Quarantine,
    /// The regions that accounts have shown, these rows included.
    pub(crate) regions: Regions,
    /// The rows that have an eventID.
    pub(crate) keyed: Vec<KeyedRow>,
    journaled: u64,
    /// Bytes of lines taken.
    pub(crate) line_bytes: u64,
    /// Of the record that had most.
    record_bytes_max: u64,
    /// When the last record was committed.
    pub(crate) committed_at: Timestamp,
    /// Segments of which something is lost.
    pub(crate) damaged: Vec<DamagedSegment>,
}

impl Gathered {
    /// No rows yet; accounts have shown these regions.
    pub(crate) fn new(regions: Regions) -> Self {
        Self {
            builder: RowBuilder::new(),
            pending: Vec::new(),
            placed: Placed::default(),
            places: BTreeMap::new(),
            quarantine: Quarantine::new(),
            regions,
            keyed: Vec::new(),
            journaled: 0,
            line_bytes: 0,
            record_bytes_max: 0,
            committed_at: Timestamp::UNIX_EPOCH,
            damaged: Vec::new(),
        }
    }

    /// Adds one journal record's lines.
    pub(crate) fn add(&mut self, delivered: &Delivered) -> Result<(), TableError> {
        self.committed_at = delivered.committed_at;
        let before = self.line_bytes;
        for batch in delivered.batches.iter().filter(|batch| !batch.lost) {
            self.add_batch(delivered, batch)?;
        }
        self.record_bytes_max = self.record_bytes_max.max(self.line_bytes - before);
        if let Some(damaged) = damaged(delivered) {
            let added = self.quarantine.add_lost(&damaged);
            added.map_err(|error| TableError::Encode(error.to_string()))?;
            self.journaled += damaged.lost.iter().map(|batch| batch.units).sum::<u64>();
            self.damaged.push(damaged);
        }
        Ok(())
    }

    fn add_batch(
        &mut self,
        delivered: &Delivered,
        batch: &DeliveredBatch,
    ) -> Result<(), TableError> {
        let mut source = RowSource {
            agent_account: batch.origin.account,
            agent: batch.origin.agent.as_str(),
            speaks_for: match batch.origin.speaks_for {
                SpeaksFor::Account(account) => Some(account),
                SpeaksFor::Organization => None,
            },
            committed_at: delivered.committed_at,
            record: delivered.record,
            row: batch.first_row,
        };
        let mut rest: &[u8] = &batch.lines;
        while !rest.is_empty() {
            let line = next_line(&mut rest);
            self.add_line(line, &source)?;
            source.row += 1;
        }
        self.line_bytes += batch.lines.len() as u64;
        self.journaled += batch.units;
        Ok(())
    }

    fn add_line(&mut self, line: &[u8], source: &RowSource<'_>) -> Result<(), TableError> {
        match self.builder.push(line, source, &mut self.regions) {
            Ok(partition) => {
                // A continuation is no unit, so it must not become a row.
                debug_assert!(!set_aside::is_continuation(line), "a mark is no record");
                let place = self.place(partition);
                self.pending.push(place);
                if self.builder.len() >= BATCH_ROWS_MAX {
                    self.finish_batch()?;
                }
            }
            Err(rejected) => self
                .quarantine
                .add(line, &rejected, source)
                .map_err(|error| TableError::Encode(error.to_string()))?,
        }
        Ok(())
    }

    fn place(&mut self, partition: Partition) -> u32 {
        if let Some(place) = self.places.get(&partition) {
            return *place;
        }
        let place =
            u32::try_from(self.placed.partitions.len()).expect("a pass has fewer rows than 2^32");
        self.placed.partitions.push(partition.clone());
        self.places.insert(partition, place);
        place
    }

    fn finish_batch(&mut self) -> Result<(), TableError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (batch, places) = (self.builder.finish_records(), std::mem::take(&mut self.pending));
        let mut start = 0;
        let runs = places.chunk_by(|one, next| one == next).filter_map(|run| {
            let range = start..start + run.len();
            start = range.end;
            Some((self.placed.partitions.get(*run.first()? as usize)?, range))
        });
        add_keyed(self.placed.batches.len(), &batch, runs, &mut self.keyed)
            .map_err(|error| TableError::Encode(error.to_string()))?;
        self.placed.batches.push((batch, places));
        Ok(())
    }

    /// Ends the last batch of rows.
    pub(crate) fn finish(&mut self) -> Result<(), TableError> {
        self.finish_batch()
    }

    /// Takes in what was found about the rows.
    pub(crate) fn judge(&mut self, found: Found) -> Result<(NewKeys, Marks), TableError> {
        let Found { duplicates, reused, reused_earlier, new_keys } = found;
        for (index, rows) in by_batch(&reused) {
            if let Some((batch, _)) = self.placed.batches.get_mut(index) {
                *batch =
                    mark(batch, &rows).map_err(|error| TableError::Encode(error.to_string()))?;
            }
        }
        self.placed.duplicates = duplicates;
        Ok((new_keys, reused_earlier))
    }

    /// What became of every unit.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            journaled: self.journaled,
            rows: self.placed.rows(),
            quarantined: self.quarantine.units(),
            duplicates: self.placed.duplicates.len() as u64,
            unselected: 0,
        }
    }

    /// Whether another record as large as any so far fits into so many bytes of lines;
    /// the first one always does.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.line_bytes == 0 || self.line_bytes + self.record_bytes_max <= bytes
    }

    /// Whether there was no line at all, nor a lost one.
    pub(crate) fn is_empty(&self) -> bool {
        self.line_bytes == 0 && self.damaged.is_empty()
    }
}

/// What is lost of a record's segment, if anything is.
fn damaged(delivered: &Delivered) -> Option<DamagedSegment> {
    let damage = delivered.damage.as_ref()?;
    let lost: Vec<LostBatch> = delivered
        .batches
        .iter()
        .filter(|batch| batch.lost)
        .map(|batch| LostBatch {
            account: batch.origin.account,
            agent: batch.origin.agent.clone(),
            spool: batch.origin.spool,
            first: batch.first_sequence,
            last: batch.first_sequence + batch.line_count.saturating_sub(1),
            units: batch.units,
            row: batch.first_row,
        })
        .collect();
    (!lost.is_empty()).then(|| DamagedSegment {
        record: delivered.record,
        segment: damage.path.clone(),
        missing: damage.missing,
        expired: damage.expired,
        lost,
    })
}

/// Makes a record's events what an intent pinned them to be: what was lost then
/// stays lost, though the bytes may be back. An error names what was lost since;
/// all else is as pinned then too.
pub(crate) fn pin(
    delivered: &mut Delivered,
    pinned: &[DamagedSegment],
) -> Result<(), SegmentDamage> {
    let pin = pinned.iter().find(|damaged| damaged.record == delivered.record);
    let is_pinned = |row: u64| pin.is_some_and(|pin| pin.lost.iter().any(|lost| lost.row == row));
    let mut lost_since = false;
    for batch in &mut delivered.batches {
        match (batch.lost, is_pinned(batch.first_row)) {
            (true, false) => lost_since = true,
            (false, true) => {
                batch.lost = true;
                batch.lines = bytes::Bytes::new();
            }
            _ => {}
        }
    }
    if lost_since {
        return Err(delivered.damage.clone().unwrap_or_else(|| SegmentDamage {
            path: String::new(),
            missing: true,
            expired: false,
            what: "its lines are lost".to_owned(),
        }));
    }
    delivered.damage = pin.map(|pin| SegmentDamage {
        path: pin.segment.clone(),
        missing: pin.missing,
        expired: pin.expired,
        what: String::new(),
    });
    Ok(())
}

/// Takes the next line off `rest`, without its line feed.
fn next_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let whole = *rest;
    let (line, after) = match memchr::memchr(b'\n', whole) {
        Some(at) => (whole.get(..at), whole.get(at + 1..)),
        None => (None, None),
    };
    *rest = after.unwrap_or_default();
    line.unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_off_one_by_one() {
        let mut rest: &[u8] = b"a\n\nbc\nd";
        let mut lines = Vec::new();
        while !rest.is_empty() {
            lines.push(next_line(&mut rest));
        }
        assert_eq!(lines, [b"a".as_slice(), b"", b"bc", b"d"]);
    }

    #[test]
    fn a_pass_ends_before_a_record_that_might_not_fit() {
        let mut rows = Gathered::new(Regions::default());
        assert!(rows.has_room(0), "the first record is always read");
        (rows.line_bytes, rows.record_bytes_max) = (48, 16);
        assert!(rows.has_room(64));
        assert!(!rows.has_room(63));
    }
}
