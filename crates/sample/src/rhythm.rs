//! When things happen: more by day than by night, less at weekends.

const HOUR_SECS: i64 = 3600;
/// How much happens in each hour of a day, in UTC.
const DAY: [u32; 24] =
    [5, 4, 4, 4, 5, 6, 8, 11, 14, 16, 16, 15, 14, 15, 16, 16, 15, 14, 12, 10, 9, 8, 7, 6];

/// A span of time, cut into hours of different weight.
#[derive(Clone, Debug)]
pub(crate) struct Rhythm {
    begin: i64,
    end: i64,
    /// Where in the cumulated sum each hour ends.
    ends: Vec<u64>,
    hour: usize,
}

impl Rhythm {
    pub(crate) fn new(end: i64, days: u32) -> Self {
        let begin = end - i64::from(days.max(1)) * 24 * HOUR_SECS;
        let mut sum = 0;
        let ends = (0..i64::from(days.max(1)) * 24)
            .map(|hour| {
                let hours = (begin + hour * HOUR_SECS).div_euclid(HOUR_SECS);
                // The epoch was a Thursday.
                let weekday = (hours.div_euclid(24) + 3).rem_euclid(7);
                let weight = usize::try_from(hours.rem_euclid(24))
                    .ok()
                    .and_then(|hour| DAY.get(hour))
                    .copied()
                    .unwrap_or(10);
                sum += u64::from(if weekday >= 5 { weight.div_ceil(2) } else { weight });
                sum
            })
            .collect();
        Self { begin, end, ends, hour: 0 }
    }

    pub(crate) const fn begin(&self) -> i64 {
        self.begin
    }

    /// The second that lies `part`/2^32 into all that happens. Must be asked
    /// with growing parts.
    pub(crate) fn at(&mut self, part: u64) -> i64 {
        let total = self.ends.last().copied().unwrap_or(1);
        // In units of 2^-32 of an hour's weight of 1.
        let point = part.saturating_mul(total);
        while self.ends.get(self.hour).is_some_and(|end| end << 32 <= point)
            && self.hour + 1 < self.ends.len()
        {
            self.hour += 1;
        }
        let before =
            self.hour.checked_sub(1).and_then(|hour| self.ends.get(hour)).copied().unwrap_or(0);
        let weight = self.ends.get(self.hour).copied().unwrap_or(1).saturating_sub(before).max(1);
        let within = point.saturating_sub(before << 32) / weight;
        let seconds = (within.min((1 << 32) - 1) * 3600) >> 32;
        let hour = i64::try_from(self.hour).unwrap_or(0);
        (self.begin + hour * HOUR_SECS + i64::try_from(seconds).unwrap_or(0)).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_and_stays_within_the_days() {
        let end = 1_795_000_000;
        let mut rhythm = Rhythm::new(end, 14);
        let mut last = rhythm.begin();
        for step in 0..100_000_u64 {
            let now = rhythm.at((step << 32) / 100_000);
            assert!(now >= last && now <= end, "{now} after {last}");
            last = now;
        }
        assert!(end - last < 3600, "the last hour is reached");
    }
}
