//! Requests that are not what they should be: who they are for, how long they are, what is in them.

use super::{HTTP, Served};

/// As a JVM worker answers what is not clear in itself.
#[tokio::test]
async fn requests_that_are_not_clear() {
    let served = Served::started(&[HTTP]).await;
    for (request, wanted) in [
        ("GET /connectors HTTP/1.1\r\n", "400 No Host"),
        ("GET /connectors HTTP/1.0\r\n", "200 []"),
        ("GET /connectors HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400 Duplicate Host Header"),
        ("GET /connectors HTTP/1.1\r\nHost:\r\n", "400 Blank Host"),
        ("GET /connectors HTTP/1.1\r\nHost: a b\r\n", "400 Bad HostPort"),
        ("POST /connectors HTTP/1.1\r\nHost: h\r\nExpect: x\r\n", "417 Expectation Failed"),
        ("GET /connectors HTTP/1.1\r\nHost: h\r\nContent-Type: /\r\n", "400 HTTP 400 Bad Request"),
        ("GET /connectors HTTP/1.1\r\nHost: h\r\nContent-Type: a/b, c/d\r\n", "400 HTTP 400"),
        ("GET /connectors HTTP/1.1\r\nHost: h\r\nAccept: */*;q=x\r\n", "400 HTTP 400"),
        ("GET /connectors HTTP/1.1\r\nHost: h\r\nAccept: *\r\n", "200 []"),
        ("GET /connectors HTTP/1.1\r\nHost: h\r\nAccept: html\r\n", "406 HTTP 406"),
    ] {
        let answer = served.raw(0, &format!("{request}Connection: close\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        let told = body.split("\"message\":\"").nth(1).unwrap_or(body);
        assert!(format!("{status} {told}").starts_with(wanted), "{request}: {answer}");
    }
    let cut = "POST /connectors HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let answer = served.raw(0, cut).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("Early EOF"), "{answer}");
}

/// As a JVM worker: a proxy's requests are refused, unless they are meant for this worker after all.
#[tokio::test]
async fn requests_of_proxies() {
    let served = Served::started(&[HTTP]).await;
    let ask = async |line: &str| served.ask(0, line, &[], &[]).await;
    assert_eq!(ask("GET http://h/connectors").await, "200 []");
    let refused = "400 {\"error_code\":400,\"message\":\"Authority!=Host\"}";
    assert_eq!(ask("GET http://other/connectors").await, refused);
    let refused = "400 {\"error_code\":400,\"message\":\"Bad Request\"}";
    assert_eq!(ask("CONNECT h:80").await, refused);
}

#[tokio::test]
async fn what_is_too_long() {
    let served = Served::started(&[HTTP]).await;
    let long = "x".repeat(9_000);
    let ask = async |line: String, header: String| {
        served.ask(0, &line, &[&header], &[]).await.chars().take(3).collect::<String>()
    };
    assert_eq!(ask("GET /connectors/x".to_owned(), "A: b".to_owned()).await, "404");
    assert_eq!(ask(format!("GET /connectors/{long}"), "A: b".to_owned()).await, "414");
    assert_eq!(ask("GET /connectors".to_owned(), format!("A: {long}")).await, "431");
    let many: String = (0..300).map(|at| format!("h{at}: v\r\n")).collect();
    let many = many.trim_end().to_owned();
    assert_eq!(ask("GET /connectors".to_owned(), many).await, "431");
    let announced = "POST /connectors HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                     Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{";
    let answer = served.raw(0, announced).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Task configurations of another worker, as they come to the herder; what is wrong with them is told
/// as by a JVM worker.
#[tokio::test]
async fn tasks_of_another_worker() {
    let served = Served::started(&[HTTP]).await;
    let post = async |body: &str| {
        let answer = served
            .raw(
                0,
                &format!(
                    "POST /connectors/x/tasks HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                     X-Connect-Authorization: mac\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                ),
            )
            .await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(body).unwrap();
        told["message"].as_str().unwrap().lines().next().unwrap().to_owned()
    };
    assert_eq!(post(r#"[{"a":"1","b":null,"a":2},{}]"#).await, "x: {a=2, b=null} {}");
    assert_eq!(post("[]").await, "x: ");
    assert_eq!(post("null").await, "x: a null");
    assert_eq!(post(r#"[{"a":"1"},null]"#).await, "x: a null");
    assert_eq!(post("").await, "No content to map due to end-of-input");
    let named = |length: usize| format!(r#"[{{"{}":1}}]"#, "n".repeat(length));
    assert!(post(&named(50_000)).await.starts_with("x: {nnn"));
    assert_eq!(
        post(&named(50_001)).await,
        "Name length (50001) exceeds the maximum allowed (50000, from \
         `StreamReadConstraints.getMaxNameLength()`) (through reference chain: \
         java.util.ArrayList[0])"
    );
    let list = "java.util.ArrayList<java.util.Map<java.lang.String,java.lang.String>>";
    assert_eq!(
        post("{}").await,
        format!(
            "Cannot deserialize value of type `{list}` from Object value (token \
             `JsonToken.START_OBJECT`)"
        )
    );
    assert_eq!(
        post(r#"[{"a":[]}]"#).await,
        "Cannot deserialize value of type `java.lang.String` from Array value (token \
         `JsonToken.START_ARRAY`)"
    );
}
