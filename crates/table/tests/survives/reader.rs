//! A reader of a world's store that believes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use store::Store;
use table::decode::Footer;
use table::{DataFile, Filter, TRAIL_DEFAULT, TableSnapshot};

use crate::world::World;

impl World {
    /// Where each settled row's line lies in the journal, and its anomalies.
    pub(crate) async fn places(&self) -> Vec<((u64, u64), String)> {
        self.places_in(&self.parquet("events").await).await
    }

    /// The same of these files.
    pub(crate) async fn places_in(&self, paths: &[Path]) -> Vec<((u64, u64), String)> {
        let mut places = Vec::new();
        for path in paths {
            for batch in self.batches(path).await {
                let number = |name: &str, row: usize| {
                    let column = batch.column_by_name(name).expect("a column");
                    let value = column.as_primitive::<arrow::datatypes::Int64Type>().value(row);
                    u64::try_from(value).expect("not negative")
                };
                let anomalies = batch.column_by_name("anomalies").expect("a column");
                for row in 0..batch.num_rows() {
                    let place = (number("orgtrail_record", row), number("orgtrail_row", row));
                    places.push((place, anomalies.as_string::<i32>().value(row).to_owned()));
                }
            }
        }
        places
    }

    /// Every row of the table with all its columns, as JSON, and its partition.
    pub(crate) async fn contents(&self) -> BTreeSet<String> {
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
        let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
        let mut rows = BTreeSet::new();
        for file in files {
            for batch in self.batches(&Path::from(file.path.as_str())).await {
                let mut lines = Vec::new();
                let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
                writer.write(&batch).expect("json");
                writer.finish().expect("json");
                let lines = String::from_utf8(lines).expect("text");
                for line in lines.lines() {
                    let row = format!("{:?} {line}", file.partition);
                    assert!(rows.insert(row.clone()), "{row} is twice");
                }
            }
        }
        rows
    }

    /// What a snapshot's files hold is what the journal holds up to its position.
    pub(crate) async fn check_snapshot(&self) -> TableSnapshot {
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
        let mut seen = BTreeMap::new();
        let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
        for file in &files {
            let rows = self.rows(&Path::from(file.path.as_str())).await;
            assert_eq!(rows.len() as u64, file.rows, "{}", file.path);
            for (id, folder) in rows {
                assert!(seen.insert(id.clone(), folder).is_none(), "{id} is twice in the snapshot");
            }
        }
        let expected: BTreeMap<String, String> = self
            .expected
            .iter()
            .filter(|(_, (_, record))| *record <= snapshot.position())
            .map(|(id, (folder, _))| (id.clone(), folder.clone()))
            .collect();
        assert_eq!(seen, expected, "rows up to record {}", snapshot.position());
        let totals = snapshot.totals();
        assert!(totals.counts.close());
        assert_eq!(totals.counts.rows, expected.len() as u64);
        assert_eq!(totals.counts.quarantined, totals.reasons.values().sum::<u64>());
        assert_eq!(totals.files, files.len() as u64);
        assert_eq!(totals.bytes, files.iter().map(|file| file.bytes).sum::<u64>());
        snapshot
    }

    /// A copy of a day holds exactly the rows of the files that it covers, all of which
    /// are there, and no file is in two. Gives how many copies there are.
    pub(crate) async fn check_copies(&self) -> usize {
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
        let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
        let mut copies = 0;
        for date in snapshot.dates() {
            let of_date = |file: &&DataFile| {
                file.partition.as_ref().is_some_and(|partition| partition.date == date)
            };
            let mut covered = BTreeSet::new();
            for part in snapshot.copies_of(date) {
                copies += 1;
                let mut expected = BTreeSet::new();
                let mut count = 0;
                for file in files.iter().filter(of_date).filter(|file| part.stretch.covers(file)) {
                    assert!(covered.insert(file.path.clone()), "{} is in two copies", file.path);
                    count += 1;
                    expected.extend(self.rows(&Path::from(file.path.as_str())).await);
                }
                assert_eq!(part.files, count, "{:?}", part.stretch);
                let copied = self.rows(&Path::from(part.file.path.as_str())).await;
                assert_eq!(copied.len() as u64, part.file.rows);
                assert_eq!(copied.into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
        copies
    }

    /// What the rows of a covered file name is in the index, with that file. Gives
    /// how many settled files no index covers.
    pub(crate) async fn check_index(&self) -> usize {
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
        let mut entries = BTreeSet::new();
        for date in snapshot.dates() {
            for part in snapshot.index_of(date) {
                let mut rows = 0;
                for batch in self.batches(&Path::from(part.path.as_str())).await {
                    let text = |name: &str| batch.column_by_name(name).expect("a column").clone();
                    let (indicators, files) = (text("indicator"), text("file"));
                    let (indicators, files) =
                        (indicators.as_string::<i32>(), files.as_string::<i32>());
                    rows += batch.num_rows() as u64;
                    for (indicator, file) in indicators.iter().zip(files) {
                        let entry = (indicator.map(str::to_owned), file.map(str::to_owned));
                        entries.insert(entry);
                    }
                }
                assert_eq!(rows, part.entries, "{}", part.path);
            }
        }
        let mut uncovered = 0;
        let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
        for file in files {
            let Some(partition) = &file.partition else { continue };
            if !snapshot.index_of(partition.date).iter().any(|part| part.stretch.covers(&file)) {
                uncovered += 1;
                continue;
            }
            for batch in self.batches(&Path::from(file.path.as_str())).await {
                let arns = batch.column_by_name("useridentity").expect("a column").clone();
                let arns = arns.as_struct().column_by_name("arn").expect("a member").clone();
                let account = partition.account.to_string();
                for arn in arns.as_string::<i32>().iter().chain([Some(account.as_str())]) {
                    let entry = (arn.map(str::to_owned), Some(file.path.clone()));
                    assert!(arn.is_none() || entries.contains(&entry), "{entry:?}");
                }
            }
        }
        uncovered
    }

    /// What a listing of `events/` or `fresh/` shows is never twice there but
    /// for what compaction is replacing, and is of the journal.
    pub(crate) async fn check_listing(&self) {
        let store = Store::from_objects(Arc::clone(&self.objects), "memory://world");
        let snapshot = TableSnapshot::load(&store, TRAIL_DEFAULT).await.expect("load");
        let state = serde_json::to_value(snapshot.state()).expect("json");
        let compacting = state["open"]["work"].get("compact").is_some();
        let open = format!("/{:020}-", state["open"]["number"].as_u64().unwrap_or(0));
        let is_beside = |path: &Path| {
            let path = path.as_ref();
            let swept = state["swept"].as_array().expect("a list");
            state["replaced"].get(path).is_some()
                || swept.iter().any(|swept| swept == path)
                || (compacting && path.contains(&open))
        };
        for part in ["events", "fresh"] {
            let mut seen = BTreeSet::new();
            for path in self.parquet(part).await {
                if is_beside(&path) {
                    continue;
                }
                for (id, folder) in self.rows(&path).await {
                    assert_eq!(self.expected[&id].0, folder, "{path}");
                    assert!(seen.insert(id.clone()), "{id} is twice below {part}");
                }
            }
        }
    }

    /// After a drain everything is settled, and there is nothing else.
    pub(crate) async fn check_drained(&self) {
        self.check_listing().await;
        let snapshot = self.check_snapshot().await;
        // Only records without events may lie behind the position.
        assert_eq!(snapshot.totals().counts.quarantined, self.quarantined);
        assert_eq!(snapshot.totals().counts.journaled, self.state.totals.journaled);
        assert_eq!(snapshot.totals().counts.duplicates, self.copies);
        assert_eq!(self.parquet("fresh").await, [], "nothing is fresh");
        let files: Vec<_> = snapshot.files(Filter::default()).try_collect().await.expect("files");
        let named: BTreeSet<String> = files.into_iter().map(|file| file.path).collect();
        let there: BTreeSet<String> =
            self.parquet("events").await.iter().map(ToString::to_string).collect();
        assert_eq!(there, named, "every file below events/ is in the table");
    }

    async fn parquet(&self, part: &str) -> Vec<Path> {
        let prefix = Path::from(format!("trail/{TRAIL_DEFAULT}/{part}"));
        let mut paths: Vec<Path> = self
            .objects
            .list(Some(&prefix))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .expect("list");
        paths.retain(|path| path.as_ref().ends_with(".parquet"));
        paths.sort();
        paths
    }

    /// Event id and partition folder of each row of a file.
    async fn rows(&self, path: &Path) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for batch in self.batches(path).await {
            let text = |name: &str, row: usize| {
                let column = batch.column_by_name(name).expect("a column");
                column.as_string::<i32>().value(row).to_owned()
            };
            for row in 0..batch.num_rows() {
                let folder =
                    if path.as_ref().contains("/fresh/") || path.as_ref().contains("/days/") {
                        let dates = batch.column_by_name("date").expect("a date").clone();
                        let dates = arrow::util::display::array_value_to_string(&dates, row);
                        let (account, region) = (text("account", row), text("region", row));
                        format!("account={account}/region={region}/date={}", dates.expect("date"))
                    } else {
                        let parts: Vec<&str> = path.as_ref().split('/').collect();
                        parts[3..6].join("/")
                    };
                rows.push((text("eventid", row), folder));
            }
        }
        rows
    }

    pub(crate) async fn batches(&self, path: &Path) -> Vec<arrow::array::RecordBatch> {
        let bytes = self.objects.get(path).await.expect("get").bytes().await.expect("bytes");
        let footer = Footer::parse(bytes.clone(), bytes.len() as u64).expect("footer");
        let mut batches = Vec::new();
        for (group, range) in footer.row_groups().into_iter().enumerate() {
            let start = usize::try_from(range.start).expect("small");
            let end = usize::try_from(range.end).expect("small");
            for batch in footer.read(group, bytes.slice(start..end), 100).expect("read") {
                batches.push(batch.expect("a batch"));
            }
        }
        batches
    }
}
