//! All chance of one run, from one seed.

use std::sync::{Arc, Mutex, PoisonError};

use seam::Entropy;

/// A sequence of numbers (SplitMix64); clones draw from the same one.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<u64>>);

impl Dice {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// A number below `bound`; 0 if `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }

    /// True once in `times` draws; never if `times` is 0.
    #[must_use]
    pub fn one_in(&self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// An index into something of this length.
    #[must_use]
    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// The same chance as the product's source of randomness.
    #[must_use]
    pub fn entropy(&self) -> Entropy {
        let dice = self.clone();
        Entropy::new(move |buffer| {
            for byte in buffer {
                *byte = u8::try_from(dice.below(256)).unwrap_or(0);
            }
        })
    }
}
