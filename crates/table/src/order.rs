//! The order of rows in data files.
//!
//! Files are sorted by event source, event name, the actor's ARN and the event
//! time: of the orders measured it compresses best, and most questions then
//! read few pages. A fresh file is sorted by account, region and date before
//! that, so that settling is one merge.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, RecordBatch, StringBuilder};
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use jiff::civil::Date;

use crate::partition::Partition;
use crate::schema::{PARTITION_KEYS, fresh_schema};

/// Makes comparable bytes of the columns that rows are sorted by.
pub(crate) struct RowOrder {
    converter: RowConverter,
}

impl RowOrder {
    /// Ready for batches of a data file's columns.
    pub(crate) fn new() -> Result<Self, ArrowError> {
        let columns = sort_columns(&RecordBatch::new_empty(crate::schema::schema()))?;
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        Ok(Self { converter: RowConverter::new(fields.collect())? })
    }

    /// One key for each row of `batch`.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        self.converter.convert_columns(&sort_columns(batch)?)
    }
}

fn sort_columns(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |name: &str| batch.column_by_name(name).cloned().ok_or_else(|| absent(name));
    let identity = column("useridentity")?;
    let arn = identity
        .as_struct_opt()
        .and_then(|identity| identity.column_by_name("arn").cloned())
        .ok_or_else(|| absent("useridentity.arn"))?;
    Ok(vec![column("eventsource")?, column("eventname")?, arn, column("eventtime")?])
}

fn absent(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("rows have no column {name}"))
}

/// Adds account, region and date to rows, as a fresh file has them.
pub(crate) fn with_partitions(
    batch: &RecordBatch,
    partitions: &[&Partition],
) -> Result<RecordBatch, ArrowError> {
    let mut accounts = StringBuilder::new();
    let mut regions = StringBuilder::new();
    let mut dates = Vec::with_capacity(partitions.len());
    for partition in partitions {
        accounts.append_value(partition.account.to_string());
        regions.append_value(partition.region.as_str());
        dates.push(day_number(partition.date));
    }
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(accounts.finish()));
    columns.push(Arc::new(regions.finish()));
    columns.push(Arc::new(Date32Array::from(dates)));
    RecordBatch::try_new(fresh_schema(), columns)
}

/// The partitions of rows that lie together, each with its rows.
pub(crate) type Runs = Vec<(Partition, Range<usize>)>;

/// Takes account, region and date off a fresh file's rows.
pub(crate) fn without_partitions(batch: &RecordBatch) -> Result<(RecordBatch, Runs), ArrowError> {
    let [account, region, date] = PARTITION_KEYS;
    let text = |name: &str| {
        let column = batch.column_by_name(name).ok_or_else(|| absent(name))?;
        column.as_string_opt::<i32>().ok_or_else(|| absent(name))
    };
    let (accounts, regions) = (text(account)?, text(region)?);
    let dates = batch
        .column_by_name(date)
        .and_then(|column| column.as_primitive_opt::<Date32Type>())
        .ok_or_else(|| absent(date))?;
    let key = |row: usize| (accounts.value(row), regions.value(row), dates.value(row));
    let mut runs = Runs::new();
    let mut start = 0;
    for row in 0..batch.num_rows() {
        if row + 1 == batch.num_rows() || key(row) != key(row + 1) {
            let (account, region, date) = key(row);
            runs.push((partition(account, region, date)?, start..row + 1));
            start = row + 1;
        }
    }
    let schema = batch.schema();
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|index| !PARTITION_KEYS.contains(&schema.field(*index).name().as_str()))
        .collect();
    Ok((batch.project(&kept)?, runs))
}

fn partition(account: &str, region: &str, date: i32) -> Result<Partition, ArrowError> {
    let invalid = || ArrowError::ParseError("a fresh row has no valid partition".into());
    Ok(Partition {
        account: account.parse().map_err(|_| invalid())?,
        region: region.parse().map_err(|_| invalid())?,
        date: date_of_day(date).ok_or_else(invalid)?,
    })
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Days since 1970-01-01.
pub(crate) fn day_number(date: Date) -> i32 {
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

fn date_of_day(days: i32) -> Option<Date> {
    EPOCH.checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_its_number_are_each_others() {
        for (text, days) in [("1970-01-01", 0), ("2006-01-01", 13_149), ("2026-11-20", 20_777)] {
            let date: Date = text.parse().expect("a date");
            assert_eq!(day_number(date), days, "{text}");
            assert_eq!(date_of_day(days), Some(date), "{text}");
        }
    }
}
