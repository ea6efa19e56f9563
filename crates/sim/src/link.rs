//! Links that fail: messages late, lost, doubled, out of order, and connections
//! that break or carry one way only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faults::Dice;
use tokio::sync::mpsc;
use wire::v1::{self, from_agent, from_aggregator};

/// How often what goes wrong on a link; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkRates {
    /// A message is lost.
    pub(crate) lost: u64,
    /// A message arrives twice.
    pub(crate) doubled: u64,
    /// A message is overtaken by the next one.
    pub(crate) overtaken: u64,
    /// The connection breaks.
    pub(crate) broken: u64,
    /// Messages take up to so long.
    pub(crate) delay_millis_max: u64,
}

/// Told of each message that is sent, before anything can go wrong with it.
pub(crate) type Seen<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// Carries messages from one end to the other, until either end goes or the
/// link breaks. While `cut`, nothing gets through.
pub(crate) async fn carry<T: Clone + Send>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<T>,
    rates: LinkRates,
    cut: Arc<AtomicBool>,
    dice: Dice,
    seen: Seen<T>,
) {
    let mut overtaken = None;
    while let Some(message) = from.recv().await {
        seen(&message);
        if dice.one_in(rates.broken) {
            return;
        }
        if rates.delay_millis_max > 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(rates.delay_millis_max))).await;
        }
        if cut.load(Ordering::Relaxed) || dice.one_in(rates.lost) {
            continue;
        }
        if overtaken.is_none() && dice.one_in(rates.overtaken) {
            overtaken = Some(message);
            continue;
        }
        let doubled = dice.one_in(rates.doubled).then(|| message.clone());
        for message in [Some(message), overtaken.take(), doubled].into_iter().flatten() {
            if to.send(message).await.is_err() {
                return;
            }
        }
    }
}

fn short(bytes: &[u8]) -> String {
    bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What an agent says, in a line of the trace.
pub(crate) fn from_agent_line(message: &v1::FromAgent) -> String {
    match &message.message {
        Some(from_agent::Message::Hello(hello)) => {
            let spool = short(&hello.spool_id);
            format!("hello {spool} released {} head {}", hello.released, hello.head)
        }
        Some(from_agent::Message::Open(open)) => {
            format!("open {} replaces {}", short(&open.spool_id), short(&open.replaces))
        }
        Some(from_agent::Message::Batch(batch)) => {
            format!("batch {}..{} {}", batch.from, batch.to, short(&batch.chain))
        }
        Some(from_agent::Message::Heartbeat(_)) => "heartbeat".to_owned(),
        Some(from_agent::Message::Want(want)) => format!("want {}", want.bytes),
        _ => "something".to_owned(),
    }
}

/// What an aggregator says, in a line of the trace.
pub(crate) fn from_aggregator_line(message: &v1::FromAggregator) -> String {
    match &message.message {
        Some(from_aggregator::Message::Welcome(welcome)) => {
            let stands = welcome.position.as_ref().map(|position| position.watermark);
            format!("welcome active {} stands {stands:?}", short(&welcome.active_spool_id))
        }
        Some(from_aggregator::Message::Opened(opened)) => format!("opened {}", opened.record),
        Some(from_aggregator::Message::Credit(credit)) => format!("credit {}", credit.bytes),
        Some(from_aggregator::Message::Ack(ack)) => {
            format!("ack {} to {} record {}", short(&ack.spool_id), ack.to, ack.record)
        }
        Some(from_aggregator::Message::Refused(refused)) => format!("refused {}", refused.message),
        _ => "something".to_owned(),
    }
}
