//! What an agent asks whose spool cannot go on: what the journal holds of it, and
//! that what nobody can supply any more is committed as a gap.

use futures::Stream;
use integrity::StreamHasher;
use journal::{Gap, JournalError, Reach};
use wire::v1::{self, Refusal};

use super::{Live, Opened, SessionEnd, label, refuse};
use crate::buffer::Position;

impl<S> Live<'_, S>
where
    S: Stream<Item = v1::FromAgent> + Send + Unpin,
{
    /// Tells what the journal holds of the agent's spool, so that it can see what
    /// of its own is committed.
    pub(super) async fn leaves(
        &mut self,
        stream: Option<(u64, Position, StreamHasher)>,
        from: u64,
    ) -> Result<(), SessionEnd> {
        let mut next = from;
        if let Some((number, position, hasher)) = stream {
            let journal = &self.shared.requests.journal;
            let unavailable = |error: JournalError| {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read leaves");
                refuse(Refusal::Unavailable, "the journal's store does not answer now")
            };
            let reach = Reach { stream: number, last: position.record, to: position.watermark };
            let mut leaves = journal.leaves(reach, hasher, from).await.map_err(unavailable)?;
            while let Some((first, some)) = leaves.next().await.map_err(unavailable)? {
                next = first + some.len() as u64;
                let leaves: Vec<u8> = some.iter().flat_map(|leaf| leaf.0).collect();
                let message = v1::Leaves { from: first, leaves: leaves.into(), last: false };
                self.send(v1::from_aggregator::Message::Leaves(message)).await?;
            }
        }
        let end = v1::Leaves { from: next, leaves: bytes::Bytes::new(), last: true };
        self.send(v1::from_aggregator::Message::Leaves(end)).await
    }

    /// Commits that nobody can supply some sequences. The stream ends with it.
    pub(super) async fn gap(&mut self, opened: &Opened, gap: &v1::Gap) -> Result<(), SessionEnd> {
        let request = Gap {
            stream: opened.number,
            first: gap.first,
            last: gap.last,
            reason: label(&gap.reason),
        };
        let record = self
            .shared
            .requests
            .gap(request)
            .await
            .map_err(|unavailable| refuse(Refusal::Unavailable, unavailable.to_string()))?
            .map_err(|invalid| refuse(Refusal::OutOfSequence, invalid.to_string()))?;
        self.send(v1::from_aggregator::Message::Gapped(v1::Gapped { record })).await
    }
}
