//! Links that fail: messages late, lost, doubled, and connections that break.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::dice::Dice;

/// How often what goes wrong on a link; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) lost_one_in: u64,
    pub(crate) doubled_one_in: u64,
    pub(crate) broken_one_in: u64,
    pub(crate) delay_millis_max: u64,
}

impl Rates {
    /// Each kind of fault is on or off, as the dice fall.
    pub(crate) fn draw(dice: &Dice) -> Self {
        let rate = |one_in| if dice.one_in(2) { one_in } else { 0 };
        Self {
            lost_one_in: rate(40),
            doubled_one_in: rate(20),
            broken_one_in: rate(60),
            delay_millis_max: rate(300),
        }
    }
}

/// Carries messages from one end to the other, until either end goes or the
/// link breaks.
pub(crate) async fn carry<T: Clone + Send>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<T>,
    rates: Rates,
    dice: Dice,
) {
    while let Some(message) = from.recv().await {
        if dice.one_in(rates.broken_one_in) {
            return;
        }
        if rates.delay_millis_max > 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(rates.delay_millis_max))).await;
        }
        if dice.one_in(rates.lost_one_in) {
            continue;
        }
        if dice.one_in(rates.doubled_one_in) && to.send(message.clone()).await.is_err() {
            return;
        }
        if to.send(message).await.is_err() {
            return;
        }
    }
}
