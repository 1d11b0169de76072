//! TLS by Java's `ssl.*` keys: the same files, passwords and choices that a JVM worker takes, read
//! into a configuration of rustls.
//!
//! The listeners of the REST API, the requests from worker to worker and the connection to Kafka's
//! group all come here. Keys are looked up behind a prefix, as `listeners.https.ssl.…` has one.

use std::sync::Arc;

use model::{
    connector::Props,
    error::{Error, Result},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod jks;
mod pem;
mod store;
#[cfg(test)]
mod tests;
mod verify;

/// A private key and the certificates that vouch for it, its own first.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// What a client of Kafka needs. Without a trust store the system's authorities are trusted.
pub fn client(props: &Props, prefix: &str) -> Result<Arc<ClientConfig>> {
    client_of(&Keys { props, prefix }, Untold::System)
}

/// What a worker needs to send requests to another. Without a trust store it trusts what the key
/// store holds, as Jetty does: workers of a group commonly share one self-signed certificate.
pub fn worker_client(props: &Props, prefix: &str) -> Result<Arc<ClientConfig>> {
    client_of(&Keys { props, prefix }, Untold::KeyStore)
}

/// What a listener needs. `ssl.client.auth` decides whether clients show a certificate.
pub fn server(props: &Props, prefix: &str) -> Result<Arc<ServerConfig>> {
    let keys = Keys { props, prefix };
    let provider = keys.provider()?;
    let versions = keys.versions()?;
    let identity = store::identity(&keys)?.ok_or_else(|| {
        Error::fatal(format!(
            "an https listener has no certificate: {} is not set; name a key store with the \
             listener's key and certificate",
            keys.name("ssl.keystore.location")
        ))
    })?;
    let asked = keys.get("ssl.client.auth").unwrap_or("none").to_ascii_lowercase();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| keys.unusable(&error))?;
    let builder = match asked.as_str() {
        "none" => builder.with_no_client_auth(),
        "requested" | "required" => {
            let trusted = trusted(&keys, Untold::KeyStore)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots(&keys, &trusted)?),
                provider,
            );
            let verifier = match asked.as_str() {
                "requested" => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|error| {
                Error::fatal("the authorities of clients cannot be used").caused_by(error)
            })?;
            builder.with_client_cert_verifier(Arc::new(verify::Clients::new(verifier, trusted)))
        }
        _ => {
            return Err(Error::fatal(format!(
                "Invalid value {asked} for configuration {}: String must be one of: required, \
                 requested, none",
                keys.name("ssl.client.auth")
            )));
        }
    };
    let config = builder.with_single_cert(identity.chain, identity.key);
    Ok(Arc::new(config.map_err(|error| keys.unusable(&error))?))
}

/// The key and certificate of a client or server, if a key store is named.
pub fn identity(props: &Props, prefix: &str) -> Result<Option<Identity>> {
    store::identity(&Keys { props, prefix })
}

/// The certificates of the trust store, if one is named.
pub fn trust_store(props: &Props, prefix: &str) -> Result<Option<Vec<CertificateDer<'static>>>> {
    store::trusted(&Keys { props, prefix })
}

/// Whom to trust when no trust store is named.
#[derive(Clone, Copy)]
enum Untold {
    System,
    KeyStore,
}

fn client_of(keys: &Keys<'_>, untold: Untold) -> Result<Arc<ClientConfig>> {
    let provider = keys.provider()?;
    let name_checked = match keys.props.get(&keys.name("ssl.endpoint.identification.algorithm")) {
        None => true,
        Some(algorithm) if algorithm.eq_ignore_ascii_case("https") => true,
        Some(algorithm) if algorithm.trim().is_empty() => false,
        Some(other) => {
            return Err(Error::fatal(format!(
                "{} is {other:?}; it can be https, or empty to leave the server's name unchecked",
                keys.name("ssl.endpoint.identification.algorithm")
            )));
        }
    };
    let trusted = trusted(keys, untold)?;
    let roots = roots(keys, &trusted)?;
    let verifier = verify::Servers::new(provider.clone(), roots, trusted, name_checked);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&keys.versions()?)
        .map_err(|error| keys.unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match store::identity(keys)? {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(|error| keys.unusable(&error))?,
    };
    Ok(Arc::new(config))
}

fn trusted(keys: &Keys<'_>, untold: Untold) -> Result<Vec<CertificateDer<'static>>> {
    if let Some(trusted) = store::trusted(keys)? {
        return Ok(trusted);
    }
    if let Untold::KeyStore = untold
        && let Some(trusted) = store::trusted_by_key_store(keys)?
    {
        return Ok(trusted);
    }
    let native = rustls_native_certs::load_native_certs();
    match native.errors.into_iter().next() {
        Some(error) if native.certs.is_empty() => Err(Error::fatal(format!(
            "the system's authorities cannot be read; name a trust store in {}",
            keys.name("ssl.truststore.location")
        ))
        .caused_by(error)),
        _ => Ok(native.certs),
    }
}

/// Stores may hold certificates that are no authorities; one that can be read is enough.
fn roots(keys: &Keys<'_>, trusted: &[CertificateDer<'static>]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
    match added {
        0 => Err(Error::fatal(format!(
            "no certificate is trusted, so nobody can be verified; name a trust store in {} that \
             holds an authority (`keytool -importcert`)",
            keys.name("ssl.truststore.location")
        ))),
        _ => Ok(roots),
    }
}

/// The keys behind a prefix.
struct Keys<'p> {
    props: &'p Props,
    prefix: &'p str,
}

/// Names that Java gives to parts of itself, and that say nothing about the connection.
const JAVA_PARTS: &[(&str, &[&str])] = &[
    ("ssl.keymanager.algorithm", &["SunX509", "NewSunX509", "PKIX"]),
    ("ssl.trustmanager.algorithm", &["PKIX", "SunX509", "X509"]),
    ("ssl.secure.random.implementation", &["SHA1PRNG", "NativePRNG", "DRBG"]),
    ("ssl.provider", &["SunJSSE"]),
    ("ssl.engine.factory.class", &["org.apache.kafka.common.security.ssl.DefaultSslEngineFactory"]),
];

impl<'p> Keys<'p> {
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What is set, and not to nothing.
    fn get(&self, key: &str) -> Option<&'p str> {
        let value = self.props.get(&self.name(key)).map(|value| value.trim());
        value.filter(|value| !value.is_empty())
    }

    fn list(&self, key: &str) -> Vec<&'p str> {
        let parts = self.get(key).unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).collect()
    }

    fn unusable(&self, error: &rustls::Error) -> Error {
        Error::fatal(format!(
            "the key and certificate of {} cannot be used for TLS: {error}",
            self.name("ssl.keystore.…")
        ))
    }

    /// TLS 1.2 and 1.3, of which `ssl.enabled.protocols` may name one; `ssl.protocol` is the
    /// highest.
    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>> {
        let key = "ssl.enabled.protocols";
        let mut enabled = self.list(key);
        if enabled.is_empty() {
            enabled = vec!["TLSv1.3", "TLSv1.2"];
        }
        let highest = self.get("ssl.protocol").unwrap_or("TLSv1.3");
        let below_13 = match highest {
            "TLS" | "TLSv1.3" => false,
            "TLSv1.2" => true,
            _ => return Err(self.version_refused("ssl.protocol", highest)),
        };
        let mut versions = Vec::new();
        for name in enabled {
            match name {
                "TLSv1.3" if below_13 => {}
                "TLSv1.3" => versions.push(&TLS13),
                "TLSv1.2" => versions.push(&TLS12),
                _ => return Err(self.version_refused(key, name)),
            }
        }
        match versions.is_empty() {
            true => Err(Error::fatal(format!(
                "no version of TLS is left: {} is {highest}, and {} has nothing up to it",
                self.name("ssl.protocol"),
                self.name(key)
            ))),
            false => Ok(versions),
        }
    }

    fn version_refused(&self, key: &str, version: &str) -> Error {
        Error::fatal(format!(
            "{} names {version:?}; this version has TLSv1.2 and TLSv1.3",
            self.name(key)
        ))
    }

    /// The cryptography, with the cipher suites that are wanted, in that order.
    fn provider(&self) -> Result<Arc<CryptoProvider>> {
        for (key, known) in JAVA_PARTS {
            if let Some(value) = self.get(key)
                && !known.contains(&value)
            {
                return Err(Error::fatal(format!(
                    "{} is {value:?}, which names a part of the JVM that is not here; remove the \
                     key",
                    self.name(key)
                )));
            }
        }
        let mut provider = ring::default_provider();
        let wanted = self.list("ssl.cipher.suites");
        if wanted.is_empty() {
            return Ok(Arc::new(provider));
        }
        let suite = |name: &str| provider.cipher_suites.iter().copied().find(|s| java(s) == name);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in wanted {
            match suite(name) {
                Some(suite) => found.push(suite),
                None => missing.push(name),
            }
        }
        let key = self.name("ssl.cipher.suites");
        if found.is_empty() {
            let all: Vec<String> = provider.cipher_suites.iter().map(java).collect();
            return Err(Error::fatal(format!(
                "{key} names no cipher suite that this version has: {}",
                all.join(", ")
            )));
        }
        if !missing.is_empty() {
            // Lists made for the JVM go down to suites that are no longer thought safe.
            tracing::warn!(
                "{key} names cipher suites that this version does not offer: {}",
                missing.join(", ")
            );
        }
        provider.cipher_suites = found;
        Ok(Arc::new(provider))
    }
}

/// The name Java has for a cipher suite.
fn java(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}
