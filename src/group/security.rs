//! What protects a connection: TLS, a login, both or neither.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use futures_util::future::Either;
use model::{
    connector::Props,
    error::{Error, Result},
};
use rustls::{AlertDescription, CertificateError, ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::frames::Failure;
use crate::kafka::{Login, Protocol};

/// `security.protocol` and what belongs to it.
#[derive(Clone, Debug, Default)]
pub struct Security {
    tls: Option<Arc<ClientConfig>>,
    login: Option<Login>,
}

impl Security {
    /// `PLAINTEXT`: nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// What a worker's properties say of its own connections.
    pub fn read(worker: &Props) -> Result<Self> {
        let own: BTreeMap<String, String> = worker
            .iter()
            .filter(|(key, _)| {
                ["security.", "ssl.", "sasl."].iter().any(|prefix| key.starts_with(prefix))
            })
            .map(|(key, value)| (key.clone(), value.trim().to_owned()))
            .collect();
        let protocol = Protocol::read(&own)?;
        let tls = if protocol.tls() { Some(crate::tls::client(worker, "")?) } else { None };
        let login = if protocol.sasl() { Some(Login::read(&own)?) } else { None };
        Ok(Self { tls, login })
    }

    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Encrypts `stream`, if that is asked for.
    pub(super) async fn wrap(
        &self,
        stream: TcpStream,
        address: &str,
        limit: Duration,
    ) -> Result<Either<TcpStream, TlsStream<TcpStream>>> {
        let Some(tls) = &self.tls else { return Ok(Either::Left(stream)) };
        let host = host(address);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            Error::fatal(format!(
                "{host} of {address} in bootstrap.servers cannot be the name of a host"
            ))
            .caused_by(error)
        })?;
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        match time::timeout(limit, handshake).await {
            Ok(Ok(stream)) => Ok(Either::Right(stream)),
            Ok(Err(error)) => {
                let what = format!("the TLS handshake with Kafka at {address} failed");
                Err(match refusal(&error, host) {
                    Some(why) => Error::fatal(format!("{what}: {why}")).caused_by(error),
                    None => Error::retriable(format!(
                        "{what}; check that its listener is one for TLS (security.protocol)"
                    ))
                    .caused_by(error),
                })
            }
            Err(_) => Err(Error::retriable(format!(
                "the TLS handshake with Kafka at {address} took longer than {} ms; check that its \
                 listener is one for TLS (security.protocol)",
                limit.as_millis()
            ))),
        }
    }
}

/// The host of `host:port`; an IPv6 address stands in brackets there.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What ended a connection that was in use. With TLS 1.3 a broker says only after the handshake
/// that it does not take the client's certificate.
pub(super) fn broken_off(doing: &str, error: &io::Error) -> Failure {
    let why = format!("{doing} failed: {error}");
    match refusal(error, "it") {
        Some(hint) => Failure { lasts: true, why: format!("{why}: {hint}") },
        None => Failure::passing(why),
    }
}

/// What a person has to mend, if `error` is of that kind.
fn refusal(error: &io::Error, host: &str) -> Option<String> {
    let error = error.get_ref()?;
    let error: &rustls::Error = match error.downcast_ref() {
        Some(error) => error,
        None => error.source()?.downcast_ref()?,
    };
    use AlertDescription as Alert;
    use CertificateError as Wrong;
    Some(match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => format!(
                "its certificate is not for {host}; name the broker in bootstrap.servers and \
                 advertised.listeners as its certificate does, or set \
                 ssl.endpoint.identification.algorithm= (empty) to let any name pass"
            ),
            Wrong::Expired | Wrong::ExpiredContext { .. } => {
                "its certificate has expired; give the broker a new one".to_owned()
            }
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "its certificate is not valid yet; check the clocks".to_owned()
            }
            _ => "its certificate is not trusted; ssl.truststore.location has to name a store \
                  with the authority that signed it"
                .to_owned(),
        },
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            // What a broker with TLS 1.2 says where a certificate is missing.
            | Alert::HandshakeFailure,
        ) => "the broker does not accept this client's certificate, or misses one; \
              ssl.keystore.location has to name a store with a key and a certificate that the \
              broker's truststore knows"
            .to_owned(),
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(Alert::ProtocolVersion) => {
            "there is no version or cipher of TLS that both sides have; TLS 1.2 and 1.3 are those \
             of this worker"
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (address, answer) in
            [("k:9092", "k"), ("10.0.0.1:1", "10.0.0.1"), ("[::1]:9", "::1"), ("k", "k")]
        {
            assert_eq!(host(address), answer, "{address}");
        }
    }
}
