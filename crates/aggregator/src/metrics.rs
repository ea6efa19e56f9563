//! What the aggregator counts, in Prometheus's terms.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The aggregator's metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) events: Counter,
    pub(crate) commits: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) segment_bytes: Counter,
    pub(crate) batches: Counter,
    pub(crate) refused: Family<Refused, Counter>,
    pub(crate) handshakes_failed: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) buffer_bytes: Gauge,
    pub(crate) head: Gauge,
    pub(crate) forks: Gauge,
    pub(crate) gaps: Gauge,
}

/// Why something was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Refused {
    pub(crate) reason: String,
}

impl Metrics {
    /// Registers everything under `orgtrail_aggregator_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("orgtrail_aggregator");
        registry.register("events", "Lines committed to the journal", self.events.clone());
        registry.register("commits", "Commit records made", self.commits.clone());
        registry.register(
            "commit_conflicts",
            "Record numbers that another aggregator took first",
            self.conflicts.clone(),
        );
        registry.register("segment_bytes", "Bytes of segments put", self.segment_bytes.clone());
        registry.register("batches", "Batches admitted", self.batches.clone());
        registry.register("refused", "Sessions ended by refusal", self.refused.clone());
        registry.register(
            "handshakes_failed",
            "Connections that did not prove who they are",
            self.handshakes_failed.clone(),
        );
        registry.register("sessions", "Agents connected now", self.sessions.clone());
        registry.register(
            "buffer_bytes",
            "Bytes granted to agents or waiting for a commit",
            self.buffer_bytes.clone(),
        );
        registry.register("journal_head", "Last journal record folded", self.head.clone());
        registry.register("forks", "Spools that replaced another one", self.forks.clone());
        registry.register("gaps", "Gap records in the journal", self.gaps.clone());
    }

    pub(crate) fn refuse(&self, reason: &str) {
        self.refused.get_or_create(&Refused { reason: reason.to_owned() }).inc();
    }
}
