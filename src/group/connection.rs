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
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange},
};
use model::error::{Error, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time,
};

/// What a broker's `socket.request.max.bytes` is by default; no answer about a group is near it.
/// A larger length is the first bytes of something that is no Kafka broker.
const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Requests that wait to be written. The group protocol has two under way at most.
const REQUESTS_MAX: usize = 16;

/// An open connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    client_id: StrBytes,
    requests: mpsc::Sender<Outgoing>,
    correlation: AtomicI32,
    versions: HashMap<i16, VersionRange>,
    failure: Arc<Mutex<Option<String>>>,
    task: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Outgoing {
    frame: Bytes,
    expected: Expected,
}

/// An answer that is waited for.
struct Expected {
    correlation: i32,
    answer: oneshot::Sender<Bytes>,
}

impl Connection {
    /// Connects to `host:port` in plain text and asks what the broker understands.
    pub async fn open(address: &str, client_id: &str, limit: Duration) -> Result<Self> {
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
        Self::over(stream, address, client_id, limit).await
    }

    /// Speaks over `stream`, which is connected and, where that is needed, secured.
    async fn over<S>(stream: S, address: &str, client_id: &str, limit: Duration) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let failure = Arc::new(Mutex::new(None));
        let task = tokio::spawn(drive(stream, requests, Arc::clone(&failure)));
        let mut shared = Shared {
            address: address.to_owned(),
            client_id: StrBytes::from_string(client_id.to_owned()),
            requests: sender,
            correlation: AtomicI32::new(0),
            versions: HashMap::new(),
            failure,
            task: task.abort_handle(),
        };
        shared.versions = shared.negotiate(limit).await?;
        Ok(Self { shared: Arc::new(shared) })
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
        let broker = self.shared.versions.get(&R::KEY);
        let name = || {
            ApiKey::try_from(R::KEY).map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"))
        };
        let Some(broker) = broker else {
            return Err(Error::fatal(format!(
                "the broker at {} does not have the request {}, which membership in a Connect \
                 group needs",
                self.shared.address,
                name()
            )));
        };
        let common = R::VERSIONS.intersect(broker);
        if common.is_empty() {
            return Err(Error::fatal(format!(
                "the broker at {} has the versions {broker} of the request {}; this worker has \
                 {}",
                self.shared.address,
                name(),
                R::VERSIONS
            )));
        }
        Ok(common.max)
    }

    /// Sends a request and waits for its answer, at most for `limit`.
    ///
    /// All failures of the connection are retriable, on a new one.
    pub async fn call<R: Request>(&self, request: &R, limit: Duration) -> Result<R::Response> {
        let version = self.version::<R>()?;
        self.shared.call(request, version, limit).await
    }
}

impl Shared {
    /// Asks which versions of which requests there are.
    ///
    /// In version 0, which every broker has: a later one would only tell the broker our name.
    async fn negotiate(&self, limit: Duration) -> Result<HashMap<i16, VersionRange>> {
        let answer: ApiVersionsResponse =
            self.call(&ApiVersionsRequest::default(), 0, limit).await?;
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
    ) -> Result<R::Response> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(request, version, correlation)?;
        let (answer, answered) = oneshot::channel();
        let outgoing = Outgoing { frame, expected: Expected { correlation, answer } };
        let exchange = async {
            self.requests.send(outgoing).await.map_err(|_| self.closed())?;
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

    fn closed(&self) -> Error {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let why = failure.as_deref().unwrap_or("it was closed");
        Error::retriable(format!("the connection to the broker at {} ended: {why}", self.address))
    }
}

/// Reads an answer, whose header was checked.
fn decode<R: Request>(mut bytes: Bytes, version: i16) -> Result<R::Response, String> {
    let header = <R::Response as HeaderVersion>::header_version(version);
    ResponseHeader::decode(&mut bytes, header).map_err(|error| error.to_string())?;
    check_count(R::KEY, version, &bytes)?;
    <R::Response as Decodable>::decode(&mut bytes, version).map_err(|error| error.to_string())
}

type Pending = Mutex<VecDeque<Expected>>;

/// Moves frames until one side ends, and says why.
async fn drive<S: AsyncRead + AsyncWrite>(
    stream: S,
    mut requests: mpsc::Receiver<Outgoing>,
    failure: Arc<Mutex<Option<String>>>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let pending = Pending::default();
    let why = tokio::select! {
        why = read(reader, &pending) => why,
        why = write(writer, &mut requests, &pending) => why,
    };
    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    // Only now do those who wait hear of it: `requests` and `pending` are dropped.
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    requests: &mut mpsc::Receiver<Outgoing>,
    pending: &Pending,
) -> String {
    while let Some(Outgoing { frame, expected }) = requests.recv().await {
        pending.lock().unwrap_or_else(PoisonError::into_inner).push_back(expected);
        if let Err(error) = writer.write_all(&frame).await {
            return format!("writing failed: {error}");
        }
        if let Err(error) = writer.flush().await {
            return format!("writing failed: {error}");
        }
    }
    "it is no longer needed".to_owned()
}

async fn read(mut reader: impl AsyncRead + Unpin, pending: &Pending) -> String {
    loop {
        let frame = match read_frame(&mut reader).await {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return "the broker closed it".to_owned();
            }
            Err(error) => return format!("reading failed: {error}"),
        };
        let Some(correlation) = frame.first_chunk().copied().map(i32::from_be_bytes) else {
            return format!("an answer has {} bytes", frame.len());
        };
        let expected = pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match expected {
            Some(expected) if expected.correlation == correlation => {
                // Nobody waits any more when the caller's time was over.
                drop(expected.answer.send(frame));
            }
            Some(Expected { correlation: expected, .. }) => {
                return format!("answer {correlation} came where {expected} was expected");
            }
            None => return format!("answer {correlation} came where none was expected"),
        }
    }
}

async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let length = reader.read_i32().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        let message = "the peer sent something that is no Kafka message; check that the address \
                       is a broker's and the listener is of the type that security.protocol says";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    };
    // Grows as bytes come, whatever the length promises.
    let mut frame = Vec::new();
    let read = reader.take(length as u64).read_to_end(&mut frame).await?;
    if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame.into()) }
}

/// Refuses an answer whose array has more elements than there are bytes left: the decoder sets
/// memory aside for as many as it is told.
fn check_count(key: i16, version: i16, body: &[u8]) -> Result<(), String> {
    let mut input = Skip(body);
    let count = match ApiKey::try_from(key) {
        Ok(ApiKey::ApiVersions) => input.bytes(2).and_then(|()| input.count(version >= 3)),
        Ok(ApiKey::FindCoordinator) if version >= 4 => {
            input.bytes(4).and_then(|()| input.count(true))
        }
        Ok(ApiKey::LeaveGroup) if version >= 3 => {
            input.bytes(6).and_then(|()| input.count(version >= 4))
        }
        Ok(ApiKey::JoinGroup) => input.members_of_join(version),
        Ok(ApiKey::OffsetDelete) => input.topics_of_offset_delete(),
        _ => Some(0),
    };
    match count {
        Some(count) if count <= input.0.len() => Ok(()),
        Some(count) => Err(format!("{count} elements in {} bytes", input.0.len())),
        None => Err("it ends early".to_owned()),
    }
}

struct Skip<'b>(&'b [u8]);

impl Skip<'_> {
    fn bytes(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    /// The number of elements of an array; none for null.
    fn count(&mut self, compact: bool) -> Option<usize> {
        if compact {
            return self.varint().map(|count| count.saturating_sub(1));
        }
        let count = i32::from_be_bytes(*self.0.first_chunk()?);
        self.bytes(4)?;
        Some(usize::try_from(count).unwrap_or(0))
    }

    fn string(&mut self, compact: bool) -> Option<()> {
        if compact {
            let length = self.varint()?;
            return self.bytes(length.saturating_sub(1));
        }
        let length = i16::from_be_bytes(*self.0.first_chunk()?);
        self.bytes(2)?;
        self.bytes(usize::try_from(length).unwrap_or(0))
    }

    /// Error, throttle time, topics; each a name and partitions; each a number and an error. The
    /// first array that is cut off is the one counted.
    fn topics_of_offset_delete(&mut self) -> Option<usize> {
        self.bytes(6)?;
        let topics = self.count(false)?;
        if topics > self.0.len() {
            return Some(topics);
        }
        for _ in 0..topics {
            self.string(false)?;
            let partitions = self.count(false)?;
            if partitions > self.0.len() {
                return Some(partitions);
            }
            self.bytes(partitions * 6)?;
        }
        Some(0)
    }

    /// Throttle time (from version 2), error, generation, protocol type (7), protocol, leader,
    /// whether to skip the assignment (9), member id, members.
    fn members_of_join(&mut self, version: i16) -> Option<usize> {
        let compact = version >= 6;
        self.bytes(if version >= 2 { 10 } else { 6 })?;
        if version >= 7 {
            self.string(compact)?;
        }
        self.string(compact)?;
        self.string(compact)?;
        if version >= 9 {
            self.bytes(1)?;
        }
        self.string(compact)?;
        self.count(compact)
    }
}

#[cfg(test)]
mod tests;
