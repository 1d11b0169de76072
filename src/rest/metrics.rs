//! `GET /metrics`: the worker's figures, as Prometheus reads them.
//!
//! On the main listeners, where scrapers of other workers look. It tells names of connectors and
//! topics and no more, as `GET /connectors` does, and is protected as that is.

use axum::http::Method;

use super::{Answer, Call, Outcome, wrong_method};
use crate::metrics::{Metrics, text::CONTENT_TYPE};

pub(super) fn serve(metrics: &Metrics, call: &Call<'_>) -> Outcome {
    match *call.method {
        Method::GET | Method::HEAD => Ok(Answer::Text(CONTENT_TYPE, metrics.text().into_bytes())),
        _ => Err(wrong_method(call, &["HEAD", "GET", "OPTIONS"])),
    }
}
