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
fn what_is_hidden_by_its_key() {
    let secrets = secrets::Secrets::default();
    for key in [
        "connection.password",
        "splunk.hec.token",
        "datadog.apikey",
        "new.relic.api.key",
        "confluent.api_key",
        "db.pwd",
        "aws.secret.access.key",
        "azblob.account.key",
        "azblob.sas.token",
        "gcs.credentials.json",
        "oauth2.client.secret",
        "ssl.key.password",
        "producer.override.ssl.keystore.key",
        "value.converter.basic.auth.user.info",
        "schema.history.internal.consumer.sasl.jaas.config",
    ] {
        assert_eq!(secrets.mask(key, "hunter2"), "[hidden]", "{key}");
        assert_eq!(secrets.mask(key, "${file:/etc/k:x}"), "${file:/etc/k:x}", "{key}");
        assert_eq!(secrets.mask(key, "${file:/a:b}hunter2${env:C}"), "[hidden]", "{key}");
    }
    for key in ["topics", "tasks.max", "table.include.list", "key.converter", "pk.mode", "keyspace"]
    {
        assert_eq!(secrets.mask(key, "hunter2"), "hunter2", "{key}");
    }
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
    assert_eq!(secrets.mask("client.key", pem), "[hidden]");
}

/// Values of connectors as people write them, and what is shown of them.
#[test]
fn what_is_hidden_within_a_value() {
    for (value, shown) in [
        // Passwords of users in URLs.
        ("https://elastic:s3c@search:9200", "https://elastic:[hidden]@search:9200"),
        (
            "mongodb+srv://u:p%40ss@c0.mongodb.net/?w=1",
            "mongodb+srv://u:[hidden]@c0.mongodb.net/?w=1",
        ),
        (
            "jdbc:postgresql://u@tenant:p@ss@db:5432/shop",
            "jdbc:postgresql://u@tenant:[hidden]@db:5432/shop",
        ),
        ("redis://:pw@cache:6379/0", "redis://:[hidden]@cache:6379/0"),
        ("amqp://u:a/b@mq:5672/v", "amqp://u:[hidden]@mq:5672/v"),
        ("http://a:x@h1,http://b:y@h2", "http://a:[hidden]@h1,http://b:[hidden]@h2"),
        ("mongodb://u:${env:PW}@h/db", "mongodb://u:${env:PW}@h/db"),
        (
            "mongodb://u:${file:/etc/m.properties:pw}@h/db",
            "mongodb://u:${file:/etc/m.properties:pw}@h/db",
        ),
        ("mongodb://u:x${env:PW}@h/db", "mongodb://u:[hidden]@h/db"),
        (
            "jdbc:oracle:thin:scott/tiger@//db:1521/orcl",
            "jdbc:oracle:thin:scott/[hidden]@//db:1521/orcl",
        ),
        // Pieces with names.
        (
            "jdbc:mysql://db:3306/shop?user=u&password=p&useSSL=true",
            "jdbc:mysql://db:3306/shop?user=u&password=[hidden]&useSSL=true",
        ),
        (
            "jdbc:sqlserver://db:1433;user=sa;password={a;b}};c};encrypt=true",
            "jdbc:sqlserver://db:1433;user=sa;password=[hidden];encrypt=true",
        ),
        ("Server=db;Uid=u;Pwd=p w;Database=d", "Server=db;Uid=u;Pwd=[hidden];Database=d"),
        (
            "jdbc:postgresql://db/x?user=u&password=${file:/etc/p:pw}&ssl=on",
            "jdbc:postgresql://db/x?user=u&password=${file:/etc/p:pw}&ssl=on",
        ),
        (
            "o.a.k.PlainLoginModule required username=\"u\" password=\"a\\\"b;c\" x=\"y\";",
            "o.a.k.PlainLoginModule required username=\"u\" password=\"[hidden]\" x=\"y\";",
        ),
        ("M required username='u' password='p';", "M required username='u' password='[hidden]';"),
        ("M required username=u password=p;", "M required username=u password=[hidden];"),
        (
            "M required password=\"${env:P}\" username=\"u\";",
            "M required password=\"${env:P}\" username=\"u\";",
        ),
        ("a password=${env:P} token=t;", "a password=${env:P} token=[hidden];"),
        ("a password=${env:P}t username=u;", "a password=[hidden];"),
        ("M required password=${env:P} username=u;", "M required password=${env:P} username=u;"),
        (
            "O required clientId=\"c\" clientSecret=\"s\";",
            "O required clientId=\"c\" clientSecret=\"[hidden]\";",
        ),
        (
            "DefaultEndpointsProtocol=https;AccountName=n;AccountKey=ab==;EndpointSuffix=s",
            "DefaultEndpointsProtocol=https;AccountName=n;AccountKey=[hidden];EndpointSuffix=s",
        ),
        (
            "Endpoint=sb://n/;SharedAccessKeyName=root;SharedAccessKey=k=",
            "Endpoint=sb://n/;SharedAccessKeyName=root;SharedAccessKey=[hidden]",
        ),
        ("https://h/hook?api_key=k&x=1", "https://h/hook?api_key=[hidden]&x=1"),
        ("Authorization: Bearer abc", "Authorization: [hidden]"),
        (r#"{"user":"u","password":"p","n":1}"#, r#"{"user":"u","password":"[hidden]","n":1}"#),
        ("password=\"cut", "password=[hidden]"),
        // No secrets.
        ("http://a:8083,http://b:8083", "http://a:8083,http://b:8083"),
        ("http://registry:8081/path?mail=a@b.c", "http://registry:8081/path?mail=a@b.c"),
        ("jdbc:oracle:thin:@//db:1521/orcl", "jdbc:oracle:thin:@//db:1521/orcl"),
        ("${vault:secret/data/db:password}", "${vault:secret/data/db:password}"),
        ("public.users:id,public.tokens:id", "public.users:id,public.tokens:id"),
        ("shop.secret_santa,shop.password_resets", "shop.secret_santa,shop.password_resets"),
        (
            "io.debezium.connector.postgresql.PostgresConnector",
            "io.debezium.connector.postgresql.PostgresConnector",
        ),
        ("password=", "password="),
    ] {
        assert_eq!(secrets::Secrets::default().mask("connection.url", value), shown, "{value}");
        assert_eq!(secrets::Secrets::new(None, true).mask("connection.url", value), value);
    }
}

#[test]
fn what_is_hidden_of_long_values() {
    let mask = |value: &str| secrets::Secrets::default().mask("a", value).into_owned();
    assert_eq!(mask(&format!("password={}", "x".repeat(1 << 20))), "password=[hidden]");
    for piece in ["shop.a_table,", "a://b:", "token", "${", "\"'{", "jdbc:oracle:thin:a/"] {
        let long = piece.repeat((1 << 18) / piece.len());
        assert_eq!(mask(&long), long);
    }
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
