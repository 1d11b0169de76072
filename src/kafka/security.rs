//! TLS and SASL properties of the Java client, as librdkafka wants them.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use model::error::{Error, Result};
use rdkafka::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Login;
use crate::tls::{self, Identity};

type Layers = BTreeMap<String, String>;

/// `security.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    pub(crate) fn read(layers: &Layers) -> Result<Self> {
        let text = get(layers, "security.protocol").unwrap_or("PLAINTEXT");
        Ok(match text.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Protocol::Plaintext,
            "SSL" => Protocol::Ssl,
            "SASL_PLAINTEXT" => Protocol::SaslPlaintext,
            "SASL_SSL" => Protocol::SaslSsl,
            _ => {
                return Err(Error::fatal(format!(
                    "client property security.protocol is {text:?}; it can be PLAINTEXT, SSL, \
                     SASL_PLAINTEXT or SASL_SSL"
                )));
            }
        })
    }

    /// Whether connections are encrypted.
    pub(crate) fn tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    /// Whether clients log in.
    pub(crate) fn sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    /// As librdkafka calls it.
    fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }
}

pub(super) fn translate(layers: &Layers, client: &mut ClientConfig) -> Result<()> {
    let protocol = Protocol::read(layers)?;
    client.set("security.protocol", protocol.name());
    // Java reads stores only when the protocol needs them, and workers often name them anyway.
    if protocol.tls() {
        tls(layers, client)?;
    }
    if protocol.sasl() {
        sasl(layers, client)?;
    }
    Ok(())
}

fn get<'l>(layers: &'l Layers, key: &str) -> Option<&'l str> {
    layers.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// Stores are read as for every other connection and handed over as PEM: librdkafka knows neither
/// Java's stores nor a trust store in PKCS12.
fn tls(layers: &Layers, client: &mut ClientConfig) -> Result<()> {
    for key in ["ssl.engine.factory.class", "ssl.provider"] {
        if get(layers, key).is_some() {
            return Err(Error::fatal(format!(
                "client property {key} is refused: it names a part of the JVM; remove it"
            )));
        }
    }
    if get(layers, "ssl.cipher.suites").is_some() {
        return Err(Error::fatal(
            "client property ssl.cipher.suites is refused: producers and consumers of this \
             version offer OpenSSL's list of suites and no other; remove it",
        ));
    }
    let versions = get(layers, "ssl.enabled.protocols").unwrap_or("TLSv1.2,TLSv1.3");
    if !versions.split(',').any(|version| version.trim() == "TLSv1.2") {
        return Err(Error::fatal(format!(
            "client property ssl.enabled.protocols is {versions}, but producers and consumers of \
             this version take TLSv1.2 too; add it, and leave it out on the brokers"
        )));
    }
    if let Some(check) = layers.get("ssl.endpoint.identification.algorithm") {
        let check = if check.is_empty() { "none".to_owned() } else { check.to_ascii_lowercase() };
        client.set("ssl.endpoint.identification.algorithm", check);
    }
    if let Some(Identity { chain, key }) = tls::identity(layers, "")? {
        let kind = match key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        client.set("ssl.key.pem", pem(kind, key.secret_der()));
        client.set("ssl.certificate.pem", certificates(&chain));
    }
    if let Some(trusted) = tls::trust_store(layers, "")? {
        client.set("ssl.ca.pem", certificates(&trusted));
    }
    Ok(())
}

fn certificates(all: &[CertificateDer<'_>]) -> String {
    all.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {kind}-----\n");
    let mut rest = text.as_str();
    while let Some((line, more)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {kind}-----\n"));
    pem
}

fn sasl(layers: &Layers, client: &mut ClientConfig) -> Result<()> {
    let login = Login::read(layers)?;
    client.set("sasl.mechanism", login.mechanism.name());
    client.set("sasl.username", login.user);
    client.set("sasl.password", login.password.expose());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)]) -> Result<ClientConfig> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut client = ClientConfig::new();
        translate(&properties.iter().map(own).collect(), &mut client)?;
        Ok(client)
    }

    /// What librdkafka is given of Java's stores is what it reads itself.
    #[test]
    fn stores_of_java_become_pem() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tls/testdata/");
        for (store, key_password, trust) in
            [("worker.jks", "key-password", "trust.jks"), ("worker.p12", "", "trust.p12")]
        {
            let client = check(&[
                ("security.protocol", "SSL"),
                ("ssl.keystore.location", &format!("{directory}{store}")),
                ("ssl.keystore.password", "store-password"),
                ("ssl.key.password", key_password),
                ("ssl.truststore.location", &format!("{directory}{trust}")),
                ("ssl.truststore.password", "store-password"),
                ("ssl.endpoint.identification.algorithm", ""),
            ]);
            let client = client.map_err(|error| error.trace()).unwrap();
            let count = |key, word| client.get(key).unwrap_or_default().matches(word).count();
            assert_eq!(count("ssl.key.pem", "BEGIN PRIVATE KEY"), 1, "{store}");
            assert!(count("ssl.certificate.pem", "BEGIN CERTIFICATE") >= 1, "{store}");
            assert!(count("ssl.ca.pem", "BEGIN CERTIFICATE") >= 1, "{trust}");
            assert_eq!(client.get("ssl.endpoint.identification.algorithm"), Some("none"));
            // librdkafka opens the key when a client is made.
            let made: Result<rdkafka::producer::BaseProducer, _> = client.create();
            made.map(|_| ()).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (key, value, answer) in [
            ("security.protocol", "TLS", "security.protocol is \"TLS\""),
            ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256", "ssl.cipher.suites is refused"),
            ("ssl.enabled.protocols", "TLSv1.3", "ssl.enabled.protocols is TLSv1.3"),
            ("ssl.provider", "BC", "ssl.provider is refused"),
            ("ssl.engine.factory.class", "x.Y", "ssl.engine.factory.class is refused"),
        ] {
            let error = check(&[("security.protocol", "SSL"), (key, value)]).err();
            let message = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(answer), "{key}={value}: {message}");
            // Without TLS nobody reads it.
            if key.starts_with("ssl") {
                check(&[(key, value)]).map(|_| ()).unwrap();
            }
        }
    }
}
