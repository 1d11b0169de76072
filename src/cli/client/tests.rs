use std::{fs, time::Duration};

use clap_complete::Shell;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;

#[test]
fn the_definition_is_sound() {
    Client::command().debug_assert();
    for shell in Shell::value_variants() {
        let script = completion(*shell);
        for word in ["riverrun", "apply", "connect-distributed", "only-failed"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn times() {
    let cases = [
        ("500ms", Some(500)),
        ("30s", Some(30_000)),
        ("30", Some(30_000)),
        ("5m", Some(300_000)),
        ("1h", Some(3_600_000)),
        ("s", None),
        ("", None),
        ("5d", None),
        ("-1s", None),
        ("99999999999999999h", None),
    ];
    for (text, millis) in cases {
        assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn columns() {
    let rows = [["a".to_owned(), "1".to_owned()], ["größer".to_owned(), "two\nlines".to_owned()]];
    assert_eq!(table::table(["X", "Y"], &rows), "X       Y\na       1\ngrößer  two lines\n");
}

#[test]
fn what_is_hidden() {
    let keys =
        json!([{ "name": "login", "type": "PASSWORD" }, { "name": "user", "type": "STRING" }]);
    let config = json!({
        "login": "x", "user": "u", "Database.Password": "p", "a.secret.key": "s",
        "from.provider.password": "${file:/x:y}", "empty.token": "", "producer.override.sasl.jaas.config": "j",
    });
    let hidden = json!({
        "login": "[hidden]", "user": "u", "Database.Password": "[hidden]", "a.secret.key": "[hidden]",
        "from.provider.password": "${file:/x:y}", "empty.token": "", "producer.override.sasl.jaas.config": "[hidden]",
    });
    assert_eq!(secrets::Secrets::new(Some(&keys), false).masked(&config), hidden);
    assert_eq!(secrets::Secrets::new(Some(&keys), true).masked(&config), config);
}

#[test]
fn directories_of_files() {
    let home = std::env::temp_dir().join(format!("riverrun-client-{}", std::process::id()));
    let path = home.to_str().unwrap().to_owned();
    let read = || files::read(std::slice::from_ref(&path)).map_err(|failure| failure.message);
    assert!(read().is_err());
    fs::create_dir_all(&home).unwrap();
    assert!(read().err().unwrap().contains("has no *.json"));
    fs::write(home.join("b.json"), r#"{"name":"b","config":{"x":1},"initial_state":"paused"}"#)
        .unwrap();
    fs::write(home.join("a.properties"), "name=a\nx=2\n").unwrap();
    fs::write(home.join("README.md"), "nothing of it").unwrap();
    let names: Vec<String> = read().unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["a", "b"]);
    fs::write(home.join("c.json"), r#"{"name":"a","x":"3"}"#).unwrap();
    assert!(read().err().unwrap().contains("connector a is in two files"));
    fs::remove_dir_all(home).unwrap();
}

/// A server of one's own: answers each connection over TLS, to the right user only.
async fn https() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/testdata");
    let props = [
        ("ssl.keystore.location", format!("{folder}/worker.p12")),
        ("ssl.keystore.password", "store-password".to_owned()),
    ];
    let props = props.map(|(key, value)| (key.to_owned(), value)).into();
    let acceptor = tokio_rustls::TlsAcceptor::from(crate::tls::server(&props, "").unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
            // ann:secret in base64, in small letters.
            let (status, body) = match request.contains("authorization: basic yw5uonnly3jlda==") {
                true => ("200 OK", "[]"),
                false => ("401 Unauthorized", "User cannot access the resource."),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn https_and_logins() {
    let url = https().await;
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/testdata/worker.crt");
    let ask = async |ca: &[&str], user: &str| {
        let given = ["riverrun", "list", "--url", &url, "--user", user];
        let client = Client::try_parse_from(given.iter().chain(ca)).unwrap();
        Worker::new(&client.options)?.get("/connectors").await
    };
    let ca = ["--ca", ca];
    assert_eq!(ask(&ca, "ann:secret").await.unwrap(), json!([]));
    let refused = ask(&ca, "ann:wrong").await.unwrap_err();
    assert_eq!(refused.code, code::REFUSED);
    assert!(refused.message.starts_with("User cannot access the resource. (401"), "{refused:?}");
    let untrusted = ask(&[], "ann:secret").await.unwrap_err();
    assert_eq!(untrusted.code, code::UNREACHABLE);
    assert!(untrusted.message.to_lowercase().contains("certificate"), "{untrusted:?}");
}

/// Answers one request after the other as it is told to, and gives the requests' first lines.
async fn scripted(answers: Vec<(&'static str, &'static str)>) -> (String, JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            let mut words = request.split(' ');
            asked.push(format!("{} {}", words.next().unwrap(), words.next().unwrap()));
            let length = request.to_ascii_lowercase();
            let length =
                length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let mut sent = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            socket.read_exact(&mut sent).await.unwrap();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
        asked
    });
    (url, asked)
}

/// Whatever the worker's words are: a conflict passes unless the connector is there.
#[tokio::test]
async fn conflicts() {
    let conflict = ("409 Conflict", r#"{"error_code":409,"message":"in other words"}"#);
    let absent = ("404 Not Found", r#"{"error_code":404,"message":"no"}"#);
    let worker = |url: &str| {
        let client = Client::try_parse_from(["riverrun", "list", "--url", url]).unwrap();
        Worker::new(&client.options).unwrap()
    };
    let (url, asked) = scripted(vec![conflict, absent, ("201 Created", "{}")]).await;
    assert_eq!(worker(&url).create("a b", &json!({})).await.unwrap(), json!({}));
    let tries = ["POST /connectors", "GET /connectors/a%20b", "POST /connectors"];
    assert_eq!(asked.await.unwrap(), tries);

    let (url, asked) = scripted(vec![conflict, ("200 OK", "{}")]).await;
    let refused = worker(&url).create("a", &json!({})).await.unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (code::REFUSED, "in other words (409)"));
    assert_eq!(asked.await.unwrap(), ["POST /connectors", "GET /connectors/a"]);

    let (url, asked) = scripted(vec![conflict, ("204 No Content", "")]).await;
    let done = worker(&url).done(axum::http::Method::DELETE, "/connectors/a", None).await;
    assert_eq!(done.unwrap(), Value::Null);
    assert_eq!(asked.await.unwrap(), ["DELETE /connectors/a"; 2]);
}
