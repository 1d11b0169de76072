//! `GET /metrics`: the worker's figures, as Prometheus reads them.
//!
//! On the main listeners, where scrapers of other workers look. It tells names of connectors and
//! topics and no more, as `GET /connectors` does, and is protected as that is.

use super::Answer;
use crate::metrics::{Metrics, text::CONTENT_TYPE};

pub(super) fn show(metrics: &Metrics) -> Answer {
    Answer::Text(CONTENT_TYPE, metrics.text().into_bytes())
}
