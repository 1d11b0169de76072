//! How fast the wire is without a database: decoding alone, and the whole way from a socket through
//! [`Stream`](wire::Stream) to decoded values.
//!
//! The socket's other end is a thread that plays a server and sends as fast as the kernel takes it,
//! so on two cores this measures our side.
//!
//! ```text
//! cargo bench -p riverrun-source-postgres --bench wire
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use riverrun_source_postgres::wire::{
    Event, Lsn, Replication, Settings, Ssl, SslMode, StartOptions, copy,
    pgoutput::{Cell, Decoder, Message},
};
use std::{
    hint::black_box,
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

/// A row of 12 columns in 100 bytes of values, about what the benchmarks of the product use.
fn insert() -> Vec<u8> {
    let mut message = BytesMut::new();
    message.put_u8(b'I');
    message.put_u32(16_384);
    message.put_slice(b"N\0\x0c");
    for column in 0..12 {
        if column == 11 {
            message.put_u8(b'n');
            continue;
        }
        message.put_u8(b't');
        message.put_u32(9);
        message.put_slice(b"123456789");
    }
    message.to_vec()
}

/// Time by the clock and time this thread had a processor, which a busy machine does not stretch.
struct Watch {
    start: Instant,
    processor_ns: u64,
}

impl Watch {
    fn start() -> Watch {
        Watch { start: Instant::now(), processor_ns: processor_ns() }
    }

    fn report(&self, what: &str, count: usize, bytes: usize) {
        let seconds = self.start.elapsed().as_secs_f64();
        let processor = (processor_ns() - self.processor_ns) as f64;
        let count = count as f64;
        let mut out = std::io::stdout();
        writeln!(
            out,
            "{what:<44} {:>6.2} M/s by the clock  {:>6.2} M/s and {:>6.0} MB/s a core  {:>4.0} ns each",
            count / seconds / 1e6,
            count / processor * 1e3,
            bytes as f64 / processor * 1e3,
            processor / count,
        )
        .expect("stdout takes the line");
    }
}

fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

fn take(decoder: &mut Decoder, bytes: &[u8]) -> usize {
    match decoder.decode(bytes) {
        Ok(Message::Insert(insert)) => insert
            .new
            .map(|cell| match cell {
                Cell::Text(text) => black_box(text).len(),
                _ => 0,
            })
            .sum(),
        Ok(_) => 0,
        Err(error) => panic!("{error}"),
    }
}

fn decoding() {
    const COUNT: usize = 5_000_000;
    let message = insert();
    let mut decoder = Decoder::new();
    let watch = Watch::start();
    let sum: usize = (0..COUNT).map(|_| take(&mut decoder, black_box(&message))).sum();
    black_box(sum);
    watch.report("decode an insert, walk its 12 values", COUNT, COUNT * message.len());
}

fn copying() {
    const COUNT: usize = 5_000_000;
    let mut row = BytesMut::new();
    row.put_i16(12);
    for _ in 0..11 {
        row.put_i32(8);
        row.put_u64(7);
    }
    row.put_i32(-1);
    let row = row.freeze();
    let mut decoder = copy::Decoder::new();
    decoder.push(Bytes::from_static(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"));
    let mut sum = 0;
    let watch = Watch::start();
    for _ in 0..COUNT {
        decoder.push(row.clone());
        while let Some(row) = decoder.next_row().expect("a row") {
            sum += row.map(|value| black_box(value).map_or(0, <[u8]>::len)).sum::<usize>();
        }
    }
    black_box(sum);
    watch.report("decode a COPY row, walk its 12 values", COUNT, COUNT * row.len());
}

/// Plays a server that trusts everybody and then sends `count` copies of a message.
fn serve(listener: TcpListener, message: Vec<u8>, count: usize) {
    let (mut socket, _) = listener.accept().expect("a connection");
    let mut request = [0; 4096];
    let read = |socket: &mut std::net::TcpStream, request: &mut [u8]| {
        assert_ne!(socket.read(request).expect("a request"), 0);
    };
    read(&mut socket, &mut request);
    socket.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").expect("a client");
    read(&mut socket, &mut request);
    socket.write_all(b"W\0\0\0\x07\0\0\0").expect("a client");

    let mut frame = BytesMut::new();
    frame.put_u8(b'd');
    frame.put_u32(u32::try_from(4 + 25 + message.len()).expect("a small message"));
    frame.put_u8(b'w');
    frame.put_bytes(0, 24);
    frame.put_slice(&message);
    let per_write = (1 << 20) / frame.len();
    let block = frame.repeat(per_write);
    let mut left = count;
    while left > 0 {
        let now = left.min(per_write);
        socket.write_all(&block[..now * frame.len()]).expect("a client");
        left -= now;
    }
    // Until the client has read everything and goes.
    let end = socket.read(&mut request);
    black_box(end.is_ok());
}

async fn streaming(message: Vec<u8>, what: &str) {
    const COUNT: usize = 5_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let size = message.len();
    let server = std::thread::spawn(move || serve(listener, message, COUNT));
    let settings = Settings {
        host: "127.0.0.1".into(),
        port,
        user: "bench".into(),
        password: None,
        dbname: "bench".into(),
        application_name: "bench".into(),
        ssl: Ssl {
            mode: SslMode::Disable,
            root_cert: None,
            cert: None,
            key: None,
            key_password: None,
        },
        tcp_keepalive: false,
        connect_timeout: Duration::from_secs(10),
        query_timeout: None,
    };
    let options = StartOptions {
        proto_version: 1,
        publications: vec!["p".into()],
        messages: false,
        extra: Vec::new(),
    };
    let replication = Replication::connect(&settings).await.expect("a connection");
    let mut stream = replication.start("bench", Lsn::ZERO, &options).await.expect("a stream");
    let mut decoder = Decoder::new();
    let (mut count, mut awaits, mut sum) = (0, 0usize, 0);
    let watch = Watch::start();
    while count < COUNT {
        let mut event = Some(stream.next().await.expect("an event"));
        awaits += 1;
        while let Some(Event::Data(data)) = event {
            sum += take(&mut decoder, &data.data);
            count += 1;
            event = if count < COUNT { stream.try_next().expect("an event") } else { None };
        }
    }
    black_box(sum);
    watch.report(&format!("{what} ({awaits} awaits)"), COUNT, COUNT * (size + 30));
    drop(stream);
    server.join().expect("the server");
}

fn main() {
    decoding();
    copying();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(streaming(insert(), "stream, inserts of 12 values"));
    runtime
        .block_on(streaming(b"I\0\0\x40\0N\0\x01t\0\0\0\x011".to_vec(), "stream, small inserts"));
}
