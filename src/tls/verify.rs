//! Who is believed. webpki decides, as in all of rustls, with two of Java's readings added: a
//! certificate that stands in the trust store itself is believed though it is no authority, and one
//! without alternative names is made out to its common name.
//!
//! The PostgreSQL connector has a verifier of its own, with libpq's readings: connectors don't depend
//! on the worker, and what both depend on knows no TLS.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates that are believed as they are, while they are valid.
#[derive(Debug)]
struct Known(Vec<CertificateDer<'static>>);

impl Known {
    fn has(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.0.iter().any(|known| known == certificate)
            && X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| {
                let valid = parsed.validity();
                (valid.not_before.timestamp()..=valid.not_after.timestamp()).contains(&now)
            })
    }
}

/// A client's view of servers.
#[derive(Debug)]
pub(super) struct Servers {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    known: Known,
    /// False when `ssl.endpoint.identification.algorithm` is empty.
    name_checked: bool,
}

impl Servers {
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        name_checked: bool,
    ) -> Self {
        Self { provider, roots, known: Known(trusted), name_checked }
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let signed = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        );
        if let Err(error) = signed
            && !self.known.has(certificate, now)
        {
            return Err(error);
        }
        if self.name_checked {
            match verify_server_name(&parsed, name) {
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) if made_out_to(certificate, name) => {}
                checked => checked?,
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the common name is the server's, for a certificate without alternative names.
fn made_out_to(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(host) = name else { return false };
    let host = host.as_ref();
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    if !matches!(parsed.subject_alternative_name(), Ok(None)) {
        return false;
    }
    parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok()).any(|common| {
        match (common.strip_prefix("*."), host.split_once('.')) {
            // A star stands for one label.
            (Some(domain), Some((_, rest))) => rest.eq_ignore_ascii_case(domain),
            (Some(_), None) => false,
            (None, _) => host.eq_ignore_ascii_case(common),
        }
    })
}

/// A server's view of clients.
#[derive(Debug)]
pub(super) struct Clients {
    rules: Arc<dyn ClientCertVerifier>,
    known: Known,
}

impl Clients {
    pub(super) fn new(
        rules: Arc<dyn ClientCertVerifier>,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { rules, known: Known(trusted) }
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.rules.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.rules.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.rules.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.rules.verify_client_cert(certificate, intermediates, now) {
            Err(_) if self.known.has(certificate, now) => Ok(ClientCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rules.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rules.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.supported_verify_schemes()
    }
}
