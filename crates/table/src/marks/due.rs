//! Which files hold rows that wait for their mark.

use std::collections::BTreeMap;

use super::Marks;
use crate::error::TableError;
use crate::files::read_footer;
use crate::find::find_rows;
use crate::log::DataFile;
use crate::partition::Partition;
use crate::table::Table;

impl Table {
    /// The files of a day that hold rows to be marked, by partition: as many as one
    /// compaction merges, and at least one.
    pub(crate) async fn files_to_mark(
        &self,
        files: &[DataFile],
        marks: &Marks,
    ) -> Result<BTreeMap<Partition, Vec<DataFile>>, TableError> {
        let limits = &self.config.limits;
        let mut due: BTreeMap<Partition, Vec<DataFile>> = BTreeMap::new();
        for file in files {
            let Some(partition) = &file.partition else { continue };
            let Some(rows) = marks.of(partition) else { continue };
            let found = async {
                let footer = read_footer(&self.store, file).await?;
                find_rows(&self.store, file, &footer, rows).await
            };
            let found = match found.await {
                Ok(found) => found,
                // What nobody can read keeps nothing else from being compacted.
                Err(error @ (TableError::Missing { .. } | TableError::Damaged { .. })) => {
                    tracing::warn!(
                        path = %file.path,
                        error = &error as &dyn std::error::Error,
                        "rows that are to be marked cannot be looked for"
                    );
                    continue;
                }
                Err(error) => return Err(error),
            };
            if found.is_empty() {
                continue;
            }
            let group = due.entry(partition.clone()).or_default();
            let bytes: u64 = group.iter().map(|file| file.bytes).sum();
            let rows: u64 = group.iter().map(|file| file.rows).sum();
            let has_room = bytes + file.bytes <= limits.compact_bytes_max
                && rows + file.rows <= limits.file_rows_max;
            if group.is_empty() || has_room {
                group.push(file.clone());
            }
        }
        for group in due.values_mut() {
            // Equal keys come in the order of the inputs: the older first.
            group.sort_by(|one, other| one.path.cmp(&other.path));
        }
        Ok(due)
    }
}
