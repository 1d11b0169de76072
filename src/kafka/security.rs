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
    client.set("sasl.password", login.password);
    Ok(())
}
