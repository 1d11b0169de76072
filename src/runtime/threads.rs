//! Threads for tasks and for connector code.
//!
//! Connector code may keep its thread: it computes for long, it calls something that blocks, it
//! hangs. So each piece of it that runs on its own (a source's `run`, a sink's loop of calls, what a
//! connector is asked) has a thread of its own while it runs, and nothing else runs there. What it
//! waits for (sockets, timers, channels) is watched by the runtime of the tasks, which also runs the
//! drivers and whatever connector code spawns. The worker itself (REST, herder, group membership,
//! storage topics) is on another runtime.
//!
//! A thread costs some 20 KiB and, per wait, one switch between threads; a source waits per batch.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Of one worker, for tasks and calls that block. Each of them only takes a thread while it runs, so
/// this is a guard against running wild, far above what a machine starts threads for.
const BLOCKED_MAX: usize = 32_768;

/// Where tasks and connector code run.
#[derive(Clone)]
pub struct Threads(Handle);

impl Threads {
    /// A runtime for the tasks of a worker. Whoever keeps it decides when its threads end.
    pub fn open() -> std::io::Result<(Runtime, Self)> {
        let runtime = Builder::new_multi_thread()
            .thread_name("task")
            .max_blocking_threads(BLOCKED_MAX)
            .enable_all()
            .build()?;
        let threads = Self(runtime.handle().clone());
        Ok((runtime, threads))
    }

    /// On the runtime of the caller.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[cfg(test)]
    pub fn here() -> Self {
        Self(Handle::current())
    }

    /// Runs what never blocks, beside the drivers of other tasks.
    pub fn drive(&self, driver: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.0.spawn(driver)
    }

    /// Runs connector code on a thread of its own, from now on.
    pub fn run<T: Send + 'static>(
        &self,
        code: impl Future<Output = T> + Send + 'static,
    ) -> Code<T> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let runtime = self.0.clone();
        let code = stop.run_until_cancelled_owned(code);
        Code { running: self.0.spawn_blocking(move || runtime.block_on(code)), _stop: guard }
    }
}

/// Connector code on a thread of its own; resolves to its answer. When this is dropped the code ends
/// at its next await; a thread that it blocks is left to it.
pub struct Code<T> {
    running: JoinHandle<Option<T>>,
    _stop: DropGuard,
}

/// Connector code that gave no answer.
#[derive(Debug)]
pub enum Fault {
    /// With what it panicked.
    Panicked(Box<dyn Any + Send>),
    /// The worker ends.
    Ended,
}

impl<T> Future for Code<T> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.running).poll(context)) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Fault::Ended),
            Err(ended) => Err(match ended.try_into_panic() {
                Ok(panic) => Fault::Panicked(panic),
                Err(_) => Fault::Ended,
            }),
        })
    }
}

/// What was panicked with, where it is a text.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}
