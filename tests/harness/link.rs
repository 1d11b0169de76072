//! Connections through a port of the test's own: slow ones, where what a server sends trickles, so
//! that a reader finds its socket empty in the middle of what belongs together, and ones that can
//! fall silent without being closed.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

/// Bytes of the server that pass in one go, and the pause after them: 330 kB a second.
const PIECE: usize = 4_000;
const PAUSE: Duration = Duration::from_millis(12);

/// Listens on a port of its own, which it gives back, and joins each connection with `server`.
pub(crate) fn slow(server: String) -> u16 {
    open(server, PAUSE, Silence::default())
}

/// Whether a link is silent: nothing passes, and nobody is told.
#[derive(Clone, Default)]
pub(crate) struct Silence(Arc<(Mutex<bool>, Condvar)>);

impl Silence {
    pub(crate) fn set(&self, silent: bool) {
        *self.0.0.lock().expect("nobody panics with it") = silent;
        self.0.1.notify_all();
    }

    /// Waits while it is silent.
    fn pass(&self) {
        let state = self.0.0.lock().expect("nobody panics with it");
        drop(self.0.1.wait_while(state, |silent| *silent).expect("nobody panics with it"));
    }
}

/// Like [`slow`], at full speed, and silent when its answer says so.
pub(crate) fn silenced(server: String) -> (u16, Silence) {
    let silence = Silence::default();
    (open(server, Duration::ZERO, silence.clone()), silence)
}

fn open(server: String, pause: Duration, silence: Silence) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let ends =
                (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            let (there, back) = (silence.clone(), silence.clone());
            thread::spawn(move || copy(ends.0, ends.1, Duration::ZERO, &there));
            thread::spawn(move || copy(server, client, pause, &back));
        }
    });
    port
}

/// Until one side is gone, which ends the other.
fn copy(mut from: TcpStream, mut to: TcpStream, pause: Duration, silence: &Silence) {
    let mut piece = [0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        silence.pass();
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
        thread::sleep(pause);
    }
    // A silent link does not tell of an end either.
    silence.pass();
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
