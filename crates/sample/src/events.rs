//! All events of an organization in time order, or those of one account.

use std::collections::VecDeque;

use jiff::Timestamp;

use event::{AccountId, Region};

use crate::account::{Account, Activity};
use crate::dice::{Dice, mix};
use crate::incident::{self, Moment};
use crate::organization::Organization;
use crate::rhythm::Rhythm;
use crate::stamp::Stamp;

/// Room that a record's buffer is made with.
const RECORD_BYTES_USUAL: usize = 2048;
/// At most so many records in a hundred begin a session.
const SESSIONS_PER_CENT: u64 = 11;

/// One record, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The account that the record was delivered to.
    pub account: AccountId,
    /// The region that the record is of.
    pub region: &'a Region,
    /// The record's `eventTime`.
    pub at: Timestamp,
    /// The record: one JSON object, no line feed.
    pub record: Vec<u8>,
}

/// An organization's records in time order.
#[expect(missing_debug_implementations, reason = "its state says nothing to anybody")]
pub struct Events<'a> {
    organization: &'a Organization,
    activities: Vec<Activity>,
    /// Where in a cumulated sum each account's share ends.
    shares: Vec<usize>,
    rhythm: Rhythm,
    dice: Dice,
    now: Stamp,
    incident: VecDeque<Moment>,
    /// Records already written that come next.
    ready: VecDeque<Moment>,
    /// How many ordinary records there are in all, and how many are told.
    ordinary: u64,
    told: u64,
    begun: u64,
}

impl<'a> Events<'a> {
    pub(crate) fn new(organization: &'a Organization, n: u64, end: Timestamp) -> Self {
        let rhythm = Rhythm::new(end.as_second(), organization.days());
        let around = organization.around();
        let incident: VecDeque<Moment> = if n >= incident::RECORDS_MIN {
            incident::moments(&around, organization.seed(), rhythm.begin(), end.as_second()).into()
        } else {
            VecDeque::new()
        };
        let mut sum = 0;
        let shares = (0..around.accounts.len())
            .map(|number| {
                sum += 1000 / (2 + number % 12) + 60;
                sum
            })
            .collect();
        Self {
            organization,
            activities: organization.activities(),
            shares,
            dice: Dice::new(mix(organization.seed(), 0xe7e7)),
            now: Stamp::new(rhythm.begin()),
            rhythm,
            ordinary: n.saturating_sub(incident.len() as u64),
            incident,
            ready: VecDeque::new(),
            told: 0,
            begun: 0,
        }
    }

    fn advance(&mut self) {
        let jitter = self.dice.next() >> 32;
        // told and ordinary are below 2^32 in any sample that fits a disk.
        let whole = u128::from(self.told) << 32 | u128::from(jitter);
        let part = u64::try_from(whole / u128::from(self.ordinary.max(1))).unwrap_or(u64::MAX);
        self.now.set(self.rhythm.at(part));
        self.told += 1;
    }

    /// Writes the next ordinary record (and what belongs to it) to `ready`.
    fn tell(&mut self) {
        self.advance();
        let around = self.organization.around();
        let total = self.shares.last().copied().unwrap_or(1);
        let at = self.dice.below(total);
        let index = self.shares.partition_point(|end| *end <= at);
        let (Some(account), Some(activity)) =
            (around.accounts.get(index), self.activities.get_mut(index))
        else {
            return;
        };
        let may_begin =
            self.begun * 100 < self.told * SESSIONS_PER_CENT && self.told + 1 < self.ordinary;
        let mut record = Vec::with_capacity(RECORD_BYTES_USUAL);
        let step = activity.step(account, &around, &self.now, may_begin, &mut record);
        let second = self.now.second();
        if step.began {
            self.begun += 1;
        }
        if let Some(chain) = step.chain
            && let Some(target) = account.principals.get(chain.principal)
        {
            let at = around.caller(target.class);
            if let (Some(caller), Some(activity)) =
                (around.accounts.get(at), self.activities.get_mut(at))
            {
                let mut copy = Vec::with_capacity(RECORD_BYTES_USUAL);
                activity.assumed(
                    caller,
                    around.region(step.region),
                    target,
                    &chain,
                    &self.now,
                    &mut copy,
                );
                self.ready.push_back(Moment {
                    second,
                    account: at,
                    region: step.region,
                    record: copy,
                });
                self.begun += 1;
                self.told += 1;
            }
        }
        self.ready.push_back(Moment { second, account: index, region: step.region, record });
    }

    fn event(&self, moment: Moment) -> Option<Event<'a>> {
        let organization = self.organization;
        let around = organization.around();
        Some(Event {
            account: around.accounts.get(moment.account)?.id,
            region: organization.regions().get(moment.region)?,
            at: Stamp::time(moment.second),
            record: moment.record,
        })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if self.ready.is_empty() && self.told < self.ordinary {
            self.tell();
        }
        let first = match (self.ready.front(), self.incident.front()) {
            (Some(ordinary), Some(incident)) => incident.second > ordinary.second,
            (ordinary, _) => ordinary.is_some(),
        };
        let moment = if first { self.ready.pop_front() } else { self.incident.pop_front() };
        moment.and_then(|moment| self.event(moment))
    }
}

/// The records of one account, at times that the caller chooses: a slow agent's
/// source, or NDJSON in any amount.
#[expect(missing_debug_implementations, reason = "its state says nothing to anybody")]
pub struct AccountEvents<'a> {
    organization: &'a Organization,
    account: &'a Account,
    activity: Activity,
    now: Stamp,
    told: u64,
    begun: u64,
}

impl<'a> AccountEvents<'a> {
    pub(crate) fn new(organization: &'a Organization, account: &'a Account) -> Self {
        let activity = Activity::new(account, organization.seed());
        Self { organization, account, activity, now: Stamp::new(0), told: 0, begun: 0 }
    }

    /// Appends the account's next record, which happens at `at`, and no line
    /// feed. Times must not go back.
    pub fn append(&mut self, at: Timestamp, out: &mut Vec<u8>) -> &'a Region {
        self.now.set(at.as_second());
        self.told += 1;
        let around = self.organization.around();
        let may_begin = self.begun * 100 < self.told * SESSIONS_PER_CENT;
        let step = self.activity.step(self.account, &around, &self.now, may_begin, out);
        self.begun += u64::from(step.began);
        let regions = self.organization.regions();
        regions
            .get(step.region)
            .or(regions.first())
            .expect("an organization has at least one region")
    }
}
