//! The broker that keeps a group: finding it, and finding it again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kafka_protocol::{
    error::ResponseError,
    messages::{FindCoordinatorRequest, FindCoordinatorResponse, find_coordinator_response},
    protocol::StrBytes,
};
use model::error::{Error, Kind, Result};
use tokio::time::{self, Instant};
use tracing::{debug, info};

use super::{connection::Connection, member::Settings, security::Security};

/// What a coordinator is looked for by: the id of a group, not of a transaction.
const KEY_TYPE_GROUP: i8 = 0;

/// The coordinator of one group; clones share what is known of it.
#[derive(Clone)]
pub(super) struct Coordinator {
    settings: Arc<Settings>,
    current: Arc<Mutex<Option<Connection>>>,
    /// A coordinator that was, beside the bootstrap servers: it may outlive them.
    last: Arc<Mutex<Option<String>>>,
}

impl Coordinator {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, current: Arc::default(), last: Arc::default() }
    }

    /// The connection that is open, if one is.
    pub(super) fn current(&self) -> Option<Connection> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks elsewhere next time, unless somebody has done so already.
    pub(super) fn forget(&self, connection: &Connection) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.same(connection)) {
            *current = None;
        }
    }

    /// The connection to the coordinator, which is looked for until the time is over.
    ///
    /// Fatal is what a person must mend, such as a group that this client may not use.
    pub(super) async fn reach(&self) -> Result<Connection> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let limit = self.settings.discovery_timeout();
        let deadline = Instant::now() + limit;
        let group = &self.settings.group_id;
        let mut failure = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match time::timeout(left, self.find(left)).await {
                Ok(Ok(connection)) => {
                    info!("the coordinator of group {group} is {}", connection.address());
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(connection.clone());
                    return Ok(connection);
                }
                Ok(Err(error)) if error.kind() == Kind::Fatal => return Err(error),
                Ok(Err(error)) => {
                    debug!("looking for the coordinator of group {group}: {}", error.trace());
                    failure = Some(error);
                }
                Err(_) => {}
            }
            if Instant::now() + self.settings.retry_backoff >= deadline {
                let error = Error::retriable(format!(
                    "the coordinator of group {group} was not found within {} ms",
                    limit.as_millis()
                ));
                return Err(match failure {
                    Some(failure) => error.caused_by(failure),
                    None => error,
                });
            }
            time::sleep(self.settings.retry_backoff).await;
        }
    }

    /// Asks all the brokers known at once, so that one that hangs does not use up the time, and
    /// connects to the coordinator that the first answer names.
    async fn find(&self, limit: Duration) -> Result<Connection> {
        let mut addresses = self.settings.bootstrap_servers.clone();
        addresses.extend(self.last.lock().unwrap_or_else(PoisonError::into_inner).clone());
        addresses.dedup();
        let mut asked: FuturesUnordered<_> =
            addresses.iter().map(|address| self.ask(address, limit)).collect();
        let mut failure = None;
        let found = loop {
            match asked.next().await {
                Some(Ok(found)) => break found,
                // What must be mended is told rather than what may pass.
                Some(Err(error)) => {
                    if failure.as_ref().is_none_or(|known: &Error| known.kind() != Kind::Fatal) {
                        failure = Some(error);
                    }
                }
                None => {
                    return Err(failure.unwrap_or_else(|| {
                        Error::fatal("no bootstrap.servers are given; name a Kafka broker")
                    }));
                }
            }
        };
        drop(asked);
        let connection = self.open(&found, limit).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(connection)
    }

    async fn open(&self, address: &str, limit: Duration) -> Result<Connection> {
        let Settings { client_id, security, .. } = &*self.settings;
        Connection::open(address, client_id, security, limit).await
    }

    async fn ask(&self, address: &str, limit: Duration) -> Result<String> {
        let Settings { client_id, security, group_id, .. } = &*self.settings;
        coordinator_of(group_id, address, client_id, security, limit).await
    }
}

/// Where a group's coordinator is, `host:port`, as the broker at `address` knows. Each step may take
/// as long as `limit`.
pub(crate) async fn coordinator_of(
    group_id: &str,
    address: &str,
    client_id: &str,
    security: &Security,
    limit: Duration,
) -> Result<String> {
    let connection = Connection::open(address, client_id, security, limit).await?;
    let key = StrBytes::from_string(group_id.to_owned());
    // From version 4 on several groups can be asked for at once.
    let request = FindCoordinatorRequest::default().with_key_type(KEY_TYPE_GROUP);
    let request = if connection.version::<FindCoordinatorRequest>()? >= 4 {
        request.with_coordinator_keys(vec![key])
    } else {
        request.with_key(key)
    };
    let answer = connection.call(&request, limit).await?;
    let (error, host, port) = place(&answer);
    if error != 0 {
        return Err(refused(error, &format!("finding the coordinator of group {group_id}")));
    }
    // An IPv6 address stands in brackets before a port.
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

fn place(answer: &FindCoordinatorResponse) -> (i16, &str, i32) {
    match answer.coordinators.first() {
        Some(find_coordinator_response::Coordinator { error_code, host, port, .. }) => {
            (*error_code, host, *port)
        }
        None => (answer.error_code, &answer.host, answer.port),
    }
}

/// An error that the broker answered, sorted by whether it can pass.
pub(super) fn refused(code: i16, tried: &str) -> Error {
    use ResponseError as E;
    let known = ResponseError::try_from_code(code);
    let hint = match known {
        Some(E::GroupAuthorizationFailed) => {
            "; let this client's user read the group (an ACL for READ on it)"
        }
        Some(E::InconsistentGroupProtocol) => {
            "; its members have another protocol type, or none of the connect.protocol in common: \
             choose another group.id, or set connect.protocol as the other workers have it"
        }
        Some(E::InvalidSessionTimeout) => {
            "; set session.timeout.ms between the broker's group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        Some(E::GroupMaxSizeReached) => "; raise the broker's group.max.size",
        _ => "",
    };
    let fact = known.map_or_else(|| format!("error {code}"), |error| error.to_string());
    let message = format!("{tried} failed: {fact}{hint}");
    let fatal = match known {
        Some(
            E::GroupAuthorizationFailed
            | E::InconsistentGroupProtocol
            | E::InvalidSessionTimeout
            | E::InvalidGroupId
            | E::GroupMaxSizeReached
            | E::FencedInstanceId
            | E::UnsupportedVersion,
        ) => true,
        // What nobody has classified may pass.
        _ => false,
    };
    if fatal { Error::fatal(message) } else { Error::retriable(message) }
}
