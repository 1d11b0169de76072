//! What the herder is doing or has done last, for requests that it leaves without an answer. The
//! sentences are Connect's.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};

/// The steps of one loop.
#[derive(Default)]
pub(super) struct Stages(Mutex<Option<Stage>>);

struct Stage {
    what: &'static str,
    began: DateTime<Utc>,
    ended: Option<DateTime<Utc>>,
}

impl Stages {
    /// Until [`Stages::end`] or the next.
    pub(super) fn begin(&self, what: &'static str) {
        let stage = Stage { what, began: Utc::now(), ended: None };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage);
    }

    pub(super) fn end(&self) {
        if let Some(stage) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            stage.ended = Some(Utc::now());
        }
    }

    /// `None` before the first.
    pub(super) fn told(&self) -> Option<String> {
        let stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Stage { what, began, ended } = stage.as_ref()?;
        let at = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let began = at(began);
        Some(match ended {
            None => format!("The worker is currently {what}, which began at {began}."),
            Some(ended) => format!(
                "The last operation the worker completed was {what}, which began at {began} and \
                 completed at {}.",
                at(ended)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let stages = Stages::default();
        assert_eq!(stages.told(), None);
        stages.begin("joining");
        let told = stages.told().unwrap();
        assert!(told.starts_with("The worker is currently joining, which began at 2"), "{told}");
        stages.end();
        let told = stages.told().unwrap();
        let last = "The last operation the worker completed was joining, which began at 2";
        assert!(told.starts_with(last) && told.contains("Z and completed at 2"), "{told}");
    }
}
