//! A slow connection: what a server sends trickles, so that a reader finds its socket empty in the
//! middle of what belongs together.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
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
            thread::spawn(move || copy(ends.0, ends.1, Duration::ZERO));
            thread::spawn(move || copy(server, client, PAUSE));
        }
    });
    port
}

/// Until one side is gone, which ends the other.
fn copy(mut from: TcpStream, mut to: TcpStream, pause: Duration) {
    let mut piece = [0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
        thread::sleep(pause);
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
