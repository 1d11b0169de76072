//! Against peers that answer what a broker might, and what none would.

use kafka_protocol::messages::{GroupId, HeartbeatRequest, LeaveGroupRequest};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{super::frames::read_frame, *};

const LIMIT: Duration = Duration::from_secs(20);
const HEARTBEAT: i16 = 12;

/// An answer's frame.
fn frame(body: &[u8]) -> Vec<u8> {
    [&i32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

/// That there are heartbeats in version 0.
fn versions(correlation: [u8; 4]) -> Vec<u8> {
    let [high, low] = HEARTBEAT.to_be_bytes();
    frame(&[&correlation[..], &[0, 0, 0, 0, 0, 1, high, low, 0, 0, 0, 0]].concat())
}

/// The next request's correlation id.
async fn request(stream: &mut TcpStream) -> [u8; 4] {
    let frame = read_frame(stream).await.expect("a request");
    frame[4..8].try_into().unwrap()
}

/// Answers one request with the bytes that `answer` makes of its correlation id, then reads on.
async fn connect(answer: impl Fn([u8; 4]) -> Vec<u8> + Send + 'static) -> Result<Connection> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let correlation = request(&mut stream).await;
        stream.write_all(&answer(correlation)).await.unwrap();
        // Until the other side closes.
        while stream.read_u8().await.is_ok() {}
    });
    let connection = Connection::open(&address, "test", &Security::none(), LIMIT).await;
    peer.abort();
    connection
}

async fn check(answer: impl Fn([u8; 4]) -> Vec<u8> + Send + 'static, expected: &str) {
    let error = connect(answer).await.map(|_| ()).expect_err("no broker answers this");
    assert!(error.trace().contains(expected), "{}", error.trace());
}

#[tokio::test]
async fn answers_that_no_broker_gives() {
    check(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "no Kafka message").await;
    check(|_| vec![0xff; 4], "no Kafka message").await;
    check(|_| frame(&[0, 0]), "an answer has 2 bytes").await;
    check(|_| frame(&[9, 9, 9, 9, 0, 0, 0, 0, 0, 0]), "came where 0 was expected").await;
    check(|id| frame(&[&id[..], &[0]].concat()), "it ends early").await;
    check(
        |id| frame(&[&id[..], &[0, 0, 0x7f, 0xff, 0xff, 0xff, 0]].concat()),
        "2147483647 elements in 1 bytes",
    )
    .await;
    check(|id| frame(&[&id[..], &[0, 35, 0, 0, 0, 0]].concat()), "error 35").await;
}

#[tokio::test]
async fn nobody_listens_nobody_answers_or_the_peer_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The connection waits in the backlog.
    let silent =
        Connection::open(&address, "test", &Security::none(), Duration::from_millis(50)).await;
    let error = silent.map(|_| ()).unwrap_err();
    assert!(error.trace().contains("did not answer within 50 ms"), "{}", error.trace());

    let closing = async {
        // The first is the one that gave up.
        let _given_up = listener.accept().await.unwrap();
        drop(listener.accept().await.unwrap());
    };
    let plain = Security::none();
    let (opened, ()) = tokio::join!(Connection::open(&address, "test", &plain, LIMIT), closing);
    let trace = opened.map(|_| ()).unwrap_err().trace();
    assert!(trace.contains("ended: "), "{trace}");

    drop(listener);
    let refused =
        Connection::open(&address, "test", &Security::none(), LIMIT).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("connecting to Kafka at 127.0.0.1"), "{refused}");
}

#[tokio::test]
async fn a_request_that_is_given_up_does_not_disturb_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (received, first) = oneshot::channel();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let id = request(&mut stream).await;
        stream.write_all(&versions(id)).await.unwrap();
        let given_up = request(&mut stream).await;
        received.send(()).unwrap();
        let waiting = request(&mut stream).await;
        for (id, error) in [(given_up, 27), (waiting, 25)] {
            stream.write_all(&frame(&[&id[..], &[0, error]].concat())).await.unwrap();
        }
        while stream.read_u8().await.is_ok() {}
    });
    let connection = Connection::open(&address, "test", &Security::none(), LIMIT).await.unwrap();
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("g")))
        .with_member_id(StrBytes::from_static_str("m"));
    tokio::select! {
        _ = connection.call(&heartbeat, LIMIT) => panic!("it was answered"),
        received = first => received.unwrap(),
    }
    let answer = connection.call(&heartbeat, LIMIT).await.unwrap();
    assert_eq!(answer.error_code, 25);
    // What the broker does not have is said by name.
    let error =
        connection.call(&LeaveGroupRequest::default(), LIMIT).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("LeaveGroup"), "{error}");
    peer.abort();
    peer.await.unwrap_err();
    let trace = connection.call(&heartbeat, LIMIT).await.map(|_| ()).unwrap_err().trace();
    assert!(trace.contains("ended: "), "{trace}");
}

/// The counts that the decoder would set memory aside for are found behind all that precedes them.
#[test]
fn counts_are_found_in_every_version() {
    let huge = i32::MAX.to_be_bytes();
    let huge_compact = [0xff, 0xff, 0xff, 0xff, 0x07];
    let text = [0, 1, b'x'];
    let compact = [2, b'x'];
    for version in 0..=9_i16 {
        let mut body = vec![0; if version >= 2 { 10 } else { 6 }];
        let strings = if version >= 7 { 4 } else { 3 };
        for number in 0..strings {
            if version >= 9 && number == strings - 1 {
                body.push(0);
            }
            if version >= 6 { body.extend(compact) } else { body.extend(text) }
        }
        let none = [&body[..], if version >= 6 { &[1, 0] } else { &[0; 4] }].concat();
        assert_eq!(check_count(11, version, &none), Ok(()), "{version}");
        if version >= 6 {
            body.extend(huge_compact)
        } else {
            body.extend(huge)
        }
        let refusal = check_count(11, version, &body).unwrap_err();
        assert!(refusal.ends_with("elements in 0 bytes"), "{version}: {refusal}");
        for cut in 0..body.len() {
            check_count(11, version, &body[..cut]).unwrap_err();
        }
    }
    let many = |head: &[u8], compact: bool| {
        [head, if compact { &huge_compact[..] } else { &huge[..] }].concat()
    };
    check_count(10, 4, &many(&[0; 4], true)).unwrap_err();
    check_count(13, 3, &many(&[0; 6], false)).unwrap_err();
    check_count(13, 4, &many(&[0; 6], true)).unwrap_err();
    check_count(18, 0, &many(&[0; 2], false)).unwrap_err();
    check_count(10, 3, &[]).unwrap();
    // Topics, and partitions of the second topic.
    check_count(47, 0, &many(&[0; 6], false)).unwrap_err();
    let topic = [0, 1, b'x', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let two = [&[0; 6][..], &[0, 0, 0, 2], &topic].concat();
    check_count(47, 0, &many(&[&two[..], &[0, 1, b'y']].concat(), false)).unwrap_err();
    check_count(47, 0, &[&two[..], &topic].concat()).unwrap();
    check_count(47, 0, &two).unwrap_err();
}
