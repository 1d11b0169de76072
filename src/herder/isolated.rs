//! Connector code that the control plane asks something of: its own validation, what tasks it makes.

use std::{fmt, future::Future, time::Duration};

use crate::runtime::threads::{self, Threads, panic_text};

/// How long connector code may take to look at its configuration, its database or new offsets, or to
/// name its tasks. As long as a REST request may take.
pub(super) const CONNECTOR_CODE_MAX: Duration = Duration::from_secs(90);

/// Why connector code gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Panicked(String),
    /// It took longer than this.
    Late(Duration),
    /// The worker ends.
    Ended,
}

/// Completes a sentence that begins with whose code it is.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Panicked(how) => write!(f, "panicked: {how}"),
            Fault::Late(within) => write!(f, "did not answer within {} s", within.as_secs()),
            Fault::Ended => f.write_str("was cut short, as the worker ends"),
        }
    }
}

/// Runs connector code on a thread of its own, as code that never waits would keep one of those
/// that everything else runs on. When it is late, or the caller goes away, it ends at its next
/// await; a thread that it blocks is left to it.
pub(super) async fn run<T: Send + 'static>(
    threads: &Threads,
    within: Duration,
    code: impl Future<Output = T> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::time::timeout(within, threads.run(code)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(threads::Fault::Panicked(panic))) => {
            Err(Fault::Panicked(panic_text(panic.as_ref()).unwrap_or_default().to_owned()))
        }
        Ok(Err(threads::Fault::Ended)) => Err(Fault::Ended),
        Err(_) => Err(Fault::Late(within)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// On a runtime of one thread: what blocks does not block it.
    #[tokio::test]
    async fn code_that_blocks_its_thread_holds_nobody() {
        let (release, released) = mpsc::channel::<()>();
        let (told, ended) = tokio::sync::oneshot::channel();
        let within = Duration::from_millis(50);
        let threads = Threads::here();
        let late = run(&threads, within, async move {
            released.recv().unwrap_or_default();
            told.send(()).unwrap();
        });
        assert_eq!(late.await, Err(Fault::Late(within)));
        assert_eq!(
            run(&threads, Duration::from_secs(10), async { 7 }).await,
            Ok(7),
            "others go on"
        );
        drop(release);
        ended.await.expect("it ends when it is let go");
    }

    #[tokio::test]
    async fn code_that_waits_for_ever_is_ended() {
        struct Told(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.take().unwrap().send(()).unwrap();
            }
        }
        let (told, ended) = tokio::sync::oneshot::channel();
        let told = Told(Some(told));
        let within = Duration::from_millis(50);
        let threads = Threads::here();
        let late = run(&threads, within, async move {
            let _told = told;
            std::future::pending::<()>().await;
        });
        assert_eq!(late.await, Err(Fault::Late(within)));
        ended.await.expect("it is dropped");
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let threads = Threads::here();
        let panics = run(&threads, Duration::from_secs(10), async { panic!("no {}", "way") });
        let told: Result<(), _> = panics.await;
        assert_eq!(told, Err(Fault::Panicked("no way".to_owned())));
    }
}
