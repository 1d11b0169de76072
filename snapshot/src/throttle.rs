//! `snapshot.max.rows.per.second`: how fast all readers of a snapshot may be together.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Shared by the readers. Rows are taken in slices of a twentieth of a second, so that they flow and
/// do not come in gusts; what was not used is not saved up.
#[derive(Debug)]
pub struct Throttle {
    per_second: u64,
    /// When the next slice may be read.
    next: Mutex<Instant>,
}

impl Throttle {
    /// `None` when there is no limit.
    pub fn new(per_second: u64) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second, next: Mutex::new(Instant::now()) })
    }

    /// Takes the next rows: how many, and the moment from which on they may be read.
    pub fn take(&self) -> (u64, Instant) {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> (u64, Instant) {
        let rows = (self.per_second / 20).max(1);
        // Nanoseconds of a slice: at most a second's.
        let takes = Duration::from_nanos(rows * 1_000_000_000 / self.per_second);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*next).max(now);
        *next = from + takes;
        (rows, from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever takes, no second has more rows than allowed.
    #[test]
    fn no_more_than_allowed() {
        for per_second in [1, 7, 20, 1_000, 2_000_000] {
            let throttle = Throttle::new(per_second).unwrap();
            let start = Instant::now() + Duration::from_secs(1);
            let mut rows = 0;
            loop {
                let (taken, from) = throttle.take_at(start);
                assert!(from >= start);
                if from - start >= Duration::from_secs(10) {
                    break;
                }
                rows += taken;
            }
            let most = per_second * 10;
            // A slice is whole, and its time is cut to nanoseconds.
            assert!(rows <= most + per_second / 20 + 1 && rows >= most - 1, "{per_second}: {rows}");
        }
    }

    /// A pause is not made up for.
    #[test]
    fn nothing_is_saved_up() {
        let throttle = Throttle::new(100).unwrap();
        let start = Instant::now() + Duration::from_secs(1);
        assert_eq!(throttle.take_at(start), (5, start));
        let later = start + Duration::from_secs(60);
        assert_eq!(throttle.take_at(later), (5, later));
        assert_eq!(throttle.take_at(later), (5, later + Duration::from_millis(50)));
        assert!(Throttle::new(0).is_none());
    }
}
