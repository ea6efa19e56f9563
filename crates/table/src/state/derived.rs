//! What is made of settled files and of nothing else: parts of indexes, and copies
//! of days.

use jiff::Timestamp;
use jiff::civil::Date;

use super::TableState;
use crate::index::IndexPart;
use crate::log::DayCommit;

impl TableState {
    pub(super) fn fold_index(
        &mut self,
        date: Date,
        added: Vec<IndexPart>,
        replaces: Vec<String>,
    ) -> Result<(), String> {
        self.check_nothing_open()?;
        for part in &added {
            if part.stretch.to > self.head || !self.dates.contains_key(&date) {
                return Err(format!("it indexes files of {date} up to record {}", part.stretch.to));
            }
            if self.retired.contains(&part.path) || self.swept.contains(&part.path) {
                return Err(format!("it names {}, which was swept", part.path));
            }
        }
        let parts = self.indexes.entry(date).or_default();
        let before = parts.len();
        parts.retain(|part| !replaces.contains(&part.path));
        if parts.len() + replaces.len() != before {
            return Err(format!("it replaces parts that the index of {date} does not have"));
        }
        self.retired.extend(replaces);
        parts.extend(added);
        Ok(())
    }

    pub(super) fn fold_day(&mut self, at: Timestamp, day: DayCommit) -> Result<(), String> {
        self.check_nothing_open()?;
        let DayCommit { date, part, replaces } = day;
        if part.stretch.to > self.head || !self.dates.contains_key(&date) {
            return Err(format!("it copies files of {date} up to record {}", part.stretch.to));
        }
        if self.is_unused(&part.file.path) {
            return Err(format!("it names {}, which was dropped", part.file.path));
        }
        let parts = self.days.entry(date).or_default();
        let before = parts.len();
        parts.retain(|part| !replaces.contains(&part.file.path));
        if parts.len() + replaces.len() != before {
            return Err(format!("it replaces parts that the copy of {date} does not have"));
        }
        if parts.iter().any(|other| other.stretch.meets(&part.stretch)) {
            return Err(format!("it copies files of {date} that another part holds"));
        }
        parts.push(part);
        self.replaced.extend(replaces.into_iter().map(|path| (path, at)));
        Ok(())
    }
}
