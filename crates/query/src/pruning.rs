//! Chooses dates and files by what is known without opening them.
//!
//! Of a date the day is known, and so the event times in it; of a file also its
//! account, region and earliest and latest event time. Whatever condition a
//! query has, a date or file that cannot fulfil it is left out.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::utils::Guarantee;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use event::AccountId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use table::{DataFile, Loss};

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The condition of a query, as far as it can be judged without opening files.
#[derive(Debug)]
pub(crate) struct Pruning {
    predicate: Option<PruningPredicate>,
    /// Whether it says something of accounts or regions.
    is_of_partitions: bool,
}

impl Pruning {
    pub(crate) fn new(session: &dyn Session, filters: &[Expr], schema: &SchemaRef) -> Result<Self> {
        let is_key = |column: &Column| matches!(column.name.as_str(), "account" | "region");
        let is_of_partitions = filters.iter().any(|one| one.column_refs().into_iter().any(is_key));
        let Some(condition) = conjunction(filters.to_vec()) else {
            return Ok(Self { predicate: None, is_of_partitions });
        };
        let columns = DFSchema::try_from(Arc::clone(schema))?;
        let condition = session.create_physical_expr(condition, &columns)?;
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(schema))
            .try_build(condition)?;
        Ok(Self { predicate: Some(predicate), is_of_partitions })
    }

    /// Whether some partitions of a day may be wanted and others not.
    pub(crate) fn is_of_partitions(&self) -> bool {
        self.is_of_partitions
    }

    /// The dates that may hold wanted rows.
    pub(crate) fn dates(&self, dates: &[Date]) -> Result<Vec<bool>> {
        self.keep(&Facts {
            accounts: None,
            regions: None,
            dates: dates.iter().copied().map(day).collect(),
            times: dates.iter().copied().map(times_of).collect(),
        })
    }

    /// The accounts that are asked about by name; none if all are.
    pub(crate) fn named_accounts(&self) -> Option<BTreeSet<AccountId>> {
        let guarantees = self.predicate.iter().flat_map(|predicate| predicate.literal_guarantees());
        let named = guarantees.filter(|guarantee| {
            guarantee.guarantee == Guarantee::In && guarantee.column.name() == "account"
        });
        let parsed = |literal: &ScalarValue| literal.try_as_str().flatten()?.parse().ok();
        named
            .map(|guarantee| guarantee.literals.iter().filter_map(parsed).collect::<BTreeSet<_>>())
            .reduce(|one, other| one.intersection(&other).copied().collect())
    }

    /// Which accounts, each perhaps in one region, may have wanted events.
    pub(crate) fn accounts(&self, accounts: &[(AccountId, Option<&str>)]) -> Result<Vec<bool>> {
        self.keep(&Facts {
            accounts: Some(accounts.iter().map(|(account, _)| Some(account.to_string())).collect()),
            regions: Some(accounts.iter().map(|(_, region)| *region).collect()),
            dates: vec![None; accounts.len()],
            times: vec![None; accounts.len()],
        })
    }

    /// Which losses may have been of wanted events.
    pub(crate) fn losses(&self, losses: &[&Loss]) -> Result<Vec<bool>> {
        let dates = |loss: &&Loss| {
            let date = |time: Timestamp| days(time.to_zoned(TimeZone::UTC).date());
            Some((loss.from.map_or(Some(i32::MIN), date)?, date(loss.to)?))
        };
        let times = |loss: &&Loss| {
            let from = loss.from.map_or(i64::MIN, Timestamp::as_microsecond);
            Some((from, loss.to.as_microsecond()))
        };
        let account = |loss: &&Loss| loss.account.map(|account| account.to_string());
        self.keep(&Facts {
            accounts: Some(losses.iter().map(account).collect()),
            regions: None,
            dates: losses.iter().map(dates).collect(),
            times: losses.iter().map(times).collect(),
        })
    }

    /// The settled files that may hold wanted rows.
    pub(crate) fn files(&self, files: &[DataFile]) -> Result<Vec<bool>> {
        let partitions = || files.iter().map(|file| file.partition.as_ref());
        self.keep(&Facts {
            accounts: Some(
                partitions()
                    .map(|partition| partition.map(|partition| partition.account.to_string()))
                    .collect(),
            ),
            regions: Some(
                partitions()
                    .map(|partition| partition.map(|partition| partition.region.to_string()))
                    .collect(),
            ),
            dates: partitions()
                .map(|partition| partition.and_then(|partition| day(partition.date)))
                .collect(),
            times: files
                .iter()
                .map(|file| {
                    let (min, max) = (file.min_eventtime?, file.max_eventtime?);
                    Some((min.as_microsecond(), max.as_microsecond()))
                })
                .collect(),
        })
    }

    fn keep(&self, facts: &Facts) -> Result<Vec<bool>> {
        match &self.predicate {
            Some(predicate) => predicate.prune(facts),
            None => Ok(vec![true; facts.dates.len()]),
        }
    }
}

/// Days since the epoch.
pub(crate) fn days(date: Date) -> Option<i32> {
    let epoch = Date::constant(1970, 1, 1);
    date.since((jiff::Unit::Day, epoch)).ok().map(|span| span.get_days())
}

/// A date, as its least and its greatest.
fn day(date: Date) -> Option<(i32, i32)> {
    days(date).map(|days| (days, days))
}

/// The event times of a date: its day's, unless it is the date of rows whose own
/// is not known.
fn times_of(date: Date) -> Option<(i64, i64)> {
    let start = i64::from(days(date).filter(|days| *days != 0)?) * DAY_MICROS;
    Some((start, start + DAY_MICROS - 1))
}

/// What is known of some dates, files, accounts or losses, one entry each: of dates
/// and times the least and the greatest.
struct Facts {
    accounts: Option<StringArray>,
    regions: Option<StringArray>,
    dates: Vec<Option<(i32, i32)>>,
    times: Vec<Option<(i64, i64)>>,
}

impl Facts {
    fn value(
        &self,
        column: &Column,
        date: impl Fn((i32, i32)) -> i32,
        time: impl Fn((i64, i64)) -> i64,
    ) -> Option<ArrayRef> {
        let shared = |array: &StringArray| Arc::new(array.clone()) as ArrayRef;
        match column.name() {
            "account" => self.accounts.as_ref().map(shared),
            "region" => self.regions.as_ref().map(shared),
            "date" => {
                let dates = self.dates.iter().map(|dates| dates.map(&date));
                Some(Arc::new(dates.collect::<Date32Array>()))
            }
            "eventtime" => {
                let times = self.times.iter().map(|times| times.map(&time));
                Some(Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Facts {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.value(column, |(min, _)| min, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.value(column, |(_, max)| max, |(_, max)| max)
    }

    fn num_containers(&self) -> usize {
        self.dates.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let partition_key = matches!(column.name(), "account" | "region" | "date");
        partition_key.then(|| Arc::new(UInt64Array::from(vec![0; self.dates.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
