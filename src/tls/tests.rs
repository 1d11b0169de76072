//! Handshakes in memory, between a client and a server that read their stores from `testdata` or
//! from certificates made here.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::PathBuf,
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::ServerName;

use super::*;

fn stored(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata");
    folder.join(name).display().to_string()
}

fn props(entries: &[(&str, &str)]) -> Props {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Shakes hands and sends one byte each way; the error is the side's that failed first.
fn talk(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> Result<(), String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    client.writer().write_all(b"?").unwrap();
    server.writer().write_all(b"!").unwrap();
    for _ in 0..10 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut bytes = flight.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut bytes = flight.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
    }
    let (mut question, mut answer) = ([0], [0]);
    server.reader().read_exact(&mut question).map_err(|error| error.to_string())?;
    client.reader().read_exact(&mut answer).map_err(|error| error.to_string())?;
    assert_eq!((&question, &answer), (b"?", b"!"));
    Ok(())
}

/// An authority with what it has signed, in PEM.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The key and certificate as inline PEM, for a server by this name or for a client.
    fn identity(&self, name: Option<&str>) -> Props {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(name.map(str::to_owned).into_iter().collect::<Vec<_>>())
                .unwrap();
        params.extended_key_usages = vec![match name {
            Some(_) => ExtendedKeyUsagePurpose::ServerAuth,
            None => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        props(&[
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", &key.serialize_pem()),
            ("ssl.keystore.certificate.chain", &certificate.pem()),
        ])
    }

    fn trust(&self) -> Props {
        props(&[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", &self.pem())])
    }
}

fn both(one: Props, other: Props) -> Props {
    one.into_iter().chain(other).collect()
}

/// All forms of one key and certificate open, as keys and as what is trusted.
#[test]
fn stores_of_java_open() {
    let jks = stored("worker.jks");
    let p12 = stored("worker.p12");
    let legacy = stored("worker-legacy.p12");
    let key = std::fs::read_to_string(stored("worker-encrypted.key")).unwrap();
    let certificate = std::fs::read_to_string(stored("worker.crt")).unwrap();
    // As a properties file carries it on one line.
    let (key, certificate) = (key.replace('\n', " "), certificate.replace('\n', " "));
    let store = ("ssl.keystore.password", "store-password");
    let own = ("ssl.key.password", "key-password");
    let key_stores = [
        props(&[("ssl.keystore.location", &jks), store, own]),
        props(&[("ssl.keystore.location", &jks), store, own, ("ssl.keystore.type", "PKCS12")]),
        props(&[("ssl.keystore.location", &jks), own]),
        props(&[("ssl.keystore.location", &p12), store]),
        props(&[("ssl.keystore.location", &p12), store, ("ssl.keystore.type", "PKCS12")]),
        props(&[("ssl.keystore.location", &legacy), store]),
        props(&[
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", &key),
            ("ssl.keystore.certificate.chain", &certificate),
            own,
        ]),
    ];
    let (trust_jks, trust_p12) = (stored("trust.jks"), stored("trust.p12"));
    let trust = ("ssl.truststore.password", "store-password");
    let pem = stored("worker.crt");
    let trust_stores = [
        props(&[("ssl.truststore.location", &trust_jks), trust]),
        props(&[("ssl.truststore.location", &trust_jks)]),
        props(&[("ssl.truststore.location", &trust_p12), trust]),
        props(&[("ssl.truststore.location", &p12), trust]),
        props(&[("ssl.truststore.location", &pem), ("ssl.truststore.type", "PEM")]),
        props(&[("ssl.truststore.certificates", &certificate), ("ssl.truststore.type", "PEM")]),
    ];
    for key_store in &key_stores {
        for trust_store in &trust_stores {
            let required = props(&[("ssl.client.auth", "required")]);
            let side = both(key_store.clone(), trust_store.clone());
            let listener = server(&both(side.clone(), required), "").unwrap();
            for name in ["localhost", "127.0.0.1"] {
                let client = client(&side, "").unwrap();
                assert_eq!(talk(client, listener.clone(), name), Ok(()), "{side:?}");
            }
        }
        // A shared certificate is trusted without a trust store, between workers.
        let listener = server(&both(key_store.clone(), BTreeMap::new()), "").unwrap();
        assert_eq!(talk(worker_client(key_store, "").unwrap(), listener, "localhost"), Ok(()));
    }
}

#[test]
fn stores_that_do_not_open() {
    let (jks, p12) = (stored("worker.jks"), stored("worker.p12"));
    let (crt, trust) = (stored("worker.crt"), stored("trust.p12"));
    let key = std::fs::read_to_string(stored("worker-encrypted.key")).unwrap();
    let location = "ssl.keystore.location";
    let password = "ssl.keystore.password";
    for (given, wanted) in [
        (vec![], "no certificate: ssl.keystore.location is not set"),
        (vec![(location, jks.as_str()), (password, "wrong")], "its password is wrong"),
        (
            vec![(location, jks.as_str()), (password, "store-password")],
            "the password of its key is wrong; check ssl.key.password",
        ),
        (vec![(location, p12.as_str()), (password, "wrong")], "does not open as PKCS12"),
        (vec![(location, p12.as_str())], "does not open as PKCS12"),
        (vec![(location, "/nowhere/x.jks")], "No such file"),
        (vec![(location, crt.as_str())], "it is a PEM file; set ssl.keystore.type=PEM"),
        (vec![(location, crt.as_str()), ("ssl.keystore.type", "PEM")], "no PEM private key"),
        (vec![(location, crt.as_str()), ("ssl.keystore.type", "BKS")], "ssl.keystore.type is BKS"),
        (vec![(location, trust.as_str()), (password, "store-password")], "no private key"),
        (vec![("ssl.keystore.key", "x")], "ssl.keystore.certificate.chain is not; set both"),
        (
            vec![("ssl.keystore.key", key.as_str()), ("ssl.keystore.certificate.chain", "x")],
            "only with ssl.keystore.type=PEM, and that is JKS",
        ),
        (
            vec![
                ("ssl.keystore.key", key.as_str()),
                ("ssl.keystore.certificate.chain", "x"),
                ("ssl.keystore.type", "PEM"),
            ],
            "ssl.key.password is not set",
        ),
        (vec![("ssl.enabled.protocols", "TLSv1.1")], "TLSv1.2 and TLSv1.3"),
        (vec![("ssl.cipher.suites", "TLS_RSA_WITH_AES_128_CBC_SHA")], "names no cipher suite"),
        (vec![("ssl.provider", "BCFIPS")], "names a part of the JVM"),
    ] {
        let error = server(&props(&given), "").map(drop).unwrap_err().trace();
        assert!(error.contains(wanted), "{given:?}: {error}");
        assert!(!error.contains("store-password") && !error.contains("wrong\""), "{error}");
    }
}

/// Nothing of a cut or changed store makes it open, or panics.
#[test]
fn damaged_stores() {
    let bytes = std::fs::read(stored("worker.jks")).unwrap();
    for length in 0..bytes.len() {
        assert!(jks::entries(&bytes[..length], Some("store-password")).is_err());
        drop(jks::entries(&bytes[..length], None));
    }
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x55;
        assert!(jks::entries(&bytes, Some("store-password")).is_err());
        for entry in jks::entries(&bytes, None).into_iter().flatten() {
            if let jks::Entry::Key { masked, .. } = entry {
                drop(jks::unmask(&masked, "key-password"));
            }
        }
    }
}

#[test]
fn whom_a_client_trusts() {
    let (authority, foreign) = (Authority::new("ours"), Authority::new("theirs"));
    let listener = || server(&authority.identity(Some("worker.example")), "").unwrap();
    let check = |trust: Props, name: &str| talk(client(&trust, "").unwrap(), listener(), name);
    assert_eq!(check(authority.trust(), "worker.example"), Ok(()));
    let wrong = check(foreign.trust(), "worker.example").unwrap_err();
    assert!(wrong.contains("UnknownIssuer"), "{wrong}");
    let wrong = check(authority.trust(), "other.example").unwrap_err();
    assert!(wrong.contains("not valid for name"), "{wrong}");
    let unchecked = props(&[("ssl.endpoint.identification.algorithm", "")]);
    assert_eq!(check(both(authority.trust(), unchecked), "other.example"), Ok(()));
    let odd = props(&[("ssl.endpoint.identification.algorithm", "LDAPS")]);
    assert!(client(&both(authority.trust(), odd), "").is_err());
}

#[test]
fn what_a_listener_asks_of_clients() {
    let (authority, foreign) = (Authority::new("ours"), Authority::new("theirs"));
    let check = |asked: &str, shown: Props| {
        let asked = props(&[("ssl.client.auth", asked)]);
        let own = both(authority.identity(Some("localhost")), authority.trust());
        let listener = server(&both(own, asked), "").unwrap();
        talk(client(&both(authority.trust(), shown), "").unwrap(), listener, "localhost")
    };
    let nothing = Props::new;
    assert_eq!(check("none", nothing()), Ok(()));
    assert_eq!(check("requested", nothing()), Ok(()));
    assert!(check("required", nothing()).unwrap_err().contains("sent no certificates"));
    assert_eq!(check("requested", authority.identity(None)), Ok(()));
    assert_eq!(check("required", authority.identity(None)), Ok(()));
    assert!(check("requested", foreign.identity(None)).unwrap_err().contains("UnknownIssuer"));
    assert!(check("required", foreign.identity(None)).unwrap_err().contains("UnknownIssuer"));
    assert_eq!(check("none", foreign.identity(None)), Ok(()));
    let odd = both(authority.identity(None), props(&[("ssl.client.auth", "maybe")]));
    assert!(server(&odd, "").is_err());
}

#[test]
fn versions_and_cipher_suites() {
    let authority = Authority::new("ours");
    let check = |of_server: &[(&str, &str)], of_client: &[(&str, &str)]| {
        let own = both(authority.identity(Some("localhost")), props(of_server));
        let side = both(authority.trust(), props(of_client));
        talk(client(&side, "").unwrap(), server(&own, "").unwrap(), "localhost").is_ok()
    };
    let only = |version: &'static str| [("ssl.enabled.protocols", version)];
    assert!(check(&only("TLSv1.2"), &[]));
    assert!(check(&only("TLSv1.3"), &only("TLSv1.2, TLSv1.3")));
    assert!(!check(&only("TLSv1.3"), &only("TLSv1.2")));
    assert!(!check(&only("TLSv1.3"), &[("ssl.protocol", "TLSv1.2")]));
    let suite = |name: &'static str| [("ssl.cipher.suites", name)];
    let aes = "TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA";
    assert!(check(&suite(aes), &suite("TLS_AES_128_GCM_SHA256")));
    assert!(!check(&suite(aes), &suite("TLS_AES_256_GCM_SHA384")));
}

/// With a prefix nothing else is read: the two don't mix.
#[test]
fn prefixes() {
    let own = Authority::new("ours").identity(Some("localhost"));
    let prefixed = |prefix: &str| -> Props {
        own.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())).collect()
    };
    assert!(server(&prefixed("listeners.https."), "listeners.https.").is_ok());
    assert!(server(&prefixed(""), "listeners.https.").is_err());
}

/// An element of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).unwrap();
    let head: &[u8] = if length < 0x80 { &[tag, length] } else { &[tag, 0x81, length] };
    [head, &content].concat()
}

/// A key encrypted under PBES2, whose password goes through `function` with these parameters.
fn encrypted(function: &[u8], parameters: &[&[u8]]) -> Vec<u8> {
    let pbes2 = der(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"]);
    let aes = der(6, &[b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a"]);
    let function = der(0x30, &[&der(6, &[function]), &der(0x30, parameters)]);
    let cipher = der(0x30, &[&aes, &der(4, &[&[0; 16]])]);
    let scheme = der(0x30, &[&pbes2, &der(0x30, &[&function, &cipher])]);
    der(0x30, &[&scheme, &der(4, &[&[0; 16]])])
}

const SCRYPT: &[u8] = b"\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";

fn scrypt(rows: &[u8]) -> Vec<u8> {
    encrypted(
        SCRYPT,
        &[&der(4, &[b"saltsalt"]), &der(2, &[rows]), b"\x02\x01\x08", b"\x02\x01\x01"],
    )
}

/// Scrypt over no rows made the crate panic, and over 2^40 the allocator; 100 million iterations take
/// minutes. A connector's configuration may hold such a key.
#[test]
fn keys_that_cost_too_much_are_refused() {
    let pbkdf2 = |iterations: &[u8]| {
        let function = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
        encrypted(function, &[&der(4, &[b"saltsalt"]), &der(2, &[iterations])])
    };
    let check = |key: &[u8]| pem::decrypt(key, "x").unwrap_err();
    assert!(check(&scrypt(&[0])).contains("scrypt with N=0, r=8 and p=1"));
    assert!(check(&scrypt(&[1, 0, 0, 0, 0, 0])).contains("scrypt with N=1099511627776"));
    assert!(check(&pbkdf2(&[5, 0xf5, 0xe1, 0])).contains("100000000 iterations"));
    // Of an honest one the password is asked.
    assert!(check(&scrypt(&[16])).contains("check ssl.key.password"));
    assert!(check(&pbkdf2(&[16])).contains("check ssl.key.password"));
}

/// The same key in a store.
#[test]
fn a_store_with_scrypt_is_refused() {
    let data = der(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"]);
    let content =
        |inner: &[u8]| der(0x30, &[&data, &der(0xa0, &[&der(4, &[&der(0x30, &[inner])])])]);
    let bag = der(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02"]);
    let bag = der(0x30, &[&bag, &der(0xa0, &[&scrypt(&[0])])]);
    let store = der(0x30, &[b"\x02\x01\x03", &content(&content(&bag))]);
    let refused = store::pkcs12(&store, Some("x")).map(|_| ()).unwrap_err();
    assert!(refused.contains("scrypt"), "{refused}");
}
