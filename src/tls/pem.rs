//! Certificates and keys in PEM, as Kafka's configuration may hold them: in a file, or in a value
//! in which the line breaks have become blanks.

use base64::{Engine, engine::general_purpose::STANDARD};
use pkcs8::{
    EncryptedPrivateKeyInfoRef,
    pkcs5::{EncryptionScheme, pbes2::Kdf},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What stands between a `BEGIN` line and its `END` line.
struct Block<'t> {
    label: &'t str,
    text: &'t str,
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once("-----BEGIN ") {
        let (label, tail) = tail.split_once("-----").ok_or("a BEGIN line is cut off")?;
        let end = format!("-----END {label}-----");
        let (inner, tail) =
            tail.split_once(&end).ok_or_else(|| format!("{end:?} is missing at its end"))?;
        blocks.push(Block { label, text: inner });
        rest = tail;
    }
    Ok(blocks)
}

impl Block<'_> {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let text: String = self.text.chars().filter(|char| !char.is_whitespace()).collect();
        STANDARD
            .decode(text)
            .map_err(|error| format!("a {} is not base64: {error}", self.label.to_lowercase()))
    }
}

/// All certificates, in the order in which they stand.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let blocks = blocks(text)?.into_iter().filter(|block| {
        matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    });
    let certificates: Vec<CertificateDer<'static>> =
        blocks.map(|block| block.bytes().map(CertificateDer::from)).collect::<Result<_, _>>()?;
    match certificates.is_empty() {
        true => Err("it holds no PEM certificate".to_owned()),
        false => Ok(certificates),
    }
}

/// The first private key; the password opens an encrypted one.
pub(super) fn private_key(
    text: &str,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, String> {
    let blocks = blocks(text)?;
    let block = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .ok_or("it holds no PEM private key")?;
    if block.text.contains("Proc-Type:") {
        return Err("its key is encrypted in OpenSSL's old form; convert it with `openssl pkcs8 \
                    -topk8`"
            .to_owned());
    }
    let bytes = block.bytes()?;
    match block.label {
        "ENCRYPTED PRIVATE KEY" => {
            let password =
                password.ok_or("its key is encrypted, and ssl.key.password is not set")?;
            decrypt(&bytes, password)
        }
        "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(bytes.into())),
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(bytes.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(bytes.into())),
        other => Err(format!("its key is of a kind that is not known: {other}")),
    }
}

/// Java's limit for stores. A second or two of computing.
const ITERATIONS_MAX: u32 = 5_000_000;

/// OpenSSL's default for scrypt takes 16 MiB, once.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;

/// How long it takes and how much memory to make a key of the password is what the file says, and a
/// connector's configuration may hold the file.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), String> {
    match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Pbkdf2(given)) if given.iteration_count > ITERATIONS_MAX => Err(format!(
            "its key asks for {} iterations of the password's hash; more than {ITERATIONS_MAX} \
             are not made",
            given.iteration_count
        )),
        Some(Kdf::Scrypt(given)) => {
            let [rows, row, times] = [
                given.cost_parameter,
                u64::from(given.block_size),
                u64::from(given.parallelization),
            ];
            let bytes = rows.saturating_mul(128 * row).saturating_mul(times);
            match bytes == 0 || bytes > SCRYPT_BYTES_MAX {
                true => Err(format!(
                    "its key asks for scrypt with N={rows}, r={row} and p={times}, which takes \
                     nothing or more than {SCRYPT_BYTES_MAX} bytes"
                )),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

pub(super) fn decrypt(bytes: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, String> {
    let info = EncryptedPrivateKeyInfoRef::try_from(bytes)
        .map_err(|error| format!("its encrypted key cannot be read: {error}"))?;
    check_cost(&info.encryption_algorithm)?;
    let key = info
        .decrypt(password)
        .map_err(|error| format!("its key cannot be decrypted; check ssl.key.password: {error}"))?;
    Ok(PrivateKeyDer::Pkcs8(key.as_bytes().to_vec().into()))
}
