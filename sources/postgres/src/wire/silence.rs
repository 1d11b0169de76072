//! Whether an SQL connection on which nothing comes is alive.
//!
//! A network that drops packets without a word leaves a connection that looks like one whose statement
//! takes long. TCP's own signs of life tell nothing where something between both sides answers them.
//! So while an answer is due and nothing comes, the server is asked over another connection what the
//! process of this one does. One that works on the statement is left to it; one that is gone, that
//! waits for the next statement, or that waits until we take what it has sent, twice in a row and
//! without a byte in between, is on the other end of a dead connection. When the server can't be asked
//! either, the connection is dead once `database.query.timeout.ms` are over since it was last heard of:
//! one question that fails says nothing of a statement that it worked on a moment before.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use model::figures::clock_ms;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Fact, Settings, socket::Socket};

/// Statements that take longer than this without a byte are rare, and asking costs a connection.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// What is known of a connection from its bytes.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Statements that were sent, and those that are answered.
    asked: AtomicU64,
    answered: AtomicU64,
    /// Since when a read waits, by [`clock_ms`]; 0 while none does. Where the reader itself holds back
    /// nothing is read, and nothing is wrong.
    waiting: AtomicU64,
    /// Why the connection was given up.
    lost: OnceLock<Lost>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    silent: Duration,
    why: &'static str,
}

impl Silence {
    pub(super) fn lost(&self) -> Option<Fact> {
        self.lost.get().map(|lost| Fact::Silent { silent: lost.silent, why: lost.why })
    }

    /// Since when an answer is due and nothing has come.
    fn since(&self) -> Option<u64> {
        let due = self.asked.load(Relaxed) > self.answered.load(Relaxed);
        Some(self.waiting.load(Relaxed)).filter(|since| due && *since != 0)
    }
}

/// The process of the server that serves a connection, and which server it is.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) pid: String,
    /// When the server was started, to the microsecond: another one is another server.
    pub(super) server: String,
}

/// As a statement of the session itself, which has just these columns.
pub(super) const BACKEND: &str = "SELECT pg_backend_pid()::text, pg_postmaster_start_time()::text;";

/// What the server says of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    Dead(&'static str),
    /// It can't be asked, or another server answers.
    Unknown,
}

/// Returns when the connection is dead, with that noted.
pub(super) async fn watch(settings: Settings, silence: Arc<Silence>, backend: Backend) -> Fact {
    let limit = settings.query_timeout;
    let ask_after = limit.map_or(ASK_AFTER, |limit| limit.min(ASK_AFTER));
    let mut findings = Findings { limit, suspected: None, worked: 0 };
    loop {
        tokio::time::sleep(ask_after / 2).await;
        let Some(since) = silence.since() else { continue };
        let silent = Duration::from_millis(clock_ms().saturating_sub(since));
        if silent < ask_after {
            continue;
        }
        let verdict = ask(&settings, &backend).await;
        // While the server was asked the answer may have come.
        if silence.since() != Some(since) {
            continue;
        }
        let now = clock_ms();
        let Some(why) = findings.add(verdict, since, now) else { continue };
        let silent = Duration::from_millis(now.saturating_sub(since));
        let lost = *silence.lost.get_or_init(|| Lost { silent, why });
        return Fact::Silent { silent: lost.silent, why: lost.why };
    }
}

/// What the server said of a connection so far.
struct Findings {
    /// `database.query.timeout.ms`
    limit: Option<Duration>,
    /// Of the silence since then it said that the connection is dead.
    suspected: Option<u64>,
    /// When it last said that it works on the statement, by [`clock_ms`].
    worked: u64,
}

impl Findings {
    /// Why the connection is dead; `since` is when the silence began, `now` when the answer came.
    fn add(&mut self, verdict: Verdict, since: u64, now: u64) -> Option<&'static str> {
        match verdict {
            Verdict::Works => {
                (self.suspected, self.worked) = (None, now);
                None
            }
            Verdict::Dead(why) if self.suspected == Some(since) => Some(why),
            Verdict::Dead(_) => {
                self.suspected = Some(since);
                None
            }
            Verdict::Unknown => {
                let unheard = Duration::from_millis(now.saturating_sub(since.max(self.worked)));
                self.limit
                    .filter(|limit| unheard > *limit)
                    .map(|_| "the server can't be asked either (database.query.timeout.ms is over)")
            }
        }
    }
}

async fn ask(settings: &Settings, backend: &Backend) -> Verdict {
    let question = question(backend);
    let asking: Pin<Box<dyn Future<Output = _> + Send + '_>> =
        Box::pin(super::sql::ask(settings, &question));
    match tokio::time::timeout(settings.connect_timeout, asking).await {
        Ok(Ok(Some(answer))) => verdict(&answer, &backend.server),
        Ok(Ok(None)) => Verdict::Unknown,
        Ok(Err(error)) => {
            tracing::debug!("whether a silent connection is alive is unknown: {error}");
            Verdict::Unknown
        }
        Err(_) => Verdict::Unknown,
    }
}

fn question(backend: &Backend) -> String {
    // One row, whether or not the process is there. A role sees all of its own processes.
    format!(
        "SELECT pg_postmaster_start_time()::text, coalesce(a.state, CASE WHEN a.pid IS NULL THEN 'gone' END),
                coalesce(a.wait_event, '')
           FROM (SELECT) AS one LEFT JOIN pg_stat_activity a ON a.pid = {}",
        backend.pid
    )
}

fn verdict(answer: &[Option<String>], server: &str) -> Verdict {
    let [Some(of), Some(state), Some(wait)] = answer else { return Verdict::Unknown };
    match (state.as_str(), wait.as_str()) {
        _ if of != server => Verdict::Unknown,
        ("gone", _) => Verdict::Dead("the server's process for it is gone"),
        ("active" | "fastpath function call", "ClientWrite") => {
            Verdict::Dead("the server's process waits until what it sends is taken")
        }
        ("idle" | "idle in transaction" | "idle in transaction (aborted)", _) => {
            Verdict::Dead("the server's process has answered and waits for the next statement")
        }
        ("active" | "fastpath function call", _) => Verdict::Works,
        // `track_activities` is off.
        _ => Verdict::Unknown,
    }
}

/// A socket that notes what is asked and answered on it.
pub(super) struct Watched {
    socket: Socket,
    silence: Arc<Silence>,
    sent: Frames,
    received: Frames,
}

impl Watched {
    /// Of a socket before the login, which is a question too.
    pub(super) fn new(socket: Socket) -> Self {
        let silence = Arc::new(Silence { asked: AtomicU64::new(1), ..Silence::default() });
        // The first message of a client has no tag.
        let sent = Frames { header: [0; 5], have: 1, body: 0 };
        Self { socket, silence, sent, received: Frames::default() }
    }

    pub(super) fn silence(&self) -> Arc<Silence> {
        self.silence.clone()
    }

    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        self.socket.end_point()
    }
}

/// Finds the messages in bytes that come in pieces.
#[derive(Default)]
struct Frames {
    /// The tag and the length of the message at hand.
    header: [u8; 5],
    have: usize,
    /// Bytes of its body that are still to come.
    body: usize,
}

impl Frames {
    /// How many messages with one of these tags begin in `bytes`.
    fn count(&mut self, mut bytes: &[u8], tags: [u8; 2]) -> u64 {
        let mut count = 0;
        loop {
            let passed = self.body.min(bytes.len());
            self.body -= passed;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                return count;
            }
            let taken = (5 - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == 5 {
                let [tag, a, b, c, d] = self.header;
                // The length counts itself.
                self.body = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.have = 0;
                count += u64::from(tags.contains(&tag));
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.socket).poll_read(context, buffer) {
            Poll::Pending => {
                if this.silence.waiting.load(Relaxed) == 0 {
                    this.silence.waiting.store(clock_ms(), Relaxed);
                }
                Poll::Pending
            }
            Poll::Ready(read) => {
                this.silence.waiting.store(0, Relaxed);
                let new = buffer.filled().get(before..).unwrap_or_default();
                // ReadyForQuery ends each answer.
                let answered = this.received.count(new, [b'Z', b'Z']);
                this.silence.answered.fetch_add(answered, Relaxed);
                Poll::Ready(read)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            // Query and Sync, which the server answers with ReadyForQuery.
            let asked = this.sent.count(bytes.get(..count).unwrap_or_default(), [b'Q', b'S']);
            if asked > 0 {
                this.silence.asked.fetch_add(asked, Relaxed);
                if this.silence.waiting.load(Relaxed) != 0 {
                    // The read has waited for nothing until now.
                    this.silence.waiting.store(clock_ms(), Relaxed);
                }
            }
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message = |tag: u8, body: &[u8]| -> Vec<u8> {
            let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
            [&[tag][..], &length, body].concat()
        };
        // A body that looks like the end of an answer is none.
        let fake = message(b'Z', b"I");
        let bytes =
            [message(b'd', &fake), message(b'C', b""), message(b'Z', b"I"), message(b'Z', b"T")]
                .concat();
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let count: u64 =
                bytes.chunks(size).map(|piece| frames.count(piece, [b'Z', b'Z'])).sum();
            assert_eq!(count, 2, "in pieces of {size}");
        }
        // The first message of a client has a length and no tag.
        let start = [&12_u32.to_be_bytes()[..], b"QQQQQQQQ", &message(b'Q', b"x")].concat();
        let mut frames = Frames { have: 1, ..Frames::default() };
        assert_eq!(frames.count(&start, [b'Q', b'S']), 1);
    }

    #[test]
    fn one_question_that_fails_ends_no_statement_that_is_worked_on() {
        let limit = Some(Duration::from_secs(600));
        let minutes = |minutes: u64| minutes * 60_000;
        let mut findings = Findings { limit, suspected: None, worked: 0 };
        let mut add = |verdict, at| findings.add(verdict, minutes(1), minutes(at));
        assert_eq!(add(Verdict::Unknown, 11), None, "just as long as the limit");
        assert_eq!(add(Verdict::Works, 12), None);
        assert_eq!(add(Verdict::Unknown, 22), None);
        assert_eq!(add(Verdict::Works, 30), None);
        assert_eq!(add(Verdict::Unknown, 31), None);
        assert!(add(Verdict::Unknown, 41).is_some_and(|why| why.contains("can't be asked")));
        // What it says itself counts twice in a row, of one silence.
        let dead = Verdict::Dead("gone");
        let mut add = |verdict, since| findings.add(verdict, since, minutes(42));
        assert_eq!(add(dead, minutes(1)), None);
        assert_eq!(add(dead, minutes(2)), None);
        assert_eq!(add(Verdict::Works, minutes(2)), None);
        assert_eq!(add(dead, minutes(2)), None);
        assert_eq!(add(dead, minutes(2)), Some("gone"));
        findings.limit = None;
        assert_eq!(findings.add(Verdict::Unknown, 0, u64::MAX), None);
    }

    #[test]
    fn what_the_process_does_tells_whether_the_connection_lives() {
        let cases = [
            ("now", "active", "", Verdict::Works),
            ("now", "active", "DataFileRead", Verdict::Works),
            ("now", "active", "relation", Verdict::Works),
            ("then", "idle", "ClientRead", Verdict::Unknown),
            ("now", "disabled", "", Verdict::Unknown),
        ];
        for (server, state, wait, want) in cases {
            let answer = [server, state, wait].map(|text| Some(text.to_owned()));
            assert_eq!(verdict(&answer, "now"), want, "{state} {wait}");
        }
        for (state, wait) in [
            ("gone", ""),
            ("idle", "ClientRead"),
            ("idle in transaction", "ClientRead"),
            ("active", "ClientWrite"),
        ] {
            let answer = ["now", state, wait].map(|text| Some(text.to_owned()));
            assert!(matches!(verdict(&answer, "now"), Verdict::Dead(_)), "{state} {wait}");
        }
        // A role that may not see the process.
        assert_eq!(
            verdict(&[Some("now".into()), None, Some(String::new())], "now"),
            Verdict::Unknown
        );
    }
}
