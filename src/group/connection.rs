//! Requests to one broker, for the group protocol alone.
//!
//! Everything else goes through librdkafka. It offers no way to join a group with a protocol type
//! other than `consumer`, nor to give out an assignment of one's own, so that a worker of a Connect
//! cluster speaks to its group's coordinator here. The messages are those of the `kafka-protocol`
//! crate; it has no transport.
//!
//! A task owns the socket: it writes requests in the order they come, and the broker answers in that
//! order. Dropping the future of a request does not disturb the others; its answer is passed over.
//! The connection ends when its last handle is dropped, or at the first thing that goes wrong; then
//! all requests under way fail, and so does each later one.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::Either;
use kafka_protocol::{
    messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange},
};
use model::error::{Error, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{RwLock, mpsc, oneshot},
    task::AbortHandle,
    time,
};
use tracing::{debug, warn};

use super::{
    frames::{Expected, FRAME_BYTES_MAX, Failure, Outgoing, check_count, drive},
    sasl,
    security::Security,
};
use crate::kafka::Login;

/// Requests that wait to be written. The group protocol has two under way at most.
const REQUESTS_MAX: usize = 16;

/// An open connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) address: String,
    client_id: StrBytes,
    requests: mpsc::Sender<Outgoing>,
    correlation: AtomicI32,
    versions: HashMap<i16, VersionRange>,
    failure: Arc<Mutex<Option<Failure>>>,
    task: AbortHandle,
    /// Held by whoever hands over a request, and alone by a login: nothing may come between the
    /// requests of one.
    turn: RwLock<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long the answers of a login may take on a connection that is in use. The broker first
/// answers what came before, and a join takes as long as the slowest member.
const NEXT_LOGIN_LIMIT: Duration = Duration::from_secs(15 * 60);

impl Connection {
    /// Connects to `host:port`, asks what the broker understands, and logs in where `security` has
    /// a login. Each step may take as long as `limit`.
    ///
    /// Fatal is what will be the same next time: a certificate that is not trusted, a password that
    /// is not accepted.
    pub async fn open(
        address: &str,
        client_id: &str,
        security: &Security,
        limit: Duration,
    ) -> Result<Self> {
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            // Requests are small and each waits for its answer.
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        let stream = match time::timeout(limit, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(Error::retriable(format!(
                    "connecting to Kafka at {address} failed; check that the broker runs and \
                     bootstrap.servers names it"
                ))
                .caused_by(error));
            }
            Err(_) => {
                return Err(Error::retriable(format!(
                    "connecting to Kafka at {address} took longer than {} ms; check that the \
                     address can be reached from here",
                    limit.as_millis()
                )));
            }
        };
        let login = security.login();
        match security.wrap(stream, address, limit).await? {
            Either::Left(plain) => Self::over(plain, address, client_id, login, limit).await,
            Either::Right(tls) => Self::over(tls, address, client_id, login, limit).await,
        }
    }

    /// Speaks over `stream`, which is connected and, where that is needed, encrypted.
    async fn over<S>(
        stream: S,
        address: &str,
        client_id: &str,
        login: Option<&Login>,
        limit: Duration,
    ) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let failure = Arc::new(Mutex::new(None));
        let task = tokio::spawn(drive(stream, requests, Arc::clone(&failure), login.is_none()));
        let mut shared = Shared {
            address: address.to_owned(),
            client_id: StrBytes::from_string(client_id.to_owned()),
            requests: sender,
            correlation: AtomicI32::new(0),
            versions: HashMap::new(),
            failure,
            task: task.abort_handle(),
            turn: RwLock::new(()),
        };
        shared.versions = shared.negotiate(limit).await?;
        let lifetime = match login {
            Some(login) => sasl::log_in(&shared, login, limit).await?,
            None => None,
        };
        let shared = Arc::new(shared);
        if let (Some(login), Some(lifetime)) = (login, lifetime) {
            // Ends with the connection, at the next login at the latest.
            tokio::spawn(stay_logged_in(Arc::downgrade(&shared), login.clone(), lifetime));
        }
        Ok(Self { shared })
    }

    /// The address that the connection was opened to.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether both are handles of one connection.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The version in which requests of this kind are sent.
    pub fn version<R: Request>(&self) -> Result<i16> {
        self.shared.version::<R>()
    }

    /// Sends a request and waits for its answer, at most for `limit`.
    ///
    /// Failures of the connection are retriable, on a new one, unless it will fail the same way.
    pub async fn call<R: Request>(&self, request: &R, limit: Duration) -> Result<R::Response> {
        let version = self.version::<R>()?;
        self.shared.call(request, version, limit, true).await
    }
}

/// Logs in anew before the time is over that the broker gives a login; a broker ends a connection
/// that is used for longer.
async fn stay_logged_in(connection: Weak<Shared>, login: Login, mut lifetime: Duration) {
    loop {
        // Java's clients do it at a moment between 85 and 95 percent.
        time::sleep(lifetime.mul_f64(0.85)).await;
        let Some(shared) = connection.upgrade() else { return };
        let _alone = shared.turn.write().await;
        match sasl::log_in(&shared, &login, NEXT_LOGIN_LIMIT).await {
            Ok(Some(next)) => {
                debug!(address = shared.address, "logged in anew");
                lifetime = next;
            }
            Ok(None) => return,
            Err(error) => {
                let why = error.trace();
                warn!(address = shared.address, why, "the connection ends: its login ran out");
                shared.end(Failure::passing(why));
                return;
            }
        }
    }
}

impl Shared {
    /// The version in which requests of this kind are sent.
    fn version<R: Request>(&self) -> Result<i16> {
        let broker = self.versions.get(&R::KEY);
        let name = || {
            ApiKey::try_from(R::KEY).map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"))
        };
        let Some(broker) = broker else {
            return Err(Error::fatal(format!(
                "the broker at {} does not have the request {}, which membership in a Connect \
                 group needs",
                self.address,
                name()
            )));
        };
        let common = R::VERSIONS.intersect(broker);
        if common.is_empty() {
            return Err(Error::fatal(format!(
                "the broker at {} has the versions {broker} of the request {}; this worker has \
                 {}",
                self.address,
                name(),
                R::VERSIONS
            )));
        }
        Ok(common.max)
    }

    /// One request of a login, whose other requests may not be mixed with any.
    pub(super) async fn call_alone<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response> {
        self.call(request, self.version::<R>()?, limit, false).await
    }

    /// Asks which versions of which requests there are.
    ///
    /// In version 0, which every broker has: a later one would only tell the broker our name.
    async fn negotiate(&self, limit: Duration) -> Result<HashMap<i16, VersionRange>> {
        let answer: ApiVersionsResponse =
            self.call(&ApiVersionsRequest::default(), 0, limit, true).await?;
        if answer.error_code != 0 {
            return Err(Error::retriable(format!(
                "the broker at {} refused to tell its versions: error {}",
                self.address, answer.error_code
            )));
        }
        let ranges = answer
            .api_keys
            .into_iter()
            .map(|api| (api.api_key, VersionRange { min: api.min_version, max: api.max_version }));
        Ok(ranges.collect())
    }

    async fn call<R: Request>(
        &self,
        request: &R,
        version: i16,
        limit: Duration,
        shares: bool,
    ) -> Result<R::Response> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(request, version, correlation)?;
        let (answer, answered) = oneshot::channel();
        let outgoing = Outgoing { frame, expected: Expected { correlation, answer } };
        let exchange = async {
            let turn = if shares { Some(self.turn.read().await) } else { None };
            self.requests.send(outgoing).await.map_err(|_| self.closed())?;
            drop(turn);
            answered.await.map_err(|_| self.closed())
        };
        let bytes = time::timeout(limit, exchange).await.map_err(|_| {
            Error::retriable(format!(
                "the broker at {} did not answer within {} ms",
                self.address,
                limit.as_millis()
            ))
        })??;
        decode::<R>(bytes, version).map_err(|error| {
            Error::retriable(format!("the broker at {} sent an unreadable answer", self.address))
                .caused_by(error)
        })
    }

    fn frame<R: Request>(&self, request: &R, version: i16, correlation: i32) -> Result<Bytes> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| {
                Error::fatal(format!("request {} cannot be written in version {version}", R::KEY))
                    .caused_by(error.to_string())
            })?;
        let length = frame.len() - 4;
        let Some(prefix) = i32::try_from(length).ok().filter(|_| length <= FRAME_BYTES_MAX) else {
            return Err(Error::fatal(format!(
                "request {} has {length} bytes; a broker takes {FRAME_BYTES_MAX}",
                R::KEY
            )));
        };
        frame[..4].copy_from_slice(&prefix.to_be_bytes());
        Ok(frame.freeze())
    }

    /// Ends the connection for all who use it.
    fn end(&self, failure: Failure) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.task.abort();
    }

    fn closed(&self) -> Error {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Failure { lasts, why } = failure.unwrap_or_else(|| Failure::passing("it was closed"));
        let what = format!("the connection to the broker at {} ended: {why}", self.address);
        if lasts { Error::fatal(what) } else { Error::retriable(what) }
    }
}

/// Reads an answer, whose header was checked.
pub(super) fn decode<R: Request>(mut bytes: Bytes, version: i16) -> Result<R::Response, String> {
    let header = <R::Response as HeaderVersion>::header_version(version);
    ResponseHeader::decode(&mut bytes, header).map_err(|error| error.to_string())?;
    check_count(R::KEY, version, &bytes)?;
    <R::Response as Decodable>::decode(&mut bytes, version).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
