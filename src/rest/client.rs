//! Requests from worker to worker: forwarded ones, and task configurations for the leader.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// As long as Connect gives a request.
const REQUEST_MAX: Duration = Duration::from_secs(90);

/// More than any answer needs.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What another worker answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends a request. The error says what was tried and why it failed.
pub(crate) async fn send(
    method: &Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Reply, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{method} {url}: {why}");
    let mut request =
        Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).map_err(|error| failed(&error))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let work = async {
        let response = client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            failed(&format!("{error}: {}", cause.unwrap_or_default()))
        })?;
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
