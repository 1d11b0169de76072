//! Requests of pages that come from elsewhere (CORS): `access.control.allow.origin` and
//! `access.control.allow.methods`. Headers are those of the JVM worker's handler (Jetty 12).

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use fancy_regex::Regex;

/// Whose pages may ask, and by which methods.
#[derive(Debug)]
pub(super) struct Cors {
    /// `None` for any.
    origins: Option<Vec<Regex>>,
    methods: HeaderValue,
}

/// As long as a browser may remember the answer, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("60");

impl Cors {
    /// `None` when no origin is allowed. Each origin is a pattern, without regard to case.
    pub(super) fn new(origins: &str, methods: &str) -> Result<Option<Self>, String> {
        if origins.trim().is_empty() {
            return Ok(None);
        }
        let given: Vec<&str> = origins.split(',').map(str::trim).collect();
        let pattern = |text: &&str| {
            Regex::new(&format!("(?i)^(?:{text})$")).map_err(|error| {
                format!(
                    "Invalid value {origins} for configuration access.control.allow.origin: \
                     {text} is not a pattern: {error}"
                )
            })
        };
        let origins = match given.contains(&"*") {
            true => None,
            false => Some(given.iter().map(pattern).collect::<Result<_, _>>()?),
        };
        let methods = match methods.trim() {
            "" => "GET,POST,HEAD",
            _ => methods,
        };
        let methods = HeaderValue::try_from(methods).map_err(|error| {
            format!(
                "Invalid value {methods} for configuration access.control.allow.methods: {error}"
            )
        })?;
        Ok(Some(Self { origins, methods }))
    }

    fn allows(&self, origin: &str) -> bool {
        let Some(patterns) = &self.origins else { return true };
        // A page in a page in a page: one of them is enough.
        let mut origins = origin.split(' ').filter(|one| !one.is_empty());
        origins.any(|one| patterns.iter().any(|pattern| pattern.is_match(one).unwrap_or(false)))
    }

    /// The headers that go with the answer.
    pub(super) fn headers(
        &self,
        method: &Method,
        request: &HeaderMap,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(header::VARY, HeaderValue::from_static("Origin"))];
        let Some(origin) = request.get(header::ORIGIN) else { return headers };
        if !origin.to_str().is_ok_and(|origin| self.allows(origin)) {
            return headers;
        }
        headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        if method == Method::OPTIONS && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            headers.extend([
                (header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type")),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            ]);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(origins: &str, methods: &str, origin: &str, preflight: bool) -> String {
        let cors = Cors::new(origins, methods).unwrap().unwrap();
        let mut request = HeaderMap::new();
        request.insert(header::ORIGIN, origin.parse().unwrap());
        let method = match preflight {
            true => {
                request.insert(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT".parse().unwrap());
                Method::OPTIONS
            }
            false => Method::GET,
        };
        let headers = cors.headers(&method, &request).into_iter();
        let lines = headers.map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        lines.collect::<Vec<_>>().join(" ").replace("access-control-", "")
    }

    /// Expected answers are those of a JVM worker with the same keys, which lists the methods in any
    /// order.
    #[test]
    fn as_jetty_answers() {
        let listed = "http://a.example,https://*.b.example, http://c[0-9]\\.example";
        for (origin, allowed) in [
            ("http://a.example", true),
            ("HTTP://A.example", true),
            ("http://c1.example", true),
            ("http://a.example http://z.example", true),
            ("https://x.b.example", false),
            ("http://z.example", false),
            ("null", false),
        ] {
            let wanted = match allowed {
                true => format!("vary=Origin allow-origin={origin}"),
                false => "vary=Origin".to_owned(),
            };
            assert_eq!(answer(listed, "GET", origin, false), wanted, "{origin}");
        }
        assert_eq!(answer("*", "", "null", false), "vary=Origin allow-origin=null");
        assert_eq!(
            answer("*", "", "http://x", true),
            "vary=Origin allow-origin=http://x allow-methods=GET,POST,HEAD \
             allow-headers=Content-Type max-age=60"
        );
        assert_eq!(
            answer("http://x", "GET,POST,PUT", "http://x", true),
            "vary=Origin allow-origin=http://x allow-methods=GET,POST,PUT \
             allow-headers=Content-Type max-age=60"
        );
        assert!(Cors::new(" ", "GET").unwrap().is_none());
        assert!(Cors::new("http://(", "").is_err());
    }
}
