//! Java key stores (JKS), the form that `keytool` made by default before Java 9.
//!
//! A store is a list of entries, private keys with their certificates and trusted certificates, and
//! a SHA-1 over the password and all before it. Numbers are big-endian, texts are Java's modified
//! UTF-8 behind their length (`java.io.DataOutputStream`). The key itself is masked with a chain of
//! SHA-1 over the password, under an object identifier of Sun's.
//!
//! Checked against stores made by the JDK's keytool, which are in `testdata`.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

/// What Java puts between password and store, so that one hash doesn't serve for two purposes.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// `1.3.6.1.4.1.42.2.17.1.1` in DER: keys masked by `sun.security.provider.KeyProtector`.
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

pub(super) enum Entry {
    /// The masked key, and its certificates, its own first.
    Key {
        masked: Vec<u8>,
        chain: Vec<Vec<u8>>,
    },
    Trusted(Vec<u8>),
}

/// Reads a store. Without a password it is not checked for damage, as Java does then.
pub(super) fn entries(store: &[u8], password: Option<&str>) -> Result<Vec<Entry>, String> {
    let cut = || "it is cut off".to_owned();
    let body = store.len().checked_sub(SHA1_OUTPUT_LEN).ok_or_else(cut)?;
    let (body, digest) = store.split_at_checked(body).ok_or_else(cut)?;
    if let Some(password) = password
        && sha1(&[&utf16(password), WHITENER, body]) != digest
    {
        return Err("its password is wrong, or it is damaged".to_owned());
    }
    let mut bytes = Bytes(body);
    let version = match bytes.array()? {
        magic if magic == MAGIC => bytes.u32()?,
        _ => return Err("it is no Java key store".to_owned()),
    };
    if !matches!(version, 1 | 2) {
        return Err(format!("it is of version {version}; versions 1 and 2 are known"));
    }
    let certificate = |bytes: &mut Bytes<'_>| -> Result<Vec<u8>, String> {
        if version == 2 {
            bytes.text()?;
        }
        bytes.counted().map(<[u8]>::to_vec)
    };
    // The count is the file's word; what is really there decides how much memory is taken.
    let count = bytes.u32()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let tag = bytes.u32()?;
        bytes.text()?;
        bytes.take(8)?;
        entries.push(match tag {
            1 => {
                let masked = bytes.counted()?.to_vec();
                let length = bytes.u32()?;
                let mut chain = Vec::new();
                for _ in 0..length {
                    chain.push(certificate(&mut bytes)?);
                }
                Entry::Key { masked, chain }
            }
            2 => Entry::Trusted(certificate(&mut bytes)?),
            _ => return Err(format!("it has an entry of the unknown kind {tag}")),
        });
    }
    Ok(entries)
}

/// Takes the mask off a key. What comes out is PKCS#8.
pub(super) fn unmask(masked: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let odd = || "its key is not in the form of Java key stores".to_owned();
    let (info, _) = der(masked, 0x30).ok_or_else(odd)?;
    let (algorithm, rest) = der(info, 0x30).ok_or_else(odd)?;
    let (oid, _) = der(algorithm, 0x06).ok_or_else(odd)?;
    let (data, _) = der(rest, 0x04).ok_or_else(odd)?;
    if oid != KEY_PROTECTOR {
        return Err(odd());
    }
    let (salt, data) = data.split_at_checked(SHA1_OUTPUT_LEN).ok_or_else(odd)?;
    let length = data.len().checked_sub(SHA1_OUTPUT_LEN).ok_or_else(odd)?;
    let (data, check) = data.split_at_checked(length).ok_or_else(odd)?;
    let password = utf16(password);
    let mut mask = salt.to_vec();
    let mut key = Vec::with_capacity(data.len());
    for block in data.chunks(SHA1_OUTPUT_LEN) {
        mask = sha1(&[&password, &mask]);
        key.extend(block.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    }
    match sha1(&[&password, &key]) == check {
        true => Ok(key),
        false => Err("the password of its key is wrong; check ssl.key.password".to_owned()),
    }
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

/// The content of a DER element with this tag, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = octets.iter().fold(0_usize, |sum, octet| sum << 8 | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("it is cut off")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Bytes behind a length of four.
    fn counted(&mut self) -> Result<&'b [u8], String> {
        let length = self.u32()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Skips a text: names and types are not needed.
    fn text(&mut self) -> Result<(), String> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>) {
            bytes.splice(0..0, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1]);
            drop(entries(&bytes, None));
            drop(unmask(&bytes, "x"));
        }
    }
}
