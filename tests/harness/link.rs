//! What may be wrong with a connection: one is slow, so that a reader finds its socket empty in the
//! middle of what belongs together; one is cut, and neither side hears of it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes of the server that pass in one go, and the pause after them: 330 kB a second.
const PIECE: usize = 4_000;
const PAUSE: Duration = Duration::from_millis(12);

/// Listens on a port of its own, which it gives back, and joins each connection with `server`.
pub(crate) fn slow(server: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let ends =
                (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            thread::spawn(move || copy(ends.0, ends.1, || {}));
            thread::spawn(move || copy(server, client, || thread::sleep(PAUSE)));
        }
    });
    port
}

/// A way to a server that can be cut: while it is, nothing passes, and nobody is told. What was sent
/// meanwhile arrives when the way is whole again.
#[derive(Clone)]
pub(crate) struct Link {
    whole: Arc<(Mutex<bool>, Condvar)>,
    ended: Arc<AtomicBool>,
}

impl Link {
    /// From `address`, which is listened on, to `server`.
    pub(crate) fn open(address: &str, server: &str) -> Self {
        let listener = TcpListener::bind(address).expect("the outside of a link");
        let link = Self {
            whole: Arc::new((Mutex::new(true), Condvar::new())),
            ended: Arc::new(AtomicBool::new(false)),
        };
        let (shared, server) = (link.clone(), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let (link, address) = (shared.clone(), server.clone());
                thread::spawn(move || {
                    link.pass();
                    let Ok(server) = TcpStream::connect(&address) else { return };
                    let ends = (
                        client.try_clone().expect("a handle"),
                        server.try_clone().expect("a handle"),
                    );
                    let back = link.clone();
                    thread::spawn(move || copy(ends.0, ends.1, || link.pass()));
                    copy(server, client, || back.pass());
                });
            }
        });
        link
    }

    pub(crate) fn cut(&self) {
        *self.whole.0.lock().expect("no holder panics") = false;
    }

    pub(crate) fn mend(&self) {
        *self.whole.0.lock().expect("no holder panics") = true;
        self.whole.1.notify_all();
    }

    /// Gives the address back.
    pub(crate) fn end(&self, address: &str) {
        self.ended.store(true, Ordering::Relaxed);
        self.mend();
        // The listener looks when somebody comes.
        drop(TcpStream::connect(address));
    }

    fn pass(&self) {
        let whole = self.whole.0.lock().expect("no holder panics");
        drop(self.whole.1.wait_while(whole, |whole| !*whole).expect("no holder panics"));
    }
}

/// Until one side is gone, which ends the other. `between` is called for each piece.
fn copy(mut from: TcpStream, mut to: TcpStream, between: impl Fn()) {
    let mut piece = [0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        between();
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
