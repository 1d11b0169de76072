//! TLS as libpq and pgjdbc understand `sslmode`: what is trusted, what is checked, and which
//! certificate the client shows.

use super::{Fact, Ssl, SslMode};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The TLS side of the settings, with every file read and checked.
pub(crate) fn client_config(ssl: &Ssl) -> Result<ClientConfig, Fact> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match ssl.mode {
        SslMode::VerifyFull => Check::Name,
        SslMode::VerifyCa => Check::Chain,
        SslMode::Require if ssl.root_cert.is_some() => Check::Chain,
        SslMode::Require | SslMode::Prefer | SslMode::Allow | SslMode::Disable => Check::Nothing,
    };
    let trusted = match check {
        Check::Nothing => Vec::new(),
        Check::Chain | Check::Name => trusted(ssl)?,
    };
    let mut roots = RootCertStore::empty();
    // Stores of operating systems hold certificates webpki cannot read; a file the user names may
    // too, as long as one of it is left.
    let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
    if added == 0 && check != Check::Nothing {
        return Err(Fact::Settings(
            "no authority is trusted, so no server can be verified; name one in sslrootcert".into(),
        ));
    }
    let verifier = Verifier { check, roots, trusted, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fact::Settings(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match client_certificate(ssl)? {
        None => Ok(builder.with_no_client_auth()),
        Some((path, chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            Fact::Settings(format!(
                "the client certificate {} and its key cannot be used: {error}",
                path.display()
            ))
        }),
    }
}

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    Name,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    /// The trusted certificates as they are.
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn chain(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verified = verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        // A server's self-signed certificate that is itself the trusted one: webpki wants an
        // authority apart from the server, OpenSSL and hence PostgreSQL's users do not.
        match verified {
            Err(error) if self.trusted.iter().any(|trusted| trusted == certificate) => {
                let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
                match X509Certificate::from_der(certificate) {
                    Ok((_, own))
                        if (own.validity().not_before.timestamp()
                            ..=own.validity().not_after.timestamp())
                            .contains(&now) =>
                    {
                        Ok(())
                    }
                    _ => Err(error),
                }
            }
            verified => verified,
        }
    }
}

/// A certificate without a subject alternative name is made out to its common name, as libpq and
/// pgjdbc read it.
fn common_name_matches(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    if !matches!(parsed.subject_alternative_name(), Ok(None)) {
        return false;
    }
    let host = name.to_str();
    parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok()).any(|common| {
        match common.strip_prefix("*.") {
            // One label, as in RFC 6125.
            Some(domain) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(domain)
            }),
            None => host.eq_ignore_ascii_case(common),
        }
    })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        self.chain(certificate, &parsed, intermediates, now)?;
        if self.check == Check::Name {
            match verify_server_name(&parsed, name) {
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) if common_name_matches(certificate, name) => {}
                verified => verified?,
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    // Checked in every mode: without a proof that the server has the key, channel binding would
    // bind to nothing.
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

/// The authorities to trust: the file named, else the user's file, else the system's.
fn trusted(ssl: &Ssl) -> Result<Vec<CertificateDer<'static>>, Fact> {
    let default = in_home("root.crt").filter(|path| path.exists());
    if let Some(path) = ssl.root_cert.clone().or(default) {
        return certificates("root certificate", &path);
    }
    let native = rustls_native_certs::load_native_certs();
    if native.certs.is_empty()
        && let Some(error) = native.errors.first()
    {
        return Err(Fact::Settings(format!(
            "the system's authorities cannot be read: {error}; name one in sslrootcert"
        )));
    }
    Ok(native.certs)
}

fn in_home(file: &str) -> Option<PathBuf> {
    Some(std::env::home_dir()?.join(".postgresql").join(file))
}

fn certificates(role: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fact> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(role, path, &error.to_string()))?;
    if certificates.is_empty() {
        return Err(unreadable(role, path, "it holds no PEM certificate"));
    }
    Ok(certificates)
}

fn unreadable(role: &str, path: &Path, fact: &str) -> Fact {
    Fact::Settings(format!("the {role} {} cannot be read: {fact}", path.display()))
}

type ClientCertificate = (PathBuf, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(ssl: &Ssl) -> Result<Option<ClientCertificate>, Fact> {
    let default_key = || {
        ["postgresql.pk8", "postgresql.key"]
            .into_iter()
            .filter_map(in_home)
            .find(|path| path.exists())
    };
    let default_cert = || in_home("postgresql.crt").filter(|path| path.exists());
    let (cert, key) = match (ssl.cert.clone(), ssl.key.clone()) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(cert), None) => match default_key() {
            Some(key) => (cert, key),
            // A file with both is common; only its key can tell.
            None => (cert.clone(), cert),
        },
        (None, Some(key)) if is_store(&key) => return Err(store(&key)),
        (None, Some(key)) => match default_cert() {
            Some(cert) => (cert, key),
            None => {
                return Err(Fact::Settings(format!(
                    "sslkey is {} but sslcert is missing; name the certificate too",
                    key.display()
                )));
            }
        },
        (None, None) => match (default_cert(), default_key()) {
            (Some(cert), Some(key)) => (cert, key),
            _ => return Ok(None),
        },
    };
    let chain = certificates("client certificate", &cert)?;
    let key = private_key(&key)?;
    Ok(Some((cert, chain, key)))
}

fn is_store(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("p12") || extension.eq_ignore_ascii_case("pfx")
    })
}

fn store(path: &Path) -> Fact {
    Fact::Settings(format!(
        "the client key {} is a PKCS#12 store, which is not supported; extract it with 'openssl \
         pkcs12 -in store.p12 -nodes -out client.pem'",
        path.display()
    ))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fact> {
    const ROLE: &str = "client key";
    if is_store(path) {
        return Err(store(path));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(ROLE, path, &error.to_string()))?;
    let encrypted = || {
        Fact::Settings(format!(
            "the client key {} is encrypted, which is not supported; decrypt it with 'openssl \
             pkcs8 -topk8 -nocrypt' and protect the file instead",
            path.display()
        ))
    };
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if !has(b"-----BEGIN ") {
        if encrypted_der(&bytes) {
            return Err(encrypted());
        }
        return PrivateKeyDer::try_from(bytes).map_err(|error| unreadable(ROLE, path, error));
    }
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(encrypted());
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => unreadable(ROLE, path, "it holds no PEM private key"),
        error => unreadable(ROLE, path, &error.to_string()),
    })
}

/// A PKCS#8 key begins with a version, an encrypted one with the algorithm:
/// `SEQUENCE { INTEGER …` against `SEQUENCE { SEQUENCE { …`.
fn encrypted_der(bytes: &[u8]) -> bool {
    let skip = match bytes.get(1) {
        Some(&length) if length > 0x80 => 2 + usize::from(length & 0x7f),
        _ => 2,
    };
    bytes.first() == Some(&0x30) && bytes.get(skip) == Some(&0x30)
}

/// The hash of the server's certificate that a login is bound to (RFC 5929, tls-server-end-point):
/// with the hash of the certificate's signature, but SHA-256 instead of MD5 and SHA-1. None where
/// the signature has no such hash (Ed25519).
pub(crate) fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = &parsed.signature_algorithm;
    let signature = algorithm.algorithm.to_id_string();
    let hash = match signature.as_str() {
        // RSASSA-PSS names its hash in the parameters; SHA-1 if it does not.
        "1.2.840.113549.1.1.10" => {
            let parameters = algorithm.parameters.as_ref()?;
            let pss =
                x509_parser::signature_algorithm::RsaSsaPssParams::try_from(parameters).ok()?;
            pss.hash_algorithm_oid().to_id_string()
        }
        _ => signature,
    };
    let algorithm = match hash.as_str() {
        // MD5 and SHA-1 with RSA, SHA-1 with DSA and ECDSA, and SHA-1 itself.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10040.4.3"
        | "1.2.840.10045.4.1" | "1.3.14.3.2.26"
        // SHA-256 with RSA, DSA and ECDSA, and itself.
        | "1.2.840.113549.1.1.11" | "2.16.840.1.101.3.4.3.2" | "1.2.840.10045.4.3.2"
        | "2.16.840.1.101.3.4.2.1" => &ring::digest::SHA256,
        "1.2.840.113549.1.1.12" | "2.16.840.1.101.3.4.3.3" | "1.2.840.10045.4.3.3"
        | "2.16.840.1.101.3.4.2.2" => &ring::digest::SHA384,
        "1.2.840.113549.1.1.13" | "2.16.840.1.101.3.4.3.4" | "1.2.840.10045.4.3.4"
        | "2.16.840.1.101.3.4.2.3" => &ring::digest::SHA512,
        _ => return None,
    };
    Some(ring::digest::digest(algorithm, certificate).as_ref().to_vec())
}
