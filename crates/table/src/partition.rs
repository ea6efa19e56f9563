//! Where a row belongs: account, region and date, and what was odd about them.
//!
//! The rules are total: every record that may be a row has a partition, and
//! each departure from the ordinary leaves its name in the row's `anomalies`.
//! They depend on nothing but the record, the agent that delivered it, the time
//! of its commit and the regions that its account has shown before, so that a
//! pass over the same range places every row alike, whenever it is run.

use std::collections::BTreeMap;

use event::{AccountId, Region};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

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

/// The regions that each account has shown, in the order of first showing.
///
/// Part of the table's folded state: a pass starts from it and commits what it
/// added, so that the 65th region of an account is the same for every reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Regions(BTreeMap<AccountId, Vec<String>>);

impl Regions {
    /// What these have that `older` has not.
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
}
