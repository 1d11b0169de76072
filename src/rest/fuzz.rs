//! Requests, see [`crate::fuzz`].

use axum::http::{HeaderMap, HeaderValue, Method, header};

use super::{
    Call, auth, body, path,
    routes::{Operation, Route},
};
use crate::fuzz::choice;

/// A body for each of its readers, a path and a query, an `Authorization` header, and the JAAS file
/// that names the users.
pub fn rest(input: &[u8]) {
    let Some((choice, bytes)) = choice(input) else { return };
    let text = String::from_utf8_lossy(bytes);
    match choice % 8 {
        0..=4 => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let route = Route {
                operation: Operation::Options,
                methods: &[],
                name: String::new(),
                task: String::new(),
            };
            let call = Call {
                method: &Method::PUT,
                route: &route,
                query: Vec::new(),
                headers: &headers,
                body: bytes,
            };
            match choice % 8 {
                0 => drop(body::some_config(&call)),
                1 => drop(body::create(&call)),
                2 => drop(body::level(&call)),
                3 => drop(body::tasks(&call)),
                _ => drop(body::offsets(&call)),
            }
        }
        5 => {
            if let Ok(parts) = path::parts(&text) {
                // A name that came in a path can go into one.
                for part in parts {
                    let again = path::parts(&format!("/x/{}", path::part(&part)));
                    // The HTTP server lets no control character through.
                    let odd = part.contains(['/', '\\', '%', ';'])
                        || part.contains(char::is_control)
                        || part.is_empty()
                        || matches!(part.as_str(), "." | "..");
                    let known = again.as_ref().ok().and_then(|parts| parts.last());
                    assert!(odd || known == Some(&part), "{part:?}: {again:?}");
                }
            }
            drop(path::query(&text));
        }
        6 => drop(auth::credentials(&text)),
        _ => drop(auth::password_files(&text)),
    }
}
