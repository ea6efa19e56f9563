//! Rows that are in files already and are to be marked: a later event has used their
//! eventID again.
//!
//! The commit of a pass names such rows, the folded state keeps them by partition, and
//! whoever merges the files that hold them writes the mark and says so in its own commit:
//! settling, if they were fresh, otherwise compaction, for which a file with such a row is
//! due at any size. A copy of its day is dropped with it, as with any file that is
//! replaced. With the last file of a day go the marks that were left.
//!
//! Since an intent is open until its own commit, whoever finishes it finds the same marks
//! in the state. No more than [`MARKS_MAX`] wait; rows beyond that are not marked, but by a
//! rebuild.

mod due;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use event::{AccountId, InvalidRegion};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::duplicates::mark;
use crate::keys::{Place, place_of};
use crate::partition::Partition;

/// Rows that may wait for their mark.
pub(crate) const MARKS_MAX: usize = 10_000;

/// Rows by partition, and where their lines lie in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<OfPartition>", into = "Vec<OfPartition>")]
pub(crate) struct Marks(BTreeMap<Partition, BTreeSet<Place>>);

/// How a record says it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPartition {
    account: AccountId,
    region: String,
    date: Date,
    /// Journal record and row of each.
    rows: BTreeSet<Place>,
}

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    pub(crate) fn add(&mut self, partition: Partition, place: Place) {
        self.0.entry(partition).or_default().insert(place);
    }

    /// The rows of a partition, if it has any.
    pub(crate) fn of(&self, partition: &Partition) -> Option<&BTreeSet<Place>> {
        self.0.get(partition)
    }

    /// Those of one day.
    pub(crate) fn of_date(&self, date: Date) -> Self {
        let of_date = self.0.iter().filter(|(partition, _)| partition.date == date);
        Self(of_date.map(|(partition, rows)| (partition.clone(), rows.clone())).collect())
    }

    /// Those that do not wait yet, as many as may wait beside those that do; and how many
    /// may not.
    pub(crate) fn that_fit(self, waiting: &Self, max: usize) -> (Self, usize) {
        let (mut fitting, mut left) = (Self::default(), 0);
        let mut room = max.saturating_sub(waiting.len());
        for (partition, rows) in self.0 {
            for place in rows {
                if waiting.of(&partition).is_some_and(|waiting| waiting.contains(&place)) {
                    continue;
                }
                if room == 0 {
                    left += 1;
                    continue;
                }
                room -= 1;
                fitting.add(partition.clone(), place);
            }
        }
        (fitting, left)
    }

    pub(crate) fn absorb(&mut self, others: Self) {
        for (partition, rows) in others.0 {
            self.0.entry(partition).or_default().extend(rows);
        }
    }

    /// Takes out rows that have their mark now; false if they did not wait for one.
    pub(crate) fn take_out(&mut self, marked: &Self) -> bool {
        for (partition, rows) in &marked.0 {
            let Some(waiting) = self.0.get_mut(partition) else { return false };
            if !rows.iter().all(|place| waiting.remove(place)) {
                return false;
            }
            if waiting.is_empty() {
                self.0.remove(partition);
            }
        }
        true
    }

    /// Forgets those of a day.
    pub(crate) fn forget(&mut self, date: Date) {
        self.0.retain(|partition, _| partition.date != date);
    }

    /// Marks the rows of a batch that are among these and adds them to `marked`.
    pub(crate) fn apply<'a>(
        &self,
        batch: RecordBatch,
        runs: impl Iterator<Item = (&'a Partition, std::ops::Range<usize>)>,
        marked: &mut Self,
    ) -> Result<RecordBatch, ArrowError> {
        let mut rows = BTreeSet::new();
        for (partition, range) in runs {
            let Some(waiting) = self.of(partition) else { continue };
            for row in range {
                if let Some(place) = place_of(&batch, row)?.filter(|at| waiting.contains(at)) {
                    rows.insert(row);
                    marked.add(partition.clone(), place);
                }
            }
        }
        if rows.is_empty() { Ok(batch) } else { mark(&batch, &rows) }
    }
}

impl TryFrom<Vec<OfPartition>> for Marks {
    type Error = InvalidRegion;

    fn try_from(all: Vec<OfPartition>) -> Result<Self, Self::Error> {
        let mut marks = Self::default();
        for OfPartition { account, region, date, rows } in all {
            let region = region.parse()?;
            marks.0.insert(Partition { account, region, date }, rows);
        }
        Ok(marks)
    }
}

impl From<Marks> for Vec<OfPartition> {
    fn from(marks: Marks) -> Self {
        let of_partition = |(partition, rows)| {
            let Partition { account, region, date } = partition;
            OfPartition { account, region: region.to_string(), date, rows }
        };
        marks.0.into_iter().map(of_partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(region: &str, date: &str) -> Partition {
        Partition {
            account: "111122223333".parse().expect("an account"),
            region: region.parse().expect("a region"),
            date: date.parse().expect("a date"),
        }
    }

    fn marks(all: &[(&str, &str, u64)]) -> Marks {
        let mut marks = Marks::default();
        for (region, date, row) in all {
            marks.add(partition(region, date), Place::new(5, *row).expect("a place"));
        }
        marks
    }

    #[test]
    fn marks_are_written_as_documented_and_read_back() {
        let some = marks(&[("eu-west-1", "2026-11-20", 0), ("eu-west-1", "2026-11-20", 3)]);
        let text = r#"[{"account":"111122223333","region":"eu-west-1","date":"2026-11-20","rows":[[5,0],[5,3]]}]"#;
        assert_eq!(serde_json::to_string(&some).expect("json"), text);
        assert_eq!(serde_json::from_str::<Marks>(text).expect("marks"), some);
        let past_the_bounds = text.replace("[5,3]", "[5,268435456]");
        assert!(serde_json::from_str::<Marks>(&past_the_bounds).is_err());
    }

    #[test]
    fn no_more_than_the_limit_wait() {
        let waiting = marks(&[("eu-west-1", "2026-11-20", 0)]);
        let more = marks(&[("eu-west-1", "2026-11-20", 0), ("us-east-1", "2026-11-20", 1)]);
        let new = marks(&[("us-east-1", "2026-11-20", 1)]);
        assert_eq!(more.clone().that_fit(&waiting, 2), (new, 0));
        assert_eq!(more.that_fit(&waiting, 1), (Marks::default(), 1));
    }

    #[test]
    fn only_rows_that_wait_are_taken_out() {
        let mut waiting = marks(&[("eu-west-1", "2026-11-20", 0), ("us-east-1", "2026-11-19", 1)]);
        assert!(waiting.take_out(&marks(&[("eu-west-1", "2026-11-20", 0)])));
        assert!(!waiting.clone().take_out(&marks(&[("eu-west-1", "2026-11-20", 0)])));
        assert!(!waiting.clone().take_out(&marks(&[("us-east-1", "2026-11-19", 2)])));
        waiting.forget("2026-11-19".parse().expect("a date"));
        assert!(waiting.is_empty());
    }
}
