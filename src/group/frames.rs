//! Frames on a broker's socket: requests out in their order, answers in to whom they belong.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use super::security;

/// What a broker's `socket.request.max.bytes` is by default; no answer about a group is near it.
/// A larger length is the first bytes of something that is no Kafka broker.
pub(super) const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// A request on its way.
pub(super) struct Outgoing {
    pub(super) frame: Bytes,
    pub(super) expected: Expected,
}

/// An answer that is waited for.
pub(super) struct Expected {
    pub(super) correlation: i32,
    pub(super) answer: oneshot::Sender<Bytes>,
}

/// Why a connection ended.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Whether it will be the same with the next connection.
    pub(super) lasts: bool,
    pub(super) why: String,
}

impl Failure {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self { lasts: false, why: why.into() }
    }
}

type Pending = Mutex<VecDeque<Expected>>;

/// Moves frames until one side ends, and says why.
///
/// `unsecured` says that nobody has logged in, which may be why a broker hangs up.
pub(super) async fn drive<S: AsyncRead + AsyncWrite>(
    stream: S,
    mut requests: mpsc::Receiver<Outgoing>,
    failure: Arc<Mutex<Option<Failure>>>,
    unsecured: bool,
) {
    let (reader, writer) = tokio::io::split(stream);
    let pending = Pending::default();
    let why = tokio::select! {
        why = read(reader, &pending, unsecured) => why,
        why = write(writer, &mut requests, &pending) => why,
    };
    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    // Only now do those who wait hear of it: `requests` and `pending` are dropped.
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    requests: &mut mpsc::Receiver<Outgoing>,
    pending: &Pending,
) -> Failure {
    while let Some(Outgoing { frame, expected }) = requests.recv().await {
        pending.lock().unwrap_or_else(PoisonError::into_inner).push_back(expected);
        if let Err(error) = writer.write_all(&frame).await {
            return security::broken_off("writing", &error);
        }
        if let Err(error) = writer.flush().await {
            return security::broken_off("writing", &error);
        }
    }
    Failure::passing("it is no longer needed")
}

async fn read(mut reader: impl AsyncRead + Unpin, pending: &Pending, unsecured: bool) -> Failure {
    for answers in 0_u64.. {
        let frame = match read_frame(&mut reader).await {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // The versions are told to everybody, and nothing else before a login.
                let hint = match unsecured && answers <= 1 {
                    true => {
                        " before it answered; if its listener is one for SASL or TLS, \
                         security.protocol has to say so"
                    }
                    false => "",
                };
                return Failure::passing(format!("the broker closed it{hint}"));
            }
            Err(error) => return security::broken_off("reading", &error),
        };
        let Some(correlation) = frame.first_chunk().copied().map(i32::from_be_bytes) else {
            return Failure::passing(format!("an answer has {} bytes", frame.len()));
        };
        let expected = pending.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match expected {
            Some(expected) if expected.correlation == correlation => {
                // Nobody waits any more when the caller's time was over.
                drop(expected.answer.send(frame));
            }
            Some(Expected { correlation: expected, .. }) => {
                return Failure::passing(format!(
                    "answer {correlation} came where {expected} was expected"
                ));
            }
            None => {
                return Failure::passing(format!(
                    "answer {correlation} came where none was expected"
                ));
            }
        }
    }
    Failure::passing("it has answered all requests there can be")
}

pub(super) async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let head = reader.read_i32().await?;
    let length = usize::try_from(head).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        // A record of TLS begins with its type, an alert or a handshake, and the version 3.
        let message = match head.to_be_bytes() {
            [0x15 | 0x16, 3, ..] => {
                "the peer speaks TLS; set security.protocol to SSL or SASL_SSL, or name a \
                 listener without TLS"
            }
            _ => {
                "the peer sent something that is no Kafka message; check that the address is a \
                 broker's and the listener is of the type that security.protocol says"
            }
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    };
    // Grows as bytes come, whatever the length promises.
    let mut frame = Vec::new();
    let read = reader.take(length as u64).read_to_end(&mut frame).await?;
    if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame.into()) }
}

/// Refuses an answer whose array has more elements than there are bytes left: the decoder sets
/// memory aside for as many as it is told.
pub(super) fn check_count(key: i16, version: i16, body: &[u8]) -> Result<(), String> {
    let mut input = Skip(body);
    let count = match ApiKey::try_from(key) {
        Ok(ApiKey::ApiVersions) => input.bytes(2).and_then(|()| input.count(version >= 3)),
        Ok(ApiKey::FindCoordinator) if version >= 4 => {
            input.bytes(4).and_then(|()| input.count(true))
        }
        Ok(ApiKey::LeaveGroup) if version >= 3 => {
            input.bytes(6).and_then(|()| input.count(version >= 4))
        }
        Ok(ApiKey::SaslHandshake) => input.bytes(2).and_then(|()| input.count(false)),
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
