//! Small things, as tables.

use super::super::{
    Event, Lsn, SlotOptions, Snapshot,
    error::{Error, Fact, ServerError},
    pgoutput::{self, Cell, Decoder, Message},
    replication::version_number,
    session::{quote_identifier, quote_literal},
    settings::{Settings, Ssl, SslMode},
    socket::{Attempt, telling},
};
use model::{config::Secret, error::Kind};
use std::{io, time::Duration};

pub(super) fn settings() -> Settings {
    Settings {
        host: "db.example".into(),
        port: 5432,
        user: "shop".into(),
        password: Some(Secret::new("open sesame")),
        dbname: "orders".into(),
        application_name: "test".into(),
        ssl: Ssl {
            mode: SslMode::Prefer,
            root_cert: None,
            cert: None,
            key: None,
            key_password: None,
        },
        tcp_keepalive: true,
        connect_timeout: Duration::from_secs(10),
        query_timeout: None,
    }
}

fn said(code: &str, message: &str) -> Fact {
    Fact::Server(Box::new(ServerError {
        severity: "FATAL".into(),
        code: code.into(),
        message: message.into(),
        detail: None,
        hint: None,
    }))
}

#[test]
fn positions_read_and_print() {
    for (text, number) in [
        ("0/0", 0),
        ("16/B374D848", 0x16_B374_D848),
        ("FFFFFFFF/FFFFFFFF", u64::MAX),
        ("0/1", 1),
        ("1/0", 1 << 32),
    ] {
        assert_eq!(text.parse(), Ok(Lsn(number)));
        assert_eq!(Lsn(number).to_string(), text);
    }
    assert_eq!("0/00000010".parse(), Ok(Lsn(16)));
    for text in ["", "/", "0", "0/", "/0", "0/G", "+1/0", "0/-1", "100000000/0", "0/0/0", " 0/0"] {
        assert!(text.parse::<Lsn>().is_err(), "{text}");
    }
}

#[test]
fn server_versions_as_numbers() {
    for (text, number) in [
        ("15.18 (Debian 15.18-0+deb12u1)", 150_018),
        ("17beta1", 170_000),
        ("16.4", 160_004),
        ("9.6.24", 90_624),
        ("", 0),
        ("nonsense", 0),
    ] {
        assert_eq!(version_number(text), number, "{text}");
    }
}

#[test]
fn names_and_texts_are_quoted() {
    assert_eq!(quote_identifier(r#"a"b"#), r#""a""b""#);
    assert_eq!(quote_literal("it's"), "'it''s'");
}

#[test]
fn listed_codes_are_fatal_and_the_rest_may_pass() {
    for code in
        ["28000", "28P01", "3D000", "42501", "42704", "42602", "42601", "0A000", "55000", "58P01"]
    {
        let error = Error::new("x", &settings(), said(code, "no"));
        assert_eq!(error.classify(), Kind::Fatal, "{code}");
        assert_eq!(error.code(), Some(code));
    }
    for code in ["55006", "57P01", "57P03", "53300", "53400", "08006", "40001", "XX000", ""] {
        let error = Error::new("x", &settings(), said(code, "no"));
        assert_eq!(error.classify(), Kind::Retriable, "{code}");
    }
}

#[test]
fn messages_say_what_where_why_and_what_to_do() {
    let slot = "stream from replication slot \"s\"";
    let cases = [
        (
            Error::new(
                slot,
                &settings(),
                said("55006", "replication slot \"s\" is active for PID 7"),
            ),
            "could not stream from replication slot \"s\" at db.example:5432/orders as user \
             \"shop\": FATAL 55006: replication slot \"s\" is active for PID 7; stop the other \
             reader, or use a slot of another name",
        ),
        (
            Error::new("connect", &settings(), said("28P01", "password authentication failed")),
            "cannot connect at db.example:5432/orders as user \"shop\": FATAL 28P01: password \
             authentication failed; check the user and the password",
        ),
        (
            Error::new("connect", &settings(), Fact::Timeout(Duration::from_secs(3))),
            "could not connect at db.example:5432/orders as user \"shop\": no answer within 3000 \
             ms; check the address and the firewalls on the way",
        ),
        (
            Error::new(slot, &settings(), io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            "could not stream from replication slot \"s\" at db.example:5432/orders as user \
             \"shop\": the server closed the connection; the server's log says why",
        ),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
        assert!(!format!("{error:?}").contains("sesame"));
    }
    assert!(!format!("{:?}", settings()).contains("sesame"));
}

#[test]
fn error_responses_keep_their_fields() {
    let body = b"SFEHLER\0VERROR\0C42704\0Mno slot\0Dnone at all\0Hmake one\0Fslot.c\0\0";
    let error = ServerError::parse(body).unwrap();
    assert_eq!(error.severity, "ERROR");
    assert_eq!(error.code, "42704");
    assert_eq!(error.message, "no slot");
    assert_eq!(error.detail.as_deref(), Some("none at all"));
    assert_eq!(error.hint.as_deref(), Some("make one"));
    assert_eq!(error.to_string(), "ERROR 42704: no slot (none at all)");
    // Text of another encoding is shown as far as it can be.
    assert_eq!(ServerError::parse(b"M\xe4\0\0").unwrap().message, "\u{fffd}");
    for broken in [&b""[..], b"M", b"Mno end", b"Mx\0"] {
        assert!(ServerError::parse(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn encryption_is_tried_in_libpqs_order() {
    use Attempt::{Offered, Plain, Tls};
    let refused = || said("28000", "no pg_hba.conf entry");
    let handshake = || Fact::Tls(io::Error::from(io::ErrorKind::InvalidData));
    let password = || said("28P01", "password authentication failed");
    let table: [(SslMode, Attempt, [Option<Attempt>; 3]); 6] = [
        (SslMode::Disable, Plain, [None, None, None]),
        (SslMode::Allow, Plain, [Some(Tls), None, None]),
        (SslMode::Prefer, Offered, [Some(Plain), Some(Plain), None]),
        (SslMode::Require, Tls, [None, None, None]),
        (SslMode::VerifyCa, Tls, [None, None, None]),
        (SslMode::VerifyFull, Tls, [None, None, None]),
    ];
    for (mode, first, after) in table {
        assert_eq!(Attempt::first(mode), first);
        for (fact, expected) in [refused(), handshake(), password()].iter().zip(after) {
            let next = first.after(mode, fact);
            assert_eq!(next, expected, "{mode:?} after {fact}");
            // Never round and round.
            if let Some(next) = next {
                assert_eq!(next.after(mode, fact), None);
            }
        }
    }
    // A server without TLS that refuses us: its first word is the one that helps.
    let no_tls = Fact::Settings("the server does not offer TLS".into());
    assert!(matches!(telling(Some(refused()), no_tls), Fact::Server(_)));
    assert!(matches!(telling(Some(handshake()), refused()), Fact::Tls(_)));
    assert!(matches!(telling(Some(refused()), password()), Fact::Server(e) if e.code == "28P01"));
}

#[test]
fn ssl_modes_by_name() {
    assert_eq!(SslMode::from_name("verify-full"), Some(SslMode::VerifyFull));
    assert_eq!(SslMode::from_name("VERIFY-CA"), Some(SslMode::VerifyCa));
    assert_eq!(SslMode::from_name("on"), None);
}

#[test]
fn addresses_of_every_kind_print_unambiguously() {
    for (host, text) in [
        ("::1", "[::1]:5432/orders as user \"shop\""),
        ("[::1]", "[::1]:5432/orders as user \"shop\""),
        ("10.0.0.1", "10.0.0.1:5432/orders as user \"shop\""),
    ] {
        assert_eq!(Settings { host: host.into(), ..settings() }.to_string(), text);
    }
}

/// Every cut of a message, and every byte changed, is an error or another message; never a panic.
#[test]
fn damaged_messages_are_errors() {
    let update = b"U\0\0\0\x07K\0\x01t\0\0\0\x011N\0\x02t\0\0\0\x012u";
    assert!(matches!(pgoutput::decode(update, false), Ok(Message::Update(_))));
    for end in 0..update.len() {
        assert!(pgoutput::decode(&update[..end], false).is_err(), "cut at {end}");
    }
    for at in 0..update.len() {
        for byte in 0..=255 {
            let mut bytes = *update;
            bytes[at] = byte;
            if let Ok(Message::Update(update)) = pgoutput::decode(&bytes, false) {
                assert_eq!(update.new.len(), update.new.count());
            }
        }
    }
}

#[test]
fn errors_say_where_and_what() {
    for (bytes, text) in [
        (&b""[..], "at byte 0: expected a message, found 0 bytes to the end"),
        (b"Z", "at byte 0: expected a known message, found 'Z'"),
        (b"E!", "at byte 1: expected the end, found 1 more bytes"),
        (b"I\0\0\0\x07X", "at byte 5: expected the marker N of a new row, found 'X'"),
        (b"I\0\0\0\x07N\0\x01x", "at byte 8: expected a value's kind n, u, t or b, found 'x'"),
        (
            b"I\0\0\0\x07N\0\x01t\xff\xff\xff\xff",
            "at byte 9: expected a value, found the length -1",
        ),
        (
            b"I\0\0\0\x07N\0\x01t\0\0\0\x05ab",
            "at byte 13: expected a value, found 2 bytes to the end",
        ),
        (b"Y\0\0\0\x01a\xff\0b\0", "at byte 5: expected a schema's name, found 'a\\xff', no UTF-8"),
        (b"T\xff\xff\xff\xff\0", "at byte 6: expected the relations, found 0 bytes to the end"),
    ] {
        let error = pgoutput::decode(bytes, false).unwrap_err().to_string();
        assert_eq!(error, format!("malformed pgoutput message {text}"));
    }
}

/// Messages that only PostgreSQL 16 and later send.
#[test]
fn aborts_of_parallel_streams_say_where() {
    let mut bytes = b"A\0\0\0\x05\0\0\0\x06".to_vec();
    let Message::StreamAbort(abort) = pgoutput::decode(&bytes, false).unwrap() else { panic!() };
    assert_eq!((abort.xid, abort.subxid, abort.position), (5, 6, None));
    bytes.extend(b"\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x0a");
    let Message::StreamAbort(abort) = pgoutput::decode(&bytes, false).unwrap() else { panic!() };
    assert_eq!(abort.position, Some((Lsn((1 << 32) + 2), 946_684_800_000_010)));
}

/// Inside a streamed block the same bytes mean something else: a transaction comes first.
#[test]
fn blocks_decide_about_transaction_numbers() {
    let mut decoder = Decoder::new();
    let plain = b"I\0\0\0\x07N\0\x01n";
    let streamed = b"I\0\0\0\x05\0\0\0\x07N\0\x01n";
    assert!(decoder.decode(plain).is_ok());
    assert!(decoder.decode(streamed).is_err());
    decoder.decode(b"S\0\0\0\x05\x01").unwrap();
    assert!(decoder.decode(plain).is_err());
    let Message::Insert(insert) = decoder.decode(streamed).unwrap() else { panic!() };
    assert_eq!((insert.xid, insert.relation), (Some(5), 7));
    assert_eq!(insert.new.collect::<Vec<_>>(), [Cell::Null]);
    decoder.decode(b"E").unwrap();
    assert!(decoder.decode(plain).is_ok());
}

#[test]
fn public_values_can_be_sent_between_threads() {
    fn sendable<T: Send + 'static>() {}
    sendable::<super::super::Stream>();
    sendable::<super::super::Replication>();
    sendable::<Event>();
    sendable::<Error>();
    let options = SlotOptions { failover: false, temporary: true, snapshot: Snapshot::Nothing };
    assert!(format!("{options:?}").contains("Nothing"));
}
