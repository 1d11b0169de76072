//! The heartbeats of a member, from one join to the next.
//!
//! A member hears that the others are called together only when it sends a heartbeat. Rounds come in
//! series: what one takes from a member the next gives to another, and nobody runs it in between;
//! workers are restarted one after the other. So for some time after a round the heartbeats follow
//! each other quickly. The time without them is `heartbeat.interval.ms`, as ever.

use std::{sync::Arc, time::Duration};

use kafka_protocol::{
    error::ResponseError,
    messages::{GroupId, HeartbeatRequest},
    protocol::StrBytes,
};
use model::error::{Error, Result};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{self, Instant},
};
use tracing::{debug, info, warn};

use super::{
    connection::Connection,
    coordinator::Coordinator,
    lease::Lease,
    member::{Event, Settings},
};

/// Between two heartbeats while another round is likely.
const QUICK: Duration = Duration::from_millis(200);

/// How long that is, in intervals.
const QUICK_INTERVALS: u32 = 3;

/// The task that sends them; it ends when this is dropped.
pub(super) struct Heart {
    event: watch::Receiver<Option<Event>>,
    task: AbortHandle,
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heart {
    /// Beats over `connection` as long as that lasts.
    pub(super) fn start(
        settings: Arc<Settings>,
        lease: Arc<Lease>,
        coordinator: Coordinator,
        connection: Connection,
        generation: i32,
        member: String,
    ) -> Self {
        let (told, event) = watch::channel(None);
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(settings.group_id.clone())))
            .with_generation_id(generation)
            .with_member_id(StrBytes::from_string(member));
        let beat = Beat { settings, lease, coordinator, request, told };
        let task = tokio::spawn(beat.run(connection)).abort_handle();
        Self { event, task }
    }

    /// Waits for the reason to join again.
    pub(super) async fn event(&mut self) -> Event {
        let told = self.event.wait_for(Option::is_some).await;
        let event = told.ok().and_then(|event| event.clone());
        event.unwrap_or_else(|| Event::Lost("the heartbeats ended".to_owned()))
    }
}

struct Beat {
    settings: Arc<Settings>,
    lease: Arc<Lease>,
    coordinator: Coordinator,
    request: HeartbeatRequest,
    told: watch::Sender<Option<Event>>,
}

impl Beat {
    /// Ends when there is nothing left to keep alive, with the event told.
    async fn run(self, mut connection: Connection) {
        let mut heard = Instant::now();
        let interval = self.settings.heartbeat_interval;
        let quick_until = heard + interval * QUICK_INTERVALS;
        let mut pause = interval.min(QUICK);
        loop {
            self.rest(pause).await;
            let silent = heard.elapsed();
            if silent >= self.settings.session_timeout {
                // This process stood still, or the coordinator was sought for so long.
                return self.lost(format!(
                    "nothing was heard from the coordinator for {} ms, longer than \
                     session.timeout.ms",
                    silent.as_millis()
                ));
            }
            pause = if Instant::now() < quick_until { interval.min(QUICK) } else { interval };
            // After a session without an answer it is over, whether or not the socket knows.
            let left = self.settings.session_timeout - silent;
            let limit = left.min(self.settings.request_timeout).max(Duration::from_millis(1));
            let sent = Instant::now();
            let answer: Result<Option<ResponseError>> = connection
                .call(&self.request, limit)
                .await
                .map(|answer| ResponseError::try_from_code(answer.error_code));
            if answer.is_ok() {
                self.settings.observer.heartbeat(sent.elapsed());
            }
            match answer {
                Ok(None) => {
                    heard = Instant::now();
                    self.lease.renew(sent);
                }
                Ok(Some(ResponseError::RebalanceInProgress)) => {
                    heard = Instant::now();
                    self.lease.renew(sent);
                    self.rebalance();
                }
                Ok(Some(
                    ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable,
                )) => {
                    let moved = Error::retriable("the group has another coordinator");
                    match self.look(&connection, &moved).await {
                        Some(found) => connection = found,
                        None => return,
                    }
                    pause = self.settings.retry_backoff;
                }
                Ok(Some(
                    error @ (ResponseError::UnknownMemberId
                    | ResponseError::IllegalGeneration
                    | ResponseError::FencedInstanceId),
                )) => return self.lost(error.to_string()),
                // Whatever else it is, the session runs out if it does not pass.
                Ok(Some(error)) => {
                    debug!("group {} refused a heartbeat: {error}", self.settings.group_id);
                    if heard.elapsed() > self.settings.session_timeout {
                        return self.lost(error.to_string());
                    }
                }
                Err(error) => {
                    match self.look(&connection, &error).await {
                        Some(found) => connection = found,
                        None => return,
                    }
                    pause = self.settings.retry_backoff;
                }
            }
        }
    }

    /// Waits, and looks at the clock meanwhile.
    async fn rest(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            time::sleep_until(end.min(Instant::now() + self.lease.look_every())).await;
            self.lease.look();
        }
    }

    fn rebalance(&self) {
        let first = self.told.borrow().is_none();
        if first {
            info!("group {} rebalances", self.settings.group_id);
            self.told.send_replace(Some(Event::Rebalance));
        }
    }

    fn lost(&self, why: String) {
        self.lease.lose();
        warn!("the membership in group {} is lost: {why}", self.settings.group_id);
        self.told.send_replace(Some(Event::Lost(why)));
    }

    /// The coordinator's new connection; none, with the event told, if it isn't found in time.
    async fn look(&self, connection: &Connection, why: &Error) -> Option<Connection> {
        let group = &self.settings.group_id;
        warn!("the coordinator of group {group} is lost; looking for it: {}", why.trace());
        self.coordinator.forget(connection);
        match self.coordinator.reach().await {
            Ok(found) => Some(found),
            Err(error) => {
                let why = error.trace();
                self.told.send_replace(Some(Event::Unreachable(why)));
                None
            }
        }
    }
}
