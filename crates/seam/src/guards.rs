//! The guards of the protocol, as a value: each can be switched off, to see that
//! a simulation notices.
//!
//! A guard is a step that looks as if one could do without it. What proves that
//! one cannot is a run in which it is left out and a promise breaks. That is
//! possible only where `debug_assertions` are on; in every other build
//! [`Guards`] has no content, [`Guards::hold`] is `true`, and the code for the
//! other case is compiled away.

/// One guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// An agent is acked only when its batch is committed.
    AckAfterCommit,
    /// Folded state does not advance while the fate of a commit is unknown.
    OneCommitInFlight,
    /// A put that did not plainly succeed is read back before it is judged.
    ReadBack,
    /// Log records are created, never overwritten.
    CreateOnlyRecords,
    /// A batch must follow the watermark (and, in the buffer, the buffered end).
    Watermark,
    /// A batch must name the chain hash at which its stream stands.
    ChainOfBatch,
    /// The second batch of a record is checked against what its first leaves.
    CumulativeValidation,
    /// Admission continues from the buffered end, not from the watermark.
    BufferedEnd,
    /// Opening a spool ends the stream of the one before.
    OpenFences,
    /// Opening is valid only in place of the active spool.
    OpenNamesReplaced,
    /// An agent whose spool was replaced stops.
    FencedStops,
    /// On resume an agent compares its chain with the journal's.
    ChainOnResume,
    /// A journal that stands below the trim point is stale, and never a fork.
    StaleIsNoFork,
    /// Records are durable before they are forwarded or answered.
    SyncBeforeUse,
    /// A failed fsync poisons the spool until it is opened again.
    PoisonAfterFailedSync,
    /// New names are made durable.
    SyncDirectory,
    /// The trim point is durable before what lies below it is unlinked.
    TrimBeforeUnlink,
    /// A trim point is moved to what was acked, never beyond.
    ReleaseOnlyAcked,
    /// A pass announces itself before it puts files.
    IntentBeforeFiles,
    /// Of passes and settlings at most one is open.
    OneOpenIntent,
    /// Whoever finishes an intent does what it pins.
    FinishWhatIsPinned,
    /// Data files are created, never overwritten.
    CreateOnlyFiles,
    /// A record names objects before they are deleted.
    SweepByRecord,
    /// A segment whose name a sweep has ended is not committed any more.
    SweepEndsNames,
}

impl Guard {
    /// All guards.
    pub const ALL: [Self; 24] = [
        Self::AckAfterCommit,
        Self::OneCommitInFlight,
        Self::ReadBack,
        Self::CreateOnlyRecords,
        Self::Watermark,
        Self::ChainOfBatch,
        Self::CumulativeValidation,
        Self::BufferedEnd,
        Self::OpenFences,
        Self::OpenNamesReplaced,
        Self::FencedStops,
        Self::ChainOnResume,
        Self::StaleIsNoFork,
        Self::SyncBeforeUse,
        Self::PoisonAfterFailedSync,
        Self::SyncDirectory,
        Self::TrimBeforeUnlink,
        Self::ReleaseOnlyAcked,
        Self::IntentBeforeFiles,
        Self::OneOpenIntent,
        Self::FinishWhatIsPinned,
        Self::CreateOnlyFiles,
        Self::SweepByRecord,
        Self::SweepEndsNames,
    ];
}

/// Which guards hold: all, unless a simulation says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// One bit for each guard that is off.
    #[cfg(debug_assertions)]
    off: u32,
}

impl Guards {
    /// Whether a guard holds.
    #[must_use]
    pub fn hold(self, guard: Guard) -> bool {
        self.off() & (1 << guard as u32) == 0
    }

    #[cfg(debug_assertions)]
    fn off(self) -> u32 {
        self.off
    }

    #[cfg(not(debug_assertions))]
    fn off(self) -> u32 {
        0
    }

    /// These guards without one of them.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn without(self, guard: Guard) -> Self {
        Self { off: self.off | (1 << guard as u32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_guards_hold_unless_one_is_switched_off() {
        assert!(Guard::ALL.iter().all(|guard| Guards::default().hold(*guard)));
        #[cfg(debug_assertions)]
        for off in Guard::ALL {
            let guards = Guards::default().without(off);
            assert!(Guard::ALL.iter().all(|guard| guards.hold(*guard) == (*guard != off)));
        }
    }

    /// In what is shipped a guard cannot even be told to be off.
    #[cfg(not(debug_assertions))]
    #[test]
    fn what_is_shipped_has_no_switch() {
        assert_eq!(size_of::<Guards>(), 0);
    }
}
