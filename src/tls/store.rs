//! Key stores and trust stores: JKS, PKCS#12 and PEM, in files or in the configuration itself.
//!
//! JKS and PKCS#12 are told apart by their first bytes and not by `ssl.*.type`, because Java opens
//! either under both names.

use std::panic;

use model::error::{Error, Result};
use p12_keystore::{Certificate, CertificateBag, Pkcs12Archive};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Identity, Keys, jks, pem};
use crate::files;

/// The key and certificate that this side shows, if there are any.
pub(super) fn identity(keys: &Keys<'_>) -> Result<Option<Identity>> {
    let chain = keys.get("ssl.keystore.certificate.chain");
    let key = keys.get("ssl.keystore.key");
    let location = keys.get("ssl.keystore.location");
    let (chain, key) = match (location, chain, key) {
        (None, None, None) => return Ok(None),
        (Some(path), None, None) => return from_file(keys, path).map(Some),
        (None, Some(chain), Some(key)) => (chain, key),
        (Some(_), _, _) => {
            return Err(Error::fatal(format!(
                "{} is set together with {} or {}; a key comes from one place",
                keys.name("ssl.keystore.location"),
                keys.name("ssl.keystore.key"),
                keys.name("ssl.keystore.certificate.chain")
            )));
        }
        (None, chain, _) => {
            let (set, missing) = match chain {
                Some(_) => ("ssl.keystore.certificate.chain", "ssl.keystore.key"),
                None => ("ssl.keystore.key", "ssl.keystore.certificate.chain"),
            };
            return Err(Error::fatal(format!(
                "{} is set, but {} is not; set both",
                keys.name(set),
                keys.name(missing)
            )));
        }
    };
    only_pem(keys, "ssl.keystore.type", "ssl.keystore.key")?;
    let wrong = |key: &str, fact: String| {
        Error::fatal(format!("the value of {} cannot be read", keys.name(key))).caused_by(fact)
    };
    let key = pem::private_key(key, keys.get("ssl.key.password"))
        .map_err(|fact| wrong("ssl.keystore.key", fact))?;
    let chain =
        pem::certificates(chain).map_err(|fact| wrong("ssl.keystore.certificate.chain", fact))?;
    Ok(Some(Identity { chain, key }))
}

/// The certificates that are trusted, if a trust store is named.
pub(super) fn trusted(keys: &Keys<'_>) -> Result<Option<Vec<CertificateDer<'static>>>> {
    match (keys.get("ssl.truststore.location"), keys.get("ssl.truststore.certificates")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::fatal(format!(
            "{} is set together with {}; trusted certificates come from one place",
            keys.name("ssl.truststore.location"),
            keys.name("ssl.truststore.certificates")
        ))),
        (None, Some(text)) => {
            only_pem(keys, "ssl.truststore.type", "ssl.truststore.certificates")?;
            let certificates = pem::certificates(text).map_err(|fact| {
                let name = keys.name("ssl.truststore.certificates");
                Error::fatal(format!("the value of {name} cannot be read")).caused_by(fact)
            })?;
            Ok(Some(certificates))
        }
        (Some(path), None) => {
            let password = keys.get("ssl.truststore.password");
            let open = || trusted_in(keys, "ssl.truststore", path, password);
            open().map(Some).map_err(|fact| unreadable(keys, "ssl.truststore.location", path, fact))
        }
    }
}

/// What is trusted when only a key store is named.
pub(super) fn trusted_by_key_store(
    keys: &Keys<'_>,
) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let Some(path) = keys.get("ssl.keystore.location") else {
        return Ok(identity(keys)?.map(|identity| identity.chain));
    };
    let password = keys.get("ssl.keystore.password");
    let found = trusted_in(keys, "ssl.keystore", path, password)
        .map_err(|fact| unreadable(keys, "ssl.keystore.location", path, fact))?;
    Ok(Some(found))
}

fn only_pem(keys: &Keys<'_>, kind: &str, holder: &str) -> Result<()> {
    match keys.get(kind) {
        Some(given) if given.eq_ignore_ascii_case("PEM") => Ok(()),
        given => Err(Error::fatal(format!(
            "{} can be set only with {}=PEM, and that is {}",
            keys.name(holder),
            keys.name(kind),
            given.unwrap_or("JKS")
        ))),
    }
}

fn unreadable(keys: &Keys<'_>, key: &str, path: &str, fact: String) -> Error {
    Error::fatal(format!("{path} ({}) cannot be read", keys.name(key))).caused_by(fact)
}

/// A store as its bytes, told apart.
enum Store {
    Jks(Vec<u8>),
    Pkcs12(Vec<u8>),
    Pem(String),
}

/// More than any store needs.
const STORE_BYTES_MAX: u64 = 32 << 20;

fn open(keys: &Keys<'_>, which: &str, path: &str) -> Result<Store, String> {
    let kind = keys.get(&format!("{which}.type")).unwrap_or("JKS").to_ascii_uppercase();
    let bytes = files::read(path, STORE_BYTES_MAX)?;
    match kind.as_str() {
        "PEM" => {
            let text = String::from_utf8(bytes).map_err(|_| "it is no text, and so no PEM file")?;
            Ok(Store::Pem(text))
        }
        "JKS" | "PKCS12" | "PKCS#12" if bytes.starts_with(&jks::MAGIC) => Ok(Store::Jks(bytes)),
        "JKS" | "PKCS12" | "PKCS#12" if bytes.starts_with(b"-----BEGIN") => {
            Err(format!("it is a PEM file; set {}.type=PEM", keys.name(which)))
        }
        "JKS" | "PKCS12" | "PKCS#12" => Ok(Store::Pkcs12(bytes)),
        _ => Err(format!(
            "{}.type is {kind}; this version reads JKS, PKCS12 and PEM (`keytool \
             -importkeystore … -deststoretype PKCS12` converts others)",
            keys.name(which)
        )),
    }
}

pub(super) fn pkcs12(bytes: &[u8], password: Option<&str>) -> Result<Pkcs12Archive, String> {
    let refused = |fact: &str| format!("it does not open as PKCS12 with its password: {fact}");
    if bytes.windows(SCRYPT.len()).any(|window| window == SCRYPT) {
        return Err(refused("scrypt is asked for, which Java does not have either"));
    }
    // A connector names the file, and the crate has parts that panic at what nobody writes.
    let open = || Pkcs12Archive::from_pkcs12(bytes, password.unwrap_or_default());
    match panic::catch_unwind(open) {
        Ok(opened) => opened.map_err(|error| refused(&error.to_string())),
        Err(_) => Err(refused("it is not in order")),
    }
}

/// `1.3.6.1.4.1.11591.4.11` in DER. The cost that a store asks for can be gigabytes.
const SCRYPT: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];

fn from_file(keys: &Keys<'_>, path: &str) -> Result<Identity> {
    let password = keys.get("ssl.keystore.password");
    let key_password = keys.get("ssl.key.password").or(password);
    let read = || -> Result<Option<Identity>, String> {
        match open(keys, "ssl.keystore", path)? {
            Store::Pem(text) => Ok(Some(Identity {
                key: pem::private_key(&text, key_password)?,
                chain: pem::certificates(&text)?,
            })),
            Store::Jks(bytes) => {
                for entry in jks::entries(&bytes, password)? {
                    if let jks::Entry::Key { masked, chain } = entry {
                        let key = jks::unmask(&masked, key_password.unwrap_or_default())?;
                        let chain = chain.into_iter().map(CertificateDer::from).collect();
                        return Ok(Some(Identity { chain, key: PrivateKeyDer::Pkcs8(key.into()) }));
                    }
                }
                Ok(None)
            }
            Store::Pkcs12(bytes) => Ok(first_key(&pkcs12(&bytes, password)?)),
        }
    };
    match read() {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => {
            let fact = "it holds no private key with its certificate".to_owned();
            Err(unreadable(keys, "ssl.keystore.location", path, fact))
        }
        Err(fact) => Err(unreadable(keys, "ssl.keystore.location", path, fact)),
    }
}

/// Longer than any chain that a peer follows; each step looks through all certificates.
const CHAIN_MAX: usize = 100;

/// The first key, its certificate, and the certificates of those that signed it.
pub(super) fn first_key(archive: &Pkcs12Archive) -> Option<Identity> {
    let key = archive.keys.first()?;
    let own = own_certificate(archive, key.local_key_id.as_ref().map(AsRef::as_ref))?;
    let mut chain = vec![own];
    // Each is taken once, so a circle ends.
    while chain.len() < CHAIN_MAX
        && let Some(last) = chain.last()
        && last.subject() != last.issuer()
        && let Some(issuer) = (archive.certs.iter().map(|bag| &bag.cert))
            .find(|cert| cert.subject() == last.issuer() && !chain.contains(cert))
    {
        chain.push(issuer);
    }
    let chain = chain.into_iter().map(der).collect();
    Some(Identity { chain, key: PrivateKeyDer::Pkcs8(key.key.as_der().to_vec().into()) })
}

/// The certificate with the key's mark. A store without marks holds one key, and its certificate
/// stands first, as OpenSSL writes it.
fn own_certificate<'a>(archive: &'a Pkcs12Archive, id: Option<&[u8]>) -> Option<&'a Certificate> {
    let marked = |bag: &&CertificateBag| bag.local_key_id.as_deref() == id;
    let bag = match id {
        Some(_) => archive.certs.iter().find(marked),
        None => archive.certs.first(),
    };
    bag.map(|bag| &bag.cert)
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.as_der().to_vec())
}

/// The trusted certificates of a store, and the own certificates of its keys, which Java trusts too.
fn trusted_in(
    keys: &Keys<'_>,
    which: &str,
    path: &str,
    password: Option<&str>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = match open(keys, which, path)? {
        Store::Pem(text) => pem::certificates(&text)?,
        Store::Jks(bytes) => (jks::entries(&bytes, password)?.into_iter())
            .filter_map(|entry| match entry {
                jks::Entry::Trusted(certificate) => Some(certificate),
                jks::Entry::Key { chain, .. } => chain.into_iter().next(),
            })
            .map(CertificateDer::from)
            .collect(),
        Store::Pkcs12(bytes) => {
            let archive = pkcs12(&bytes, password)?;
            let trusted = archive.certs.iter().filter(|bag| bag.trusted).map(|bag| &bag.cert);
            let own = (archive.keys.iter()).filter_map(|key| {
                own_certificate(&archive, Some(key.local_key_id.as_ref()?.as_ref()))
            });
            trusted.chain(own).map(der).collect()
        }
    };
    match found.is_empty() {
        true => Err("it holds no trusted certificate; add one with `keytool -importcert`, which \
                     marks it as trusted"
            .to_owned()),
        false => Ok(found),
    }
}
