//! The organization: its accounts, its regions, and what asks for its events.

use jiff::Timestamp;

use event::{AccountId, Region};

use crate::account::{Account, Activity, Repertoire, Surroundings};
use crate::dice::{Dice, mix};
use crate::events::{AccountEvents, Events};
use crate::incident::{self, Incident};
use crate::principal::Principal;
use crate::rhythm::Rhythm;

/// Regions in the order in which organizations of the sample take them up.
const REGIONS: &[&str] = &[
    "us-east-1",
    "eu-west-1",
    "eu-central-1",
    "us-west-2",
    "ap-southeast-2",
    "us-east-2",
    "ap-northeast-1",
    "eu-north-1",
    "sa-east-1",
    "ca-central-1",
    "ap-south-1",
    "eu-west-3",
    "eu-south-1",
    "me-central-1",
    "af-south-1",
    "us-west-1",
];
const NAMES: &[&str] = &[
    "management",
    "security",
    "tooling",
    "network",
    "data-prod",
    "data-dev",
    "web-prod",
    "web-dev",
    "payments",
    "research",
    "analytics",
    "sandbox",
];

/// How large an organization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Member accounts, the management account included; at least 1.
    pub accounts: usize,
    /// Regions in use, at most 16; at least 1.
    pub regions: usize,
    /// Days that its events are spread over; at least 1.
    pub days: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { accounts: 12, regions: 5, days: 14 }
    }
}

/// A synthetic organization. The same seed and shape are the same
/// organization, to the byte, on every machine.
#[derive(Debug)]
pub struct Organization {
    seed: u64,
    days: u32,
    id: String,
    regions: Vec<Region>,
    accounts: Vec<Account>,
    repertoire: Repertoire,
}

impl Organization {
    /// An organization of the usual shape: 12 accounts, 5 regions, 14 days.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_shape(seed, Shape::default())
    }

    /// An organization of another shape.
    #[must_use]
    pub fn with_shape(seed: u64, shape: Shape) -> Self {
        let regions: Vec<Region> = REGIONS
            .iter()
            .take(shape.regions.max(1))
            .filter_map(|name| name.parse().ok())
            .collect();
        let mut dice = Dice::new(mix(seed, 0x0a61));
        let mut id = b"o-".to_vec();
        dice.hex(10, &mut id);
        let accounts = (0..shape.accounts.max(1))
            .map(|number| account(seed, number, regions.len(), &mut dice))
            .collect();
        Self {
            seed,
            days: shape.days.max(1),
            id: String::from_utf8(id).expect("hexadecimal is ASCII"),
            regions,
            accounts,
            repertoire: Repertoire::new(),
        }
    }

    /// The organization's id, `o-…`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The accounts, the management account first.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountId> {
        self.accounts.iter().map(|account| account.id).collect()
    }

    /// The regions, the one of global services first.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// What happened that should not have: in every sample of 2,000 records or
    /// more.
    #[must_use]
    pub fn incident(&self) -> Incident {
        Incident::new(&self.accounts, self.seed)
    }

    /// When the incident begins in a sample that ends at `end`.
    #[must_use]
    pub fn incident_begins(&self, end: Timestamp) -> Timestamp {
        let begin = Rhythm::new(end.as_second(), self.days).begin();
        crate::stamp::Stamp::time(incident::begins(begin, end.as_second()))
    }

    /// Exactly `n` records in time order, the last ones shortly before `end`.
    #[must_use]
    pub fn events(&self, n: u64, end: Timestamp) -> Events<'_> {
        Events::new(self, n, end)
    }

    /// The records of one account, one for each time that is asked for;
    /// `None` if the organization has no such account.
    #[must_use]
    pub fn account_events(&self, account: AccountId) -> Option<AccountEvents<'_>> {
        self.accounts
            .iter()
            .find(|other| other.id == account)
            .map(|account| AccountEvents::new(self, account))
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) const fn days(&self) -> u32 {
        self.days
    }

    pub(crate) fn around(&self) -> Surroundings<'_> {
        Surroundings {
            accounts: &self.accounts,
            regions: &self.regions,
            repertoire: &self.repertoire,
        }
    }

    pub(crate) fn activities(&self) -> Vec<Activity> {
        self.accounts.iter().map(|account| Activity::new(account, self.seed)).collect()
    }
}

fn account(seed: u64, number: usize, regions: usize, dice: &mut Dice) -> Account {
    // Some ids begin with a zero, which readers that infer types must not lose.
    let digits = 100_000_000_000 + dice.below(900_000_000_000);
    let digits = if number % 10 == 3 { digits % 100_000_000_000 } else { digits };
    let text = format!("{digits:012}");
    let name =
        NAMES.get(number).map_or_else(|| format!("team-{number}"), |name| (*name).to_owned());
    let seed = mix(seed, number as u64 + 1);
    Account {
        id: text.parse().expect("twelve digits are an account id"),
        principals: Principal::cast(seed, &text),
        text,
        name,
        seed,
        home: dice.below(regions),
    }
}
