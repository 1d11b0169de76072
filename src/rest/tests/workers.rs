//! Requests from worker to worker, over TLS and without.

use axum::http::Method;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use super::{
    super::{Call, client::Client, forward, path, routes},
    Served,
};

/// An authority, and what it vouches for, as inline PEM.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For a worker: it serves on 127.0.0.1, and asks other workers.
    fn keys(&self) -> Vec<(String, String)> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        [
            ("ssl.keystore.type", "PEM".to_owned()),
            ("ssl.keystore.key", key.serialize_pem()),
            ("ssl.keystore.certificate.chain", certificate.pem()),
            ("ssl.truststore.type", "PEM".to_owned()),
            ("ssl.truststore.certificates", self.0.pem()),
        ]
        .map(|(name, value)| (format!("listeners.https.{name}"), value))
        .into()
    }
}

fn borrowed(keys: &[(String, String)]) -> Vec<(&str, &str)> {
    keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn https_and_clients_with_certificates() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let keys = ours.keys();
    let mut all = borrowed(&keys);
    all.push(("listeners.https.ssl.client.auth", "required"));
    all.push(("listeners", "http://127.0.0.1:0,https://127.0.0.1:0"));
    all.push(("rest.advertised.listener", "HTTPS"));
    let served = Served::started(&all).await;
    assert_eq!(served.url, format!("https://{}/", served.address(1)));

    let client = |keys: &[(String, String)]| {
        Client::new(&keys.iter().cloned().collect(), "listeners.https.")
    };
    let body = br#"{"name":"a b","config":{}}"#.to_vec();
    let url = format!("{}connectors", served.url);
    let made = client(&keys).send(&Method::POST, &url, &[], body).await.unwrap();
    assert_eq!(made.status.as_u16(), 201);
    let location = made.headers.get("location").unwrap().to_str().unwrap();
    assert_eq!(location, format!("{}connectors/a%20b", served.url));

    // Without a certificate, or with one of somebody else, there is no answer.
    let mut bare = keys.clone();
    bare.retain(|(key, _)| !key.contains("keystore"));
    let refused = async |keys: &[(String, String)]| {
        let sent = client(keys).send(&Method::GET, &served.url, &[], Vec::new()).await;
        sent.err().map(|why| why.to_string()).unwrap_or_default()
    };
    assert!(!refused(&bare).await.is_empty());
    let mut foreign = theirs.keys();
    foreign.retain(|(key, _)| key.contains("keystore"));
    foreign.extend(bare.clone());
    assert!(!refused(&foreign).await.is_empty());
    assert!(refused(&theirs.keys()).await.contains("UnknownIssuer"));
    // The http listener beside it goes on.
    assert_eq!(served.ask(0, "GET /connectors", &[], &[]).await, "200 []");
}

/// A request goes on to who can do it, once or twice, with its login and over TLS.
#[tokio::test]
async fn forwarding() {
    let ours = Authority::new("ours");
    let keys = ours.keys();
    let mut all = borrowed(&keys);
    all.push(("listeners", "http://127.0.0.1:0,https://127.0.0.1:0"));
    let served = Served::started(&all).await;
    // The herder here sends a restart to the worker that the connector is named after. A name has no
    // slashes, so an address without a scheme cannot be reached: what is tried shows in the error.
    let ask = async |line: &str| served.ask(0, line, &[], &[]).await;
    let tried = ask("POST /connectors/nobody:1/restart").await;
    assert!(tried.starts_with("500 "), "{tried}");
    assert!(tried.contains("IO Error trying to forward REST request: "), "{tried}");
    assert!(tried.contains("nobody:1/connectors/nobody:1/restart?forward=true"), "{tried}");
    let tried = ask("POST /connectors/nobody:1/restart?forward=true").await;
    assert!(tried.contains("restart?forward=false"), "{tried}");
    assert_eq!(
        ask("POST /connectors/nobody:1/restart?forward=false").await,
        "409 {\"error_code\":409,\"message\":\"Cannot complete request because of a conflicting \
         operation (e.g. worker rebalance)\"}"
    );

    let to = |url: &str, path: &'static str, method: &'static Method, body: &'static [u8]| {
        let (url, headers) = (url.to_owned(), axum::http::HeaderMap::new());
        let client = &served.worker.rest.client;
        async move {
            let parts = path::parts(path).unwrap();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let main = routes::Part::Main { admin: true };
            let Ok(route) = routes::find(main, method, &parts, &headers) else {
                panic!("{method} {path} is a route");
            };
            let call = Call { method, route: &route, query: Vec::new(), headers: &headers, body };
            match forward::forward(client, &url, path, &call).await {
                Ok(super::super::Answer::Created(name, _)) => format!("created {name}"),
                Ok(super::super::Answer::Empty(status)) => status.as_u16().to_string(),
                Ok(super::super::Answer::Json(status, body))
                | Err(super::super::Answer::Json(status, body)) => {
                    format!("{} {}", status.as_u16(), String::from_utf8(body).unwrap())
                }
                _ => "something else".to_owned(),
            }
        }
    };
    let secured = format!("https://{}/", served.address(1));
    let plain = format!("http://{}/", served.address(0));
    for url in [secured, plain] {
        let body = br#"{"name":"b","config":{}}"#;
        assert_eq!(to(&url, "/connectors", &Method::POST, body).await, "created b");
        assert_eq!(to(&url, "/connectors/b", &Method::DELETE, b"").await, "204");
        assert_eq!(
            to(&url, "/connectors/b/stop", &Method::PUT, b"").await,
            "404 {\"error_code\":404,\"message\":\"Connector b not found\"}"
        );
    }
    assert_eq!(
        to("", "/connectors", &Method::POST, b"{}").await,
        "409 {\"error_code\":409,\"message\":\"Cannot complete request momentarily due to no known \
         leader URL, likely because a rebalance was underway.\"}"
    );
}
