//! A way to a server that is shut at a named point: after something was said on a connection its
//! answer passes up to a byte, or nothing more is said to the server. Neither side is told, as where a
//! network drops packets; only when a side is gone its connection ends.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) port: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rule: Option<Rule>,
    ways: Vec<Way>,
}

#[derive(Clone)]
struct Rule {
    /// For connections on which the client has said this.
    words: String,
    shut: Shut,
}

#[derive(Clone, Copy)]
enum Shut {
    /// So many bytes of the server pass, since the words or the first rule about them, whichever was
    /// later.
    Answers { bytes: u64 },
    /// From the words on, and with them, nothing is said to the server.
    Questions,
}

/// A connection.
#[derive(Default)]
struct Way {
    /// What the client has said, up to [`SAID_BYTES_MAX`].
    said: Vec<u8>,
    /// Bytes of the server that have passed.
    passed: u64,
    /// The words of the rule that it is under, and what had passed before.
    under: Option<(String, u64)>,
    waits: bool,
    gone: bool,
}

/// Statements come early; afterwards there are status updates only.
const SAID_BYTES_MAX: usize = 256 * 1024;

impl Gate {
    /// Listens on a port of its own, and joins each connection with `server`.
    pub(crate) fn open(server: String) -> Self {
        Self::open_at("127.0.0.1:0", server)
    }

    /// Listens on `address`.
    pub(crate) fn open_at(address: &str, server: String) -> Self {
        Self::join(TcpListener::bind(address).expect("a free port"), server)
    }

    /// One that takes in little of what does not pass: a client that goes on speaking, however little
    /// it says, can soon send nothing more.
    pub(crate) fn narrow(server: String) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // The client's kernel keeps some twenty segments of what is not taken, and those of a machine
        // with itself are of 64 KiB. 88 bytes are the smallest, and 1 is raised to the smallest too.
        socket.set_tcp_mss(88).expect("small segments");
        socket.set_recv_buffer_size(1).expect("a small buffer");
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(16).expect("a listener");
        Self::join(socket.into(), server)
    }

    fn join(listener: TcpListener, server: String) -> Self {
        let port = listener.local_addr().expect("an address").port().to_string();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let gate = Self { port, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let way = {
                    let mut state = shared.lock();
                    state.ways.push(Way::default());
                    state.ways.len() - 1
                };
                let handle = |end: &TcpStream| end.try_clone().expect("a handle");
                let (questions, ends) = (shared.clone(), (handle(&client), handle(&server)));
                thread::spawn(move || questions.pass(ends.0, ends.1, way, true));
                let answers = shared.clone();
                thread::spawn(move || answers.pass(server, client, way, false));
            }
        });
        gate
    }

    /// Where the client says `words`, or has said them, `bytes` of what the server says then pass, on
    /// each connection. In place of an earlier rule.
    pub(crate) fn shut_answers(&self, words: &str, bytes: u64) {
        self.rule(Some(Rule { words: words.into(), shut: Shut::Answers { bytes } }));
    }

    /// Where the client says `words`, or has said them, nothing it says reaches the server any more.
    pub(crate) fn shut_questions(&self, words: &str) {
        self.rule(Some(Rule { words: words.into(), shut: Shut::Questions }));
    }

    /// All passes, what was held back too.
    pub(crate) fn release(&self) {
        self.rule(None);
    }

    /// How many connections have something that does not pass.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().ways.iter().filter(|way| way.waits && !way.gone).count()
    }

    fn rule(&self, rule: Option<Rule>) {
        let mut state = self.shared.lock();
        state.rule = rule;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl State {
    /// Of `bytes` that are to pass now, how many may. `None` when the connection is gone.
    fn may(&mut self, way: usize, bytes: usize, question: bool) -> Option<usize> {
        let rule = self.rule.clone();
        let at = &mut self.ways[way];
        if at.gone {
            return None;
        }
        let Some(rule) = rule else { return Some(bytes) };
        if at.under.as_ref().is_none_or(|(words, _)| *words != rule.words) {
            if !at.has_said(&rule.words) {
                return Some(bytes);
            }
            at.under = Some((rule.words, at.passed));
        }
        let before = at.under.as_ref().map_or(0, |(_, before)| *before);
        match rule.shut {
            Shut::Questions if question => Some(0),
            Shut::Answers { bytes: allowed } if !question => {
                let left = allowed.saturating_sub(at.passed - before);
                Some(usize::try_from(left).unwrap_or(usize::MAX).min(bytes))
            }
            _ => Some(bytes),
        }
    }
}

impl Way {
    fn has_said(&self, words: &str) -> bool {
        self.said.windows(words.len()).any(|part| part == words.as_bytes())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Until one side is gone, which ends the other.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, way: usize, question: bool) {
        let mut piece = [0; 4_096];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if !self.pass_piece(&piece[..length], &from, &mut to, way, question) {
                break;
            }
        }
        let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        self.lock().ways[way].gone = true;
        self.changed.notify_all();
    }

    /// False when a side is gone.
    fn pass_piece(
        &self,
        mut piece: &[u8],
        from: &TcpStream,
        to: &mut TcpStream,
        way: usize,
        question: bool,
    ) -> bool {
        let mut state = self.lock();
        if question && state.ways[way].said.len() < SAID_BYTES_MAX {
            state.ways[way].said.extend_from_slice(piece);
        }
        while !piece.is_empty() {
            let Some(now) = state.may(way, piece.len(), question) else { return false };
            state.ways[way].waits = now == 0;
            if now == 0 {
                // Looks now and then whether who speaks is still there.
                let wait = self.changed.wait_timeout(state, Duration::from_millis(20));
                state = wait.expect("no holder panics").0;
                if ended(from) {
                    return false;
                }
                continue;
            }
            if !question {
                state.ways[way].passed += now as u64;
            }
            drop(state);
            if to.write_all(&piece[..now]).is_err() {
                return false;
            }
            piece = &piece[now..];
            state = self.lock();
        }
        true
    }
}

/// Whether the other side of `stream` has closed it. More to read than its end is no end.
fn ended(stream: &TcpStream) -> bool {
    let mut one = [0];
    stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket");
    let peeked = stream.peek(&mut one);
    stream.set_read_timeout(None).expect("a socket");
    matches!(peeked, Ok(0))
}
