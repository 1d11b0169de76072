//! Averages, maxima and rates over the last while, as Kafka's `SampledStat` keeps them.
//!
//! Time is cut into samples of `metrics.sample.window.ms`; the newest `metrics.num.samples` of them
//! count. Recording is a handful of atomic operations, without a lock. Two threads that begin the
//! same sample at the same moment may lose one of their values; each window of ours has one writer,
//! so this does not happen, and nothing worse would.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `metrics.sample.window.ms` and `metrics.num.samples`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub sample_ms: u64,
    pub samples: u64,
}

impl Default for Frame {
    /// Kafka's.
    fn default() -> Self {
        Self { sample_ms: 30_000, samples: 2 }
    }
}

/// The values of the last samples.
pub struct Window {
    frame: Frame,
    samples: Box<[Sample]>,
}

#[derive(Default)]
struct Sample {
    /// When its first value was recorded; 0 before that.
    start: AtomicU64,
    count: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

/// What a window holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    pub count: u64,
    pub sum: u64,
    /// NaN without values, as Kafka has it; so are `max` and [`Seen::average`].
    pub min: f64,
    pub max: f64,
    /// Seconds that a rate is over.
    pub seconds: f64,
}

impl Seen {
    pub fn average(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum as f64 / self.count as f64 }
    }

    /// The sum of values per second.
    pub fn rate(&self) -> f64 {
        self.sum as f64 / self.seconds
    }
}

impl Window {
    pub fn new(frame: Frame) -> Self {
        let frame = Frame { sample_ms: frame.sample_ms.max(1), samples: frame.samples.max(1) };
        Self { frame, samples: (0..frame.samples).map(|_| Sample::default()).collect() }
    }

    /// Records a value at a time of [`model::figures::clock_ms`].
    pub fn record(&self, now: u64, value: u64) {
        let epoch = now / self.frame.sample_ms;
        let place = usize::try_from(epoch % self.frame.samples).unwrap_or_default();
        let Some(sample) = self.samples.get(place) else { return };
        let start = sample.start.load(Relaxed);
        if start == 0 || start / self.frame.sample_ms != epoch {
            sample.count.store(0, Relaxed);
            sample.sum.store(0, Relaxed);
            sample.min.store(u64::MAX, Relaxed);
            sample.max.store(0, Relaxed);
            sample.start.store(now, Relaxed);
        }
        sample.count.fetch_add(1, Relaxed);
        sample.sum.fetch_add(value, Relaxed);
        sample.min.fetch_min(value, Relaxed);
        sample.max.fetch_max(value, Relaxed);
    }

    pub fn seen(&self, now: u64) -> Seen {
        let epoch = now / self.frame.sample_ms;
        let mut seen = Seen { count: 0, sum: 0, min: f64::NAN, max: f64::NAN, seconds: 0.0 };
        let mut oldest = now;
        for sample in &self.samples {
            let start = sample.start.load(Relaxed);
            let age = epoch.saturating_sub(start / self.frame.sample_ms);
            let count = sample.count.load(Relaxed);
            if start == 0 || count == 0 || age >= self.frame.samples {
                continue;
            }
            seen.count += count;
            seen.sum += sample.sum.load(Relaxed);
            seen.min = seen.min.min(sample.min.load(Relaxed) as f64);
            seen.max = seen.max.max(sample.max.load(Relaxed) as f64);
            oldest = oldest.min(start);
        }
        // As Kafka's Rate: as if all samples but one had been full, so that a rate does not leap
        // when the first values come.
        let elapsed = now.saturating_sub(oldest);
        let full = elapsed / self.frame.sample_ms;
        let missing = (self.frame.samples - 1).saturating_sub(full);
        let over = elapsed + missing * self.frame.sample_ms;
        seen.seconds = over.max(self.frame.sample_ms) as f64 / 1_000.0;
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { sample_ms: 1_000, samples: 2 };

    #[test]
    fn empty_is_not_a_number() {
        let seen = Window::new(FRAME).seen(5_000);
        assert!(seen.average().is_nan() && seen.max.is_nan() && seen.min.is_nan());
        assert_eq!((seen.count, seen.rate()), (0, 0.0));
    }

    #[test]
    fn values_leave_with_their_sample() {
        let window = Window::new(FRAME);
        window.record(1_000, 10);
        window.record(1_900, 20);
        window.record(2_100, 60);
        let seen = window.seen(2_500);
        assert_eq!((seen.count, seen.sum, seen.min, seen.max), (3, 90, 10.0, 60.0));
        assert_eq!(seen.average(), 30.0);
        // 90 in the 1.5 s since the oldest sample began.
        assert_eq!(seen.rate(), 60.0);
        let seen = window.seen(3_100);
        assert_eq!((seen.count, seen.max), (1, 60.0));
        assert_eq!(window.seen(4_000).count, 0);
        // The place is used again, and holds nothing of before.
        window.record(4_200, 5);
        let seen = window.seen(4_200);
        assert_eq!((seen.count, seen.min, seen.max), (1, 5.0, 5.0));
    }

    /// Kafka takes the samples that are not there yet for full ones.
    #[test]
    fn a_rate_does_not_leap_at_the_start() {
        let window = Window::new(FRAME);
        window.record(10_000, 100);
        assert_eq!(window.seen(10_000).rate(), 100.0);
        assert_eq!(window.seen(10_500).rate(), 100.0 / 1.5);
    }
}
