//! The table as Iceberg knows tables: exact snapshots for engines, without a catalog.
//!
//! Whoever lists `events/` may count a partition twice while its files are replaced, and
//! sees no fresh rows. So after commits the same files are named once more, in the words
//! of the Iceberg specification (version 2 of its format):
//!
//! ```text
//! trail/<name>/iceberg/metadata/version-hint.text           the newest number
//! trail/<name>/iceberg/metadata/v<record>.metadata.json     the table as of that record of its log
//! trail/<name>/iceberg/metadata/snap-<record>-<16 hex>.avro which manifests it has
//! trail/<name>/iceberg/metadata/<date>-<16 hex>.avro        a day's settled files
//! trail/<name>/iceberg/metadata/fresh-<16 hex>.avro         the files that are not settled
//! ```
//!
//! No data is copied. A day's manifest is made again only if its files are others now, so
//! a pass costs about five small objects. What has been replaced here is deleted after
//! `keep_replaced_secs`, as data files are.
//!
//! This is a view for others: nothing of ours reads it, and a failure to write it changes
//! nothing. Two processes may publish at once; both write what the log says, and the hint
//! may for a moment name the older of two whole tables.
//!
//! Layout: `columns` (the schema in Iceberg's words), `avro` (its container),
//! `manifest` (lists of files, and of manifests), `metadata` (the table).

mod avro;
mod columns;
mod manifest;
mod metadata;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use integrity::sha256;
use jiff::civil::Date;
use object_store::path::Path;
use store::StoreError;
use tokio::time::Instant;

use crate::checkpoint::date_files;
use crate::error::TableError;
use crate::log::DataFile;
use crate::state::DateFiles;
use crate::table::Table;
use manifest::{Manifest, Spec};

/// What this process knows of what is published.
#[derive(Debug, Default)]
pub(crate) struct Publishing {
    /// The record that was published last.
    record: Option<u64>,
    /// By day, the files and the manifest that names them.
    days: BTreeMap<Date, (DateFiles, Manifest)>,
    /// The fresh files, and the manifest that names them.
    fresh: (Vec<String>, Option<Manifest>),
    /// The objects of the newest table.
    named: BTreeSet<String>,
    /// Objects that are not of it any more, and since when.
    old: BTreeMap<String, Instant>,
}

impl Table {
    /// Publishes the table as it is, if its files are others than those published last.
    /// Says whether it did.
    ///
    /// # Errors
    /// If the store does not answer, or the lists of files cannot be read; the next call
    /// tries again.
    pub fn publish(&mut self) -> BoxFuture<'_, Result<bool, TableError>> {
        Box::pin(async move {
            if !self.config.iceberg || self.publishing.record == Some(self.state.head) {
                return Ok(false);
            }
            let Some(base) = self.store.named_by_others() else { return Ok(false) };
            self.refresh().await?;
            if self.publishing.record.is_none() {
                self.find_published().await?;
            }
            let changed = self.make_manifests(&base).await?;
            if !changed && self.publishing.record.is_some() {
                self.publishing.record = Some(self.state.head);
                return Ok(false);
            }
            self.put_table(&base).await?;
            self.remove_unpublished().await;
            Ok(true)
        })
    }

    /// What other processes have published: it is old as soon as this one has.
    async fn find_published(&mut self) -> Result<(), TableError> {
        let mut listed = self.store.list(&self.layout.iceberg(), None);
        while let Some((path, _)) = listed.try_next().await.map_err(TableError::Store)? {
            self.publishing.old.insert(path.to_string(), Instant::now());
        }
        Ok(())
    }

    /// Names the files of days that are others now, and the fresh ones; whether any are.
    async fn make_manifests(&mut self, base: &str) -> Result<bool, TableError> {
        let mut changed = false;
        let gone: Vec<Date> = self.publishing.days.keys().copied().collect();
        for date in gone.into_iter().filter(|date| !self.state.dates.contains_key(date)) {
            self.publishing.days.remove(&date);
            changed = true;
        }
        let dates: Vec<Date> = self.state.dates.keys().copied().collect();
        for date in dates {
            let Some(of_date) = self.state.dates.get(&date).cloned() else { continue };
            if self.publishing.days.get(&date).is_some_and(|(known, _)| *known == of_date) {
                continue;
            }
            let files = date_files(&self.store, &of_date).await?;
            let name = date.to_string();
            let manifest = self.put_manifest(&name, Spec::Partition, files, base).await?;
            self.publishing.days.insert(date, (of_date, manifest));
            changed = true;
        }
        let fresh: Vec<DataFile> =
            self.state.fresh.iter().map(|fresh| fresh.file.clone()).collect();
        let paths: Vec<String> = fresh.iter().map(|file| file.path.clone()).collect();
        if self.publishing.fresh.0 != paths {
            let manifest = match fresh.is_empty() {
                true => None,
                false => Some(self.put_manifest("fresh", Spec::Any, fresh, base).await?),
            };
            self.publishing.fresh = (paths, manifest);
            changed = true;
        }
        Ok(changed)
    }

    async fn put_manifest(
        &self,
        name: &str,
        spec: Spec,
        files: Vec<DataFile>,
        base: &str,
    ) -> Result<Manifest, TableError> {
        let owned = base.to_owned();
        let made = self.seams.blocking.run(move || manifest::of_files(spec, &files, &owned)).await;
        let (bytes, counts) = made;
        let path = self.layout.iceberg_file(name, sha256(&bytes));
        let length = bytes.len() as u64;
        self.ensure_published(&path, bytes).await?;
        Ok(Manifest { path: path.to_string(), length, spec, counts })
    }

    /// Puts the list of manifests, the table, and the hint that it is the newest.
    async fn put_table(&mut self, base: &str) -> Result<(), TableError> {
        let record = self.state.head;
        let days = self.publishing.days.values().map(|(_, manifest)| manifest);
        let manifests: Vec<Manifest> =
            days.chain(self.publishing.fresh.1.as_ref()).cloned().collect();
        let list = manifest::of_manifests(&manifests, record, base);
        let list_path = self.layout.iceberg_file(&format!("snap-{record}"), sha256(&list));
        self.ensure_published(&list_path, list).await?;
        let totals = &self.state.totals;
        let table = metadata::Table {
            base,
            location: self.layout.iceberg_root().to_string(),
            record,
            at: self.seams.clock.now(),
            manifest_list: list_path.to_string(),
            files: totals.files,
            rows: totals.counts.rows.saturating_sub(totals.expired.rows),
            bytes: totals.bytes,
        };
        let path = self.layout.iceberg_metadata(record);
        // Another process may have published the same record, at another moment.
        let text = Bytes::from(table.json());
        match self.store.create(&path, text).await {
            Ok(()) | Err(store::CreateError::AlreadyExists) => {}
            Err(error) => return Err(TableError::Store(StoreError::from(error))),
        }
        let hint = self.layout.iceberg_hint();
        let newest = Bytes::from(record.to_string());
        self.store.replace(&hint, newest).await.map_err(TableError::Store)?;
        self.publishing.record = Some(record);
        let named: BTreeSet<String> = manifests
            .into_iter()
            .map(|manifest| manifest.path)
            .chain([list_path.to_string(), path.to_string(), hint.to_string()])
            .collect();
        // What was named until now is old from now on.
        let current = std::mem::take(&mut self.publishing.named);
        for path in current.difference(&named) {
            self.publishing.old.entry(path.clone()).or_insert_with(Instant::now);
        }
        for path in &named {
            self.publishing.old.remove(path);
        }
        self.publishing.named = named;
        Ok(())
    }

    /// Deletes what has been old for long enough. What fails is tried again.
    async fn remove_unpublished(&mut self) {
        let kept = Duration::from_secs(u64::from(self.config.keep_replaced_secs));
        let old = self.publishing.old.iter().filter(|(_, since)| since.elapsed() >= kept);
        let old: Vec<String> = old.map(|(path, _)| path.clone()).collect();
        for path in old {
            match self.store.delete(&Path::from(path.as_str())).await {
                Ok(()) => {
                    self.publishing.old.remove(&path);
                }
                Err(error) => {
                    tracing::debug!(%path, %error, "Iceberg metadata that is old stays");
                }
            }
        }
    }

    async fn ensure_published(&self, path: &Path, bytes: Bytes) -> Result<(), TableError> {
        let ensured = self.store.ensure(path, bytes).await;
        ensured.map_err(|error| TableError::Store(StoreError::from(error)))
    }
}
