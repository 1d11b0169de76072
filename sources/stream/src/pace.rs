//! So many records a second, as Kafka's `ThroughputThrottler` paces its test sources.

use std::time::Duration;

use model::{connector::Outbox, record::Batch};
use tokio::{sync::mpsc::Permit, time::Instant};

/// More at once would hold up what else shares the thread; without a limit of pace, few would cost
/// a wait for standard output each.
const RECORDS_MAX: u64 = 500;

pub(crate) struct Pace {
    start: Instant,
    /// Below zero there is no limit; zero lets the first record go and no other.
    per_second: i64,
}

impl Pace {
    pub(crate) fn new(per_second: i64) -> Self {
        Self { start: Instant::now(), per_second }
    }

    /// Waits until record number `sent` (from 0) may go and there is room for it. Gives how many may
    /// go, at most `RECORDS_MAX`; `None` is to stop. Cancel-safe.
    pub(crate) async fn room<'o>(
        &self,
        out: &'o mut Outbox,
        sent: u64,
    ) -> Option<(Permit<'o, Batch>, u64)> {
        match self.due(sent) {
            Some(due) => tokio::select! {
                biased;
                () = out.stopped() => return None,
                () = tokio::time::sleep_until(due) => {}
            },
            None => {
                out.stopped().await;
                return None;
            }
        }
        let permit = out.room().await?;
        Some((permit, self.ready(sent, Instant::now())))
    }

    /// When record number `sent` may go; `None` is never.
    fn due(&self, sent: u64) -> Option<Instant> {
        match self.per_second {
            _ if sent == 0 => Some(self.start),
            ..0 => Some(self.start),
            0 => None,
            rate => Some(self.start + Duration::from_secs_f64(sent as f64 / rate as f64)),
        }
    }

    /// How many may go at `now`, when `sent` have gone and one may.
    fn ready(&self, sent: u64, now: Instant) -> u64 {
        let due = match self.per_second {
            ..0 => u64::MAX,
            rate => ((now - self.start).as_secs_f64() * rate as f64) as u64 + 1,
        };
        due.saturating_sub(sent).clamp(1, RECORDS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn when_and_how_many() {
        let after = |pace: &Pace, sent| pace.due(sent).map(|due| (due - pace.start).as_millis());
        let pace = Pace::new(10);
        assert_eq!([0, 1, 25].map(|sent| after(&pace, sent)), [Some(0), Some(100), Some(2500)]);
        let later = pace.start + Duration::from_millis(2550);
        assert_eq!([0, 20, 25, 26].map(|sent| pace.ready(sent, later)), [26, 6, 1, 1]);
        assert_eq!([0, 7].map(|sent| after(&Pace::new(-1), sent)), [Some(0), Some(0)]);
        assert_eq!(pace.ready(0, pace.start + Duration::from_secs(3_600)), RECORDS_MAX);
        assert_eq!(Pace::new(-1).ready(7, later), RECORDS_MAX);
        assert_eq!([0, 1].map(|sent| after(&Pace::new(0), sent)), [Some(0), None]);
    }
}
