//! What must become of a spool that cannot go on as it is, durably, beside it.
//!
//! ```json
//! {"version":1,"spool":"<32 hex>","gap":{"first":7,"last":9,"reason":"…"},
//!  "take_over":false,"restored":false}          fate.json: of the spool that is there
//! {"version":1,"spool":"<32 hex>","replaces":"<32 hex>"}      replaces.json: what it came from
//! ```
//!
//! A fate is written when damage is found whose extent the spool itself would not
//! tell again, or when a person decides; it belongs to one spool and means nothing
//! to another. Neither file is needed where a spool holds nothing that was pushed:
//! its sources are read again from where the journal says.

use std::io;
use std::path::Path;

use integrity::SpoolId;
use seam::Disk;
use serde::{Deserialize, Serialize};

use crate::durable;

const VERSION: u32 = 1;

/// No such file is larger.
const FILE_BYTES_MAX: u64 = 64 * 1024;

const FATE: &str = "fate.json";
const REPLACES: &str = "replaces.json";

/// Sequences that nobody can supply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) reason: String,
}

/// What must become of a spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fate {
    version: u32,
    spool: SpoolId,
    /// The spool's end is lost, from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<Gap>,
    /// A person said: take over from the instance that fenced it.
    #[serde(default)]
    pub(crate) take_over: bool,
    /// A person said: the journal's store was restored from an older copy.
    #[serde(default)]
    pub(crate) restored: bool,
}

impl Fate {
    /// Nothing but to go on.
    pub(crate) fn none(spool: SpoolId) -> Self {
        Self { version: VERSION, spool, gap: None, take_over: false, restored: false }
    }

    /// Whether another spool will follow it. (A restored store may turn out to
    /// stand where it should.)
    pub(crate) fn is_to_be_left(&self) -> bool {
        self.gap.is_some() || self.take_over
    }

    /// The fate of `spool` that is kept in `dir`.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, spool: SpoolId) -> io::Result<Self> {
        let bytes = durable::read(disk, &dir.join(FATE), FILE_BYTES_MAX)?.unwrap_or_default();
        let kept = serde_json::from_slice::<Self>(&bytes).ok();
        let kept = kept.filter(|fate| fate.version == VERSION && fate.spool == spool);
        Ok(kept.unwrap_or_else(|| Self::none(spool)))
    }

    pub(crate) fn save(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        durable::replace(disk, dir, FATE, &bytes)
    }
}

/// The spool that another one came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaces {
    version: u32,
    /// The new spool.
    pub(crate) spool: SpoolId,
    /// The one that was active when it was made.
    pub(crate) replaces: Option<SpoolId>,
}

impl Replaces {
    pub(crate) fn new(spool: SpoolId, replaces: Option<SpoolId>) -> Self {
        Self { version: VERSION, spool, replaces }
    }

    /// The last spool that was made from another, as kept in `dir`.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Self>> {
        let bytes = durable::read(disk, &dir.join(REPLACES), FILE_BYTES_MAX)?.unwrap_or_default();
        let kept = serde_json::from_slice::<Self>(&bytes).ok();
        Ok(kept.filter(|kept| kept.version == VERSION))
    }

    pub(crate) fn save(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        durable::replace(disk, dir, REPLACES, &bytes)
    }
}
