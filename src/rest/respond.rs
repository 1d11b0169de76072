//! Answers as HTTP, and JSON as Connect writes it.

use std::io::{self, Write};

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, StatusCode, header, request},
};
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

use super::{Answer, ErrorMessage, path, routes};

/// What of a request its answer depends on.
pub(super) struct Asked {
    method: Method,
    /// As the client addressed this worker.
    address: String,
    /// The best of the types it accepts.
    wanted: Option<String>,
}

impl Asked {
    pub(super) fn new(head: &request::Parts, scheme: &str) -> Self {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(head.uri.authority().map(|host| host.as_str())).unwrap_or_default();
        Self {
            method: head.method.clone(),
            address: format!("{scheme}://{host}"),
            wanted: routes::wanted(&head.headers).into_iter().next(),
        }
    }

    /// The type of what is no JSON.
    fn plain_type(&self) -> String {
        match self.wanted.as_deref() {
            None | Some("*/*" | "text/*" | "text/plain") => "text/plain".to_owned(),
            Some(wanted) => wanted.to_owned(),
        }
    }
}

pub(super) fn respond(answer: Answer, asked: &Asked) -> Response<Body> {
    const JSON: &str = "application/json";
    let mut response = Response::builder();
    let body = match answer {
        Answer::Json(status, body) => {
            response = response.status(status).header(header::CONTENT_TYPE, JSON);
            body
        }
        Answer::Text(kind, body) => {
            response = response.header(header::CONTENT_TYPE, kind);
            body
        }
        Answer::Created(name, body) => {
            let location = format!("{}/connectors/{}", asked.address, path::location(&name));
            response = response
                .status(StatusCode::CREATED)
                .header(header::LOCATION, location)
                .header(header::CONTENT_TYPE, JSON);
            body
        }
        Answer::Empty(status) => {
            response = response.status(status);
            Vec::new()
        }
        // Sent on by the server, which knows the request.
        Answer::Elsewhere(_) => {
            response = response.status(StatusCode::SERVICE_UNAVAILABLE);
            Vec::new()
        }
        Answer::Plain(status, text) => {
            let kind = match asked.method {
                Method::OPTIONS => asked.plain_type(),
                _ => JSON.to_owned(),
            };
            response = response.status(status).header(header::CONTENT_TYPE, kind);
            text.as_bytes().to_vec()
        }
        Answer::Unmatched(status) => {
            response = response.status(status);
            let reason = status.canonical_reason().unwrap_or_default();
            let message = format!("HTTP {} {reason}", status.as_u16());
            let message = ErrorMessage { error_code: status.as_u16(), message: &message };
            json(&message).unwrap_or_default()
        }
        Answer::Options(methods) => {
            let allowed: Vec<&str> = methods.iter().map(|(method, _)| *method).collect();
            let kind = asked.plain_type();
            // A client that wants something else gets the header alone.
            let text = if kind == "text/plain" { allowed.join(", ") } else { String::new() };
            response = response
                .header(header::ALLOW, allowed.join(","))
                .header(header::CONTENT_TYPE, kind);
            text.into_bytes()
        }
    };
    if asked.method == Method::HEAD {
        response = response.header(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        return finish(response.body(Body::empty()));
    }
    finish(response.body(Body::from(body)))
}

fn finish(built: Result<Response<Body>, axum::http::Error>) -> Response<Body> {
    built.unwrap_or_else(|error| {
        tracing::error!("an answer could not be built: {error}");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Writes JSON byte for byte as Jackson does.
pub(super) fn json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut out, Jackson))?;
    Ok(out)
}

/// Jackson writes characters beyond the first 65,536 as two escapes, and hexadecimal digits of
/// escapes in capitals.
struct Jackson;

impl Formatter for Jackson {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|char| char > '\u{ffff}') {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            for unit in chars.next().iter().flat_map(|char| {
                let mut units = [0; 2];
                char.encode_utf16(&mut units);
                units
            }) {
                write!(writer, "\\u{unit:04X}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let short: &[u8] = match escape {
            CharEscape::Quote => b"\\\"",
            CharEscape::ReverseSolidus => b"\\\\",
            CharEscape::Solidus => b"/",
            CharEscape::Backspace => b"\\b",
            CharEscape::FormFeed => b"\\f",
            CharEscape::LineFeed => b"\\n",
            CharEscape::CarriageReturn => b"\\r",
            CharEscape::Tab => b"\\t",
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04X}"),
        };
        writer.write_all(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_jackson() {
        let text = json(&"a\u{1f}\u{7f}\"\\/\n\u{1f600}\u{e4}\u{2028}").unwrap();
        let wanted = "\"a\\u001F\u{7f}\\\"\\\\/\\n\\uD83D\\uDE00\u{e4}\u{2028}\"";
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
    }
}
