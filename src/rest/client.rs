//! Requests from worker to worker: forwarded ones, and task configurations for the leader.

use std::{fmt, sync::OnceLock, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use model::{connector::Props, error::chain};

use crate::tls;

/// As long as Connect gives a request.
const REQUEST_MAX: Duration = Duration::from_secs(90);

/// A worker that is gone shall not hold up what asks it.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// More than any answer needs.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What another worker answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The keys of TLS make no client.
    NoClient(String),
    /// What was tried, and what failed.
    Exchange(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClient(why) => write!(f, "Failed to start RestClient: {why}"),
            Self::Exchange(why) => f.write_str(why),
        }
    }
}

/// Sends requests to other workers, over TLS with the certificates of this one's listeners.
pub struct Client {
    /// The keys of TLS: read when the first request needs them, as groups without TLS set none.
    props: Props,
    prefix: String,
    plain: legacy::Client<HttpConnector, Body>,
    secured: OnceLock<Result<legacy::Client<HttpsConnector<HttpConnector>, Body>, String>>,
}

impl Client {
    pub(super) fn new(props: &Props, prefix: &str) -> Self {
        let tls = props
            .iter()
            .filter(|(key, _)| key.strip_prefix(prefix).is_some_and(|key| key.starts_with("ssl.")));
        Self {
            props: tls.map(|(key, value)| (key.clone(), value.clone())).collect(),
            prefix: prefix.to_owned(),
            plain: legacy::Client::builder(TokioExecutor::new()).build(connector()),
            secured: OnceLock::new(),
        }
    }

    fn secured(&self) -> Result<&legacy::Client<HttpsConnector<HttpConnector>, Body>, Unanswered> {
        let made = self.secured.get_or_init(|| {
            let tls =
                tls::worker_client(&self.props, &self.prefix).map_err(|error| error.trace())?;
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls.as_ref().clone())
                .https_only()
                .enable_http1()
                .wrap_connector(connector());
            Ok(legacy::Client::builder(TokioExecutor::new()).build(connector))
        });
        made.as_ref().map_err(|wrong| Unanswered::NoClient(wrong.clone()))
    }

    /// Sends a request.
    pub(crate) async fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Reply, Unanswered> {
        let failed =
            |why: &dyn fmt::Display| Unanswered::Exchange(format!("{method} {url}: {why}"));
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "kafka-connect");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).map_err(|error| failed(&error))?;
        let secured = request.uri().scheme_str() == Some("https");
        let work = async {
            let sent = match secured {
                true => self.secured()?.request(request).await,
                false => self.plain.request(request).await,
            };
            let response = sent.map_err(|error| failed(&chain(&error)))?;
            let (head, body) = response.into_parts();
            let body = to_bytes(Body::new(body), BODY_BYTES_MAX).await;
            let body = body.map_err(|error| failed(&error))?.to_vec();
            Ok(Reply { status: head.status, headers: head.headers, body })
        };
        match tokio::time::timeout(REQUEST_MAX, work).await {
            Ok(done) => done,
            Err(_) => Err(failed(&format!("no answer within {} s", REQUEST_MAX.as_secs()))),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_MAX));
    connector.enforce_http(false);
    connector
}
