//! What leaves the journal by its age.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Invalid, State};
use crate::record::Body;

/// What retention has let go: the segments from the journal's old end on. Records stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Up to this record, segments have expired.
    pub to: u64,
    /// When that record was made, by its writer's clock.
    pub committed_at: Option<Timestamp>,
    /// When a record last let segments go, by its writer's clock.
    pub at: Option<Timestamp>,
    /// Up to this record, they are deleted.
    pub deleted: u64,
    /// How many.
    pub segments: u64,
    /// Their units, which [`crate::Totals::journaled`] still counts.
    pub units: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// Those that were missing or damaged when they expired.
    pub damaged: u64,
}

impl Expired {
    pub(super) fn is_none(&self) -> bool {
        self.to == 0
    }
}

impl State {
    pub(super) fn check_expire(&self, body: &Body) -> Result<(), Invalid> {
        if body.expire.is_none() && body.deleted.is_none() {
            return Ok(());
        }
        let Body { expire, deleted, .. } = body.clone();
        let state_sha256 = body.state_sha256;
        if *body != (Body { expire, deleted, state_sha256, ..Body::default() }) {
            return Err(Invalid::Inconsistent("segments expire by a record of their own"));
        }
        let Expired { to, deleted, segments, units, .. } = self.expired;
        let is_deletable = |reached: u64| reached > deleted && reached <= to;
        if !body.deleted.is_none_or(is_deletable) {
            return Err(Invalid::Inconsistent("only what has expired is deleted, and once"));
        }
        let Some(expire) = &body.expire else { return Ok(()) };
        let follows = expire.from == to + 1 && expire.to > to && expire.to <= self.head;
        let mut last = to;
        let named = expire.segments.iter().all(|segment| {
            let ascends = segment.record > last && segment.record <= expire.to;
            last = segment.record;
            ascends && segment.units <= segment.lines
        });
        let more = expire.segments.iter().map(|segment| segment.units);
        let exist = more.fold(units, u64::saturating_add) <= self.totals.journaled
            && segments + expire.segments.len() as u64 <= self.totals.segments;
        if body.deleted.is_none() && follows && named && exist {
            Ok(())
        } else {
            Err(Invalid::Inconsistent("segments expire in the order of their records"))
        }
    }

    pub(super) fn fold_expire(&mut self, at: Timestamp, body: &Body) {
        if let Some(deleted) = body.deleted {
            self.expired.deleted = deleted;
        }
        let Some(expire) = &body.expire else { return };
        self.format = Self::FORMAT_EXPIRED;
        let expired = &mut self.expired;
        expired.to = expire.to;
        expired.committed_at = Some(expire.committed_at);
        expired.at = Some(at);
        for segment in &expire.segments {
            expired.segments += 1;
            expired.units += segment.units;
            expired.bytes = expired.bytes.saturating_add(segment.bytes);
            expired.damaged += u64::from(segment.root.is_none());
        }
    }
}
