//! Where a row belongs: account, region and date, and what was odd about them.
//!
//! The rules are total: every record that may be a row has a partition, and
//! each departure from the ordinary leaves its name in the row's `anomalies`.
//! They depend on nothing but the record, the agent that delivered it, the time
//! of its commit and the regions that its account has shown before, so that a
//! pass over the same range places every row alike, whenever it is run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use event::{AccountId, Region, time};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::row::RowSource;

/// The partition that a row belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The account whose event it is.
    pub account: AccountId,
    /// The region in which it happened, or `unknown`.
    pub region: Region,
    /// The UTC day on which it happened, or 1970-01-01.
    pub date: Date,
}

/// An account may show so many regions; later ones share `unknown`.
pub const REGIONS_PER_ACCOUNT_MAX: usize = 64;

/// No event is older than the first cloud service that could have written it.
const OLDEST: Date = Date::constant(2006, 1, 1);

/// The date of rows whose own date cannot be told.
pub const DATE_UNKNOWN: Date = Date::constant(1970, 1, 1);

/// A member of a record that says where it belongs.
#[derive(Clone, Debug)]
pub(crate) enum Claim<'a> {
    /// Absent, or null.
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// Anything else.
    Other,
}

/// What a record says about where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct Claims<'a> {
    /// `recipientAccountId`
    pub(crate) recipient: Claim<'a>,
    /// `userIdentity.accountId`
    pub(crate) identity: Claim<'a>,
    /// `awsRegion`
    pub(crate) region: Claim<'a>,
    /// `eventTime` in UTC microseconds, if it is a time.
    pub(crate) eventtime: Option<i64>,
}

/// The account is one that the agent's certificate does not speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record is of account {account}, its agent may speak for {covered} only")]
pub(crate) struct NotCovered {
    account: AccountId,
    covered: AccountId,
}

/// Places a record; a region it shows is remembered only if it has a place.
pub(crate) fn place(
    claims: &Claims<'_>,
    source: &RowSource<'_>,
    regions: &mut Regions,
) -> Result<(Partition, Anomalies), NotCovered> {
    let mut anomalies = Anomalies::default();
    let account = account(claims, source, &mut anomalies);
    if let Some(covered) = source.speaks_for.filter(|covered| *covered != account) {
        return Err(NotCovered { account, covered });
    }
    let date = date(claims.eventtime, source, &mut anomalies);
    let region = regions.admit(account, &claims.region, &mut anomalies);
    Ok((Partition { account, region, date }, anomalies))
}

/// The account that a record is of, as [`place`] tells it.
pub(crate) fn account_of(claims: &Claims<'_>, source: &RowSource<'_>) -> AccountId {
    account(claims, source, &mut Anomalies::default())
}

fn account(claims: &Claims<'_>, source: &RowSource<'_>, anomalies: &mut Anomalies) -> AccountId {
    let is_organization_agent = source.speaks_for.is_none();
    let (claim, departure) = match &claims.recipient {
        Claim::Absent if is_organization_agent => {
            (&claims.identity, Some(Anomaly::AccountOfIdentity))
        }
        Claim::Absent => {
            anomalies.add(Anomaly::AccountOfAgent);
            return source.agent_account;
        }
        claim => (claim, None),
    };
    let account = match claim {
        Claim::Text(text) => AccountId::from_bytes(text.as_bytes()),
        Claim::Absent | Claim::Other => None,
    };
    match (account, departure) {
        (Some(account), None) => account,
        (Some(account), Some(departure)) => {
            anomalies.add(departure);
            account
        }
        (None, _) => {
            anomalies.add(Anomaly::AccountUnknown);
            AccountId::UNKNOWN
        }
    }
}

fn date(eventtime: Option<i64>, source: &RowSource<'_>, anomalies: &mut Anomalies) -> Date {
    let Some(micros) = eventtime else {
        anomalies.add(Anomaly::DateUnknown);
        return DATE_UNKNOWN;
    };
    let committed = time::day_of(source.committed_at.as_microsecond());
    let date = date_of(time::day_of(micros)).filter(|date| *date >= OLDEST);
    match date {
        Some(date) if time::day_of(micros) <= committed + 1 => date,
        _ => {
            anomalies.add(Anomaly::DateOutOfRange);
            DATE_UNKNOWN
        }
    }
}

/// The day that is so many days after 1970-01-01, if there is such a date.
pub(crate) fn date_of(days: i64) -> Option<Date> {
    let (year, month, day) = time::date_from_days(days);
    Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// A way in which a row's place departs from the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anomaly {
    AccountOfAgent,
    AccountOfIdentity,
    AccountUnknown,
    RegionUnknown,
    RegionOverLimit,
    DateUnknown,
    DateOutOfRange,
}

impl Anomaly {
    const ALL: [(Self, &'static str); 7] = [
        (Self::AccountOfAgent, "account_of_agent"),
        (Self::AccountOfIdentity, "account_of_identity"),
        (Self::AccountUnknown, "account_unknown"),
        (Self::RegionUnknown, "region_unknown"),
        (Self::RegionOverLimit, "region_over_limit"),
        (Self::DateUnknown, "date_unknown"),
        (Self::DateOutOfRange, "date_out_of_range"),
    ];
}

/// The rules that departed from the ordinary for one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Anomalies(u8);

impl Anomalies {
    fn add(&mut self, anomaly: Anomaly) {
        self.0 |= 1 << anomaly as u8;
    }

    /// Their names, separated by commas, if there are any.
    pub(crate) fn text(self) -> Option<String> {
        let has = |anomaly: Anomaly| self.0 >> anomaly as u8 & 1 == 1;
        let names = Anomaly::ALL.iter().filter(|(anomaly, _)| has(*anomaly));
        (self.0 != 0).then(|| names.map(|(_, name)| *name).collect::<Vec<_>>().join(","))
    }
}

/// The regions that each account has shown, in the order of first showing.
///
/// Part of the table's folded state: a pass starts from it and commits what it
/// added, so that the 65th region of an account is the same for every reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Regions(BTreeMap<AccountId, Vec<String>>);

impl Regions {
    /// The region that a row of `account` belongs to, which is remembered.
    fn admit(
        &mut self,
        account: AccountId,
        claim: &Claim<'_>,
        anomalies: &mut Anomalies,
    ) -> Region {
        let region = match claim {
            Claim::Text(text) => text.parse::<Region>().ok(),
            Claim::Absent | Claim::Other => None,
        };
        let Some(region) = region else {
            anomalies.add(Anomaly::RegionUnknown);
            return unknown_region();
        };
        let shown = self.0.entry(account).or_default();
        if shown.iter().any(|known| known == region.as_str()) {
            return region;
        }
        if shown.len() < REGIONS_PER_ACCOUNT_MAX {
            shown.push(region.as_str().to_owned());
            return region;
        }
        anomalies.add(Anomaly::RegionOverLimit);
        unknown_region()
    }

    /// The region that a row belongs to which was placed up to now, by the region that
    /// its record names: no region is ever forgotten, nor admitted after it was not.
    pub(crate) fn placed(&self, account: AccountId, named: Option<&Region>) -> Region {
        let is_shown = |region: &&Region| self.of(account).iter().any(|one| one == region.as_str());
        named.filter(is_shown).cloned().unwrap_or_else(unknown_region)
    }

    /// What these have that `older`, which they grew from, has not.
    #[must_use]
    pub fn since(&self, older: &Self) -> Self {
        let mut added = Self::default();
        for (account, regions) in &self.0 {
            let known = older.0.get(account).map_or(0, Vec::len);
            if let Some(new) = regions.get(known..).filter(|new| !new.is_empty()) {
                added.0.insert(*account, new.to_vec());
            }
        }
        added
    }

    /// Adds what a later pass has shown.
    pub fn absorb(&mut self, added: &Self) {
        for (account, regions) in &added.0 {
            self.0.entry(*account).or_default().extend(regions.iter().cloned());
        }
    }

    /// The accounts that have shown one.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.0.keys().copied()
    }

    /// The regions that an account has shown, in the order of first showing.
    #[must_use]
    pub fn of(&self, account: AccountId) -> &[String] {
        self.0.get(&account).map_or(&[], Vec::as_slice)
    }

    /// Whether no account has shown any region.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn unknown_region() -> Region {
    Region::UNKNOWN.parse().expect("the fallback is a region name")
}

#[cfg(test)]
mod tests;
