//! Object paths below `trail/<name>/`. No other module forms or reads one.
//!
//! ```text
//! trail/<name>/table/log/<record, 20 digits>.json
//! trail/<name>/table/state/<record, 20 digits>-<16 hex>.json
//! trail/<name>/table/manifest/date=<date>/<record, 20 digits>-<16 hex>.json.zst
//! trail/<name>/table/settled/<intent, 20 digits>-<16 hex>.json.zst
//! trail/<name>/table/keys/<intent, 20 digits>.keys
//! trail/<name>/index/date=<date>/<record, 20 digits>-<16 hex>.parquet
//! trail/<name>/days/date=<date>/<record, 20 digits>-<16 hex>.parquet
//! trail/<name>/events/account=<12 digits>/region=<region>/date=<date>/<intent, 20 digits>-<part, 5 digits>.parquet
//! trail/<name>/fresh/<intent, 20 digits>-<part, 5 digits>.parquet
//! trail/<name>/rebuild/<record, 20 digits>/rows/<journal record, 20 digits>-<16 hex>.parquet
//! trail/<name>/rebuild/<record, 20 digits>/account=<12 digits>/region=<region>/date=<date>/<part, 5 digits>-<16 hex>.parquet
//! trail/<name>/iceberg/metadata/… (see `iceberg`)
//! trail/<name>/quarantine/date=<date>/<intent, 20 digits>.ndjson.zst
//! ```
//!
//! A data file's name follows from the intent that it belongs to, so whoever
//! finishes an intent writes the same names. The hexadecimal digits are the
//! beginning of the object's own SHA-256.

use std::sync::Arc;

use event::{AccountId, Region};
use integrity::Hash;
use jiff::civil::Date;
use object_store::path::Path;

use crate::error::TableError;
use crate::partition::Partition;

/// The one trail there is until a catalog names others.
pub const TRAIL_DEFAULT: &str = "default";

/// The paths of one trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    root: Arc<str>,
}

impl Layout {
    /// The paths of the trail called `name`.
    pub(crate) fn new(name: &str) -> Result<Self, TableError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(TableError::TrailName(name.to_owned()));
        }
        Ok(Self { root: format!("trail/{name}").into() })
    }

    /// Where the table's own records are.
    pub(crate) fn log(&self) -> Path {
        Path::from(format!("{}/table/log", self.root))
    }

    /// Where folded states are.
    pub(crate) fn states(&self) -> Path {
        Path::from(format!("{}/table/state", self.root))
    }

    /// The state that checkpoint record `number` names.
    pub(crate) fn state(&self, number: u64, hash: Hash) -> Path {
        Path::from(format!("{}/table/state/{number:020}-{}.json", self.root, short(hash)))
    }

    /// The record number in a state's path.
    pub(crate) fn state_number(path: &Path) -> Option<u64> {
        path.filename()?.strip_suffix(".json")?.split_once('-')?.0.parse().ok()
    }

    /// The list of a date's files that checkpoint record `number` names.
    pub(crate) fn manifest(&self, date: Date, number: u64, hash: Hash) -> Path {
        let root = &self.root;
        Path::from(format!(
            "{root}/table/manifest/date={date}/{number:020}-{}.json.zst",
            short(hash)
        ))
    }

    /// The list of the very many files that the settling of an intent wrote.
    pub(crate) fn settled(&self, intent: u64, hash: Hash) -> Path {
        Path::from(format!("{}/table/settled/{intent:020}-{}.json.zst", self.root, short(hash)))
    }

    /// The event keys that the pass of an intent adds.
    pub(crate) fn keys(&self, intent: u64) -> Path {
        Path::from(format!("{}/table/keys/{intent:020}.keys", self.root))
    }

    /// Where the parts of a date's index are.
    pub(crate) fn indexes(&self, date: Date) -> Path {
        Path::from(format!("{}/index/date={date}", self.root))
    }

    /// A part of a date's index that record `number` names.
    pub(crate) fn index(&self, date: Date, number: u64, hash: Hash) -> Path {
        let folder = self.indexes(date);
        Path::from(format!("{folder}/{number:020}-{}.parquet", short(hash)))
    }

    /// Where copies of a day are.
    pub(crate) fn days(&self, date: Date) -> Path {
        Path::from(format!("{}/days/date={date}", self.root))
    }

    /// The copy of a day's files that record `number` names.
    pub(crate) fn day(&self, date: Date, number: u64, hash: Hash) -> Path {
        let folder = self.days(date);
        Path::from(format!("{folder}/{number:020}-{}.parquet", short(hash)))
    }

    /// Where the data files of a partition are.
    pub(crate) fn partition(&self, partition: &Partition) -> Path {
        let Partition { account, region, date } = partition;
        let root = &self.root;
        Path::from(format!("{root}/events/account={account}/region={region}/date={date}"))
    }

    /// Data file `part` of an intent in a partition.
    pub(crate) fn partition_file(&self, partition: &Partition, intent: u64, part: u32) -> Path {
        let folder = self.partition(partition);
        Path::from(format!("{folder}/{intent:020}-{part:05}.parquet"))
    }

    /// The intent in a data file's name, or the record in that of a part of an index or
    /// of a copy.
    pub(crate) fn intent_of(path: &Path) -> Option<u64> {
        path.filename()?.strip_suffix(".parquet")?.split_once('-')?.0.parse().ok()
    }

    /// Data file `part` of an intent, of rows of any partition.
    pub(crate) fn fresh_file(&self, intent: u64, part: u32) -> Path {
        Path::from(format!("{}/fresh/{intent:020}-{part:05}.parquet", self.root))
    }

    /// What the paths of fresh files begin with.
    pub(crate) fn fresh_prefix(&self) -> String {
        format!("{}/fresh/", self.root)
    }

    /// Where Iceberg's readers find the table.
    pub(crate) fn iceberg_root(&self) -> Path {
        Path::from(format!("{}/iceberg", self.root))
    }

    /// Where its metadata is.
    pub(crate) fn iceberg(&self) -> Path {
        Path::from(format!("{}/iceberg/metadata", self.root))
    }

    /// The table's metadata as of a record of its log.
    pub(crate) fn iceberg_metadata(&self, record: u64) -> Path {
        Path::from(format!("{}/iceberg/metadata/v{record}.metadata.json", self.root))
    }

    /// Which of these is the newest.
    pub(crate) fn iceberg_hint(&self) -> Path {
        Path::from(format!("{}/iceberg/metadata/version-hint.text", self.root))
    }

    /// A manifest, or a list of manifests.
    pub(crate) fn iceberg_file(&self, name: &str, hash: Hash) -> Path {
        Path::from(format!("{}/iceberg/metadata/{name}-{}.avro", self.root, short(hash)))
    }

    /// Where rebuilds keep what they have made so far.
    pub(crate) fn rebuilds(&self) -> Path {
        Path::from(format!("{}/rebuild", self.root))
    }

    /// What the rebuild that record `number` began has made so far.
    fn rebuild(&self, number: u64) -> Path {
        Path::from(format!("{}/rebuild/{number:020}", self.root))
    }

    /// The record that began the rebuild which made an object.
    pub(crate) fn rebuild_of(path: &Path) -> Option<u64> {
        let mut parts = path.as_ref().strip_prefix("trail/")?.split('/').skip(1);
        (parts.next()? == "rebuild").then(|| parts.next()?.parse().ok()).flatten()
    }

    /// Rows of the journal up to a record that wait for their partitions.
    pub(crate) fn rebuild_rows(&self, number: u64, to: u64, hash: Hash) -> Path {
        let folder = self.rebuild(number);
        Path::from(format!("{folder}/rows/{to:020}-{}.parquet", short(hash)))
    }

    /// A data file of a partition that waits to be moved there.
    pub(crate) fn rebuild_file(
        &self,
        number: u64,
        partition: &Partition,
        part: usize,
        hash: Hash,
    ) -> Path {
        let Partition { account, region, date } = partition;
        let (folder, hash) = (self.rebuild(number), short(hash));
        Path::from(format!(
            "{folder}/account={account}/region={region}/date={date}/{part:05}-{hash}.parquet"
        ))
    }

    /// What the pass of an intent could not read as events.
    pub(crate) fn quarantine_file(&self, date: Date, intent: u64) -> Path {
        Path::from(format!("{}/quarantine/date={date}/{intent:020}.ndjson.zst", self.root))
    }

    /// Where quarantine is.
    pub(crate) fn quarantine(&self) -> Path {
        Path::from(format!("{}/quarantine", self.root))
    }

    /// The day of an object of quarantine: that of the last commit in it.
    pub(crate) fn quarantine_date(path: &Path) -> Option<Date> {
        path.as_ref().rsplit('/').nth(1)?.strip_prefix("date=")?.parse().ok()
    }

    /// What a data file's path says of it; none if it is no data file's path.
    pub(crate) fn place(path: &str) -> Option<Place> {
        let mut parts = path.strip_prefix("trail/")?.split('/').skip(1);
        let place = match parts.next()? {
            "fresh" => Place::Fresh,
            "days" => {
                parts.next()?.strip_prefix("date=")?.parse::<Date>().ok()?;
                Place::Day
            }
            "events" => Place::Partition(partition_in(&mut parts)?),
            "rebuild" => {
                parts.next()?.parse::<u64>().ok()?;
                match parts.clone().next()? {
                    "rows" => parts.next().map(|_| Place::Rebuilt)?,
                    _ => Place::Staged(partition_in(&mut parts)?),
                }
            }
            _ => return None,
        };
        let is_file = parts.next()?.ends_with(".parquet") && parts.next().is_none();
        is_file.then_some(place)
    }
}

/// Where a data file's rows belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Rows of any partition, not yet settled.
    Fresh,
    /// Rows of one day and any partition.
    Day,
    /// Rows of any partition that a rebuild has made.
    Rebuilt,
    /// Rows of this partition that a rebuild has made and not moved there.
    Staged(Partition),
    /// Rows of this partition.
    Partition(Partition),
}

fn partition_in<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Partition> {
    Some(Partition {
        account: parts.next()?.strip_prefix("account=")?.parse::<AccountId>().ok()?,
        region: parts.next()?.strip_prefix("region=")?.parse::<Region>().ok()?,
        date: parts.next()?.strip_prefix("date=")?.parse::<Date>().ok()?,
    })
}

fn short(hash: Hash) -> String {
    hash.to_string().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_files_path_says_where_its_rows_belong() {
        let layout = Layout::new("default").expect("a name");
        let partition = Partition {
            account: "000000000042".parse().expect("an account"),
            region: "eu-west-1".parse().expect("a region"),
            date: "2026-11-20".parse().expect("a date"),
        };
        let path = layout.partition_file(&partition, 7, 1);
        assert_eq!(
            path.as_ref(),
            "trail/default/events/account=000000000042/region=eu-west-1/date=2026-11-20/\
             00000000000000000007-00001.parquet"
        );
        let staged = layout.rebuild_file(9, &partition, 0, Hash([1; 32]));
        assert_eq!(Layout::place(staged.as_ref()), Some(Place::Staged(partition.clone())));
        assert_eq!(Layout::rebuild_of(&staged), Some(9));
        assert_eq!(Layout::rebuild_of(&path), None);
        let rows = layout.rebuild_rows(9, 12, Hash([1; 32]));
        assert_eq!(Layout::place(rows.as_ref()), Some(Place::Rebuilt));
        assert_eq!(Layout::place(path.as_ref()), Some(Place::Partition(partition)));
        let fresh = layout.fresh_file(7, 0);
        assert_eq!(Layout::place(fresh.as_ref()), Some(Place::Fresh));
        assert_eq!(Layout::place("trail/default/events/x.parquet"), None);
        assert_eq!(Layout::place("journal/log/1.json"), None);
    }

    #[test]
    fn a_trails_name_cannot_leave_its_folder() {
        for name in ["", "..", "a/b", "A", "a b"] {
            assert!(Layout::new(name).is_err(), "{name:?}");
        }
    }
}
