//! The worker's keys that are about REST, Kafka's `RestServerConfig`, and the listeners they make.

use std::{net::IpAddr, sync::Arc};

use model::{
    config::{Config, Group, Importance::Low, Key},
    connector::Props,
};
use rustls::ServerConfig;

use super::{
    auth::Logins,
    client::Client,
    cors::Cors,
    headers::{self, Rule},
};
use crate::tls;

/// How the REST API is served.
pub struct RestConfig {
    pub listeners: Vec<Listener>,
    pub admin: Admin,
    pub advertised: Advertised,
    pub(super) cors: Option<Cors>,
    pub(super) headers: Vec<Rule>,
    pub(super) logins: Option<Logins>,
    /// For requests to other workers.
    pub client: Client,
}

/// Where `/admin` is served.
pub enum Admin {
    WithMain,
    Nowhere,
    On(Vec<Listener>),
}

/// Where REST listens. No host means all interfaces.
#[derive(Clone)]
pub struct Listener {
    pub host: Option<String>,
    pub port: u16,
    /// Of an https listener.
    pub tls: Option<Arc<ServerConfig>>,
}

/// What other workers are told of this one.
pub struct Advertised {
    /// `http` or `https`.
    pub scheme: String,
    pub host: Option<String>,
    pub port: Option<u16>,
}

pub(crate) const KEYS: Group = Group {
    name: "",
    keys: &[
        &LISTENERS.spec,
        &ADVERTISED_HOST.spec,
        &ADVERTISED_PORT.spec,
        &ADVERTISED_LISTENER.spec,
        &CORS_ORIGIN.spec,
        &CORS_METHODS.spec,
        &RESPONSE_HEADERS.spec,
        &ADMIN_LISTENERS.spec,
        &REST_EXTENSIONS.spec,
        &CLIENT_AUTH.spec,
    ],
};

static LISTENERS: Key<Vec<String>> = Key::list("listeners").default("http://:8083");
static ADVERTISED_HOST: Key<String> = Key::string("rest.advertised.host.name").default_null();
static ADVERTISED_PORT: Key<i32> = Key::int("rest.advertised.port").default_null();
static ADVERTISED_LISTENER: Key<String> = Key::string("rest.advertised.listener").default_null();
static CORS_ORIGIN: Key<String> =
    Key::string("access.control.allow.origin").default("").importance(Low);
static CORS_METHODS: Key<String> =
    Key::string("access.control.allow.methods").default("").importance(Low);
static RESPONSE_HEADERS: Key<String> =
    Key::string("response.http.headers.config").default("").importance(Low);
static ADMIN_LISTENERS: Key<Vec<String>> =
    Key::list("admin.listeners").default_null().importance(Low);
static REST_EXTENSIONS: Key<Vec<String>> =
    Key::list("rest.extension.classes").default("").importance(Low);
static CLIENT_AUTH: Key<String> = Key::string("ssl.client.auth").default("none").importance(Low);

/// The keys of TLS for these listeners: behind the prefix as soon as one key has it, else without.
fn tls_prefix<'p>(props: &Props, prefix: &'p str) -> &'p str {
    match props.keys().any(|key| key.starts_with(prefix)) {
        true => prefix,
        false => "",
    }
}

impl RestConfig {
    /// Each thing that is wrong is one of the errors.
    pub(crate) fn read(config: &Config, props: &Props) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let main_prefix = tls_prefix(props, "listeners.https.");
        let given = config.get(&LISTENERS);
        if given.is_empty() {
            errors.push(
                "Invalid value for configuration listeners: Invalid value for listeners, at least \
                 one URL is expected, ex: http://localhost:8080,https://localhost:8443."
                    .to_owned(),
            );
        }
        let listeners = read_listeners("listeners", &given, props, main_prefix, &mut errors);
        let admin = match config.find(&ADMIN_LISTENERS) {
            None => Admin::WithMain,
            Some(list) if list.iter().all(|listener| listener.trim().is_empty()) => Admin::Nowhere,
            Some(list) => {
                let prefix = tls_prefix(props, "admin.listeners.https.");
                Admin::On(read_listeners("admin.listeners", &list, props, prefix, &mut errors))
            }
        };
        let advertised = advertised(config, &listeners).map_err(|wrong| errors.push(wrong));
        let cors = Cors::new(&config.get(&CORS_ORIGIN), &config.get(&CORS_METHODS))
            .map_err(|wrong| errors.push(wrong));
        let rules = headers::rules(&config.get(&RESPONSE_HEADERS)).map_err(|wrong| {
            errors.push(format!(
                "Invalid value for configuration response.http.headers.config: {wrong}"
            ));
        });
        let logins = Logins::new(
            &config.get(&REST_EXTENSIONS),
            props.get("java.security.auth.login.config"),
            |name| std::env::var(name).ok(),
        )
        .map_err(|wrong| errors.push(wrong));
        match (advertised, cors, rules, logins) {
            (Ok(advertised), Ok(cors), Ok(headers), Ok(logins)) if errors.is_empty() => Ok(Self {
                listeners,
                admin,
                advertised,
                cors,
                headers,
                logins,
                client: Client::new(props, main_prefix),
            }),
            _ => Err(errors),
        }
    }
}

fn read_listeners(
    key: &str,
    given: &[String],
    props: &Props,
    prefix: &str,
    errors: &mut Vec<String>,
) -> Vec<Listener> {
    let mut tls: Option<Arc<ServerConfig>> = None;
    let mut read = |text: &String| -> Result<Listener, String> {
        let invalid =
            |wrong: &str| format!("Invalid value {text} for configuration {key}: {wrong}");
        let (scheme, host, port) = address(text).map_err(invalid)?;
        let secured = match scheme.as_str() {
            "http" => None,
            _ if tls.is_some() => tls.clone(),
            _ => {
                let made = tls::server(props, prefix).map_err(|error| invalid(&error.trace()))?;
                tls = Some(made.clone());
                Some(made)
            }
        };
        Ok(Listener { host, port, tls: secured })
    };
    let mut listeners = Vec::new();
    for text in given {
        match read(text) {
            Ok(listener) => listeners.push(listener),
            Err(wrong) => errors.push(wrong),
        }
    }
    listeners
}

/// `protocol://host:port`; an IPv6 address stands in brackets.
fn address(text: &str) -> Result<(String, Option<String>, u16), &'static str> {
    const FORM: &str = "Listener doesn't have the right format (protocol://hostname:port).";
    if text.trim().is_empty() {
        return Err("Empty URL found when parsing listeners list.");
    }
    let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
    let (host, port) = rest.rsplit_once(':').ok_or(FORM)?;
    let port = port.parse::<u16>().map_err(|_| FORM)?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let part = |char: char| char.is_ascii_alphanumeric() || "-%._:".contains(char);
    if !host.chars().all(part) {
        return Err(FORM);
    }
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err("Listener protocol must be either \"http\" or \"https\".");
    }
    Ok((scheme, Some(host.to_owned()).filter(|host| !host.is_empty()), port))
}

fn advertised(config: &Config, listeners: &[Listener]) -> Result<Advertised, String> {
    let scheme = match config.find(&ADVERTISED_LISTENER) {
        Some(scheme) => scheme.trim().to_ascii_lowercase(),
        // Where there are both, workers speak http, which needs no certificates.
        None if listeners.iter().all(|listener| listener.tls.is_some()) => "https".to_owned(),
        None => "http".to_owned(),
    };
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(format!(
            "Invalid value {scheme} for configuration rest.advertised.listener: it can be http or \
             https"
        ));
    }
    let port = match config.find(&ADVERTISED_PORT) {
        None => None,
        Some(port) => match u16::try_from(port) {
            Ok(port) if port > 0 => Some(port),
            _ => {
                return Err(format!(
                    "Invalid value {port} for configuration rest.advertised.port: not a TCP port"
                ));
            }
        },
    };
    let host = config.find(&ADVERTISED_HOST).filter(|host| !host.is_empty());
    Ok(Advertised { scheme, host, port })
}

impl Advertised {
    /// `host:port` under which others reach this worker, given the listeners and the ports that they
    /// were bound to; an IPv6 address gets its brackets.
    pub(super) fn worker_id(
        &self,
        bound: &[(&Listener, u16)],
        own_address: impl FnOnce() -> String,
    ) -> String {
        let secured = self.scheme == "https";
        let chosen = bound.iter().find(|(listener, _)| listener.tls.is_some() == secured);
        let chosen = chosen.or(bound.first());
        let port = self.port.or(chosen.map(|(_, port)| *port)).unwrap_or_default();
        let host = self.host.clone();
        let host = host.or_else(|| chosen.and_then(|(listener, _)| listener.host.clone()));
        let host = host.unwrap_or_else(own_address);
        match host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
            _ => format!("{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, wanted) in [
            ("http://:8083", "http  8083"),
            ("HTTPS://a-b.example:0", "https a-b.example 0"),
            ("http://[::1]:80", "http ::1 80"),
            ("http://127.0.0.1:80", "http 127.0.0.1 80"),
            ("http://:8083/", "!Listener doesn't have the right format"),
            ("http:8083", "!Listener doesn't have the right format"),
            ("http://a b:80", "!Listener doesn't have the right format"),
            ("http://a:70000", "!Listener doesn't have the right format"),
            ("ftp://a:80", "!Listener protocol must be either \"http\" or \"https\"."),
            (" ", "!Empty URL found"),
        ] {
            let found = match address(text) {
                Ok((scheme, host, port)) => {
                    format!("{scheme} {} {port}", host.unwrap_or_default())
                }
                Err(wrong) => format!("!{wrong}"),
            };
            assert!(found.starts_with(wanted), "{text}: {found}");
        }
    }

    #[test]
    fn what_others_are_told() {
        let plain =
            |host: Option<&str>| Listener { host: host.map(str::to_owned), port: 0, tls: None };
        let advertised = |host: Option<&str>, port| Advertised {
            scheme: "http".to_owned(),
            host: host.map(str::to_owned),
            port,
        };
        let own = || "10.0.0.1".to_owned();
        let (all, one) = (plain(None), plain(Some("::1")));
        assert_eq!(advertised(None, None).worker_id(&[(&all, 8083)], own), "10.0.0.1:8083");
        assert_eq!(advertised(None, None).worker_id(&[(&one, 80)], own), "[::1]:80");
        assert_eq!(advertised(Some("h"), Some(9)).worker_id(&[(&all, 80)], own), "h:9");
    }
}
