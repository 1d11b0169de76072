//! Salted hashes of text, as `column.mask.hash` makes them.
//!
//! The first version hashes the text as Java serialises a `String`, the second its UTF-8.

use std::fmt::Write;

/// An algorithm with its salt.
#[derive(Debug)]
pub struct Hasher {
    algorithm: Algorithm,
    salt: Vec<u8>,
    plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
}

impl Hasher {
    /// `plain` is the second version.
    ///
    /// # Errors
    ///
    /// An algorithm that is not supported. Names are those of `java.security.MessageDigest`.
    pub fn new(algorithm: &str, salt: &str, plain: bool) -> Result<Self, String> {
        let known = match algorithm.to_ascii_uppercase().as_str() {
            "MD5" => Algorithm::Md5,
            "SHA" | "SHA1" | "SHA-1" => Algorithm::Sha1,
            "SHA-224" => Algorithm::Sha224,
            "SHA-256" => Algorithm::Sha256,
            "SHA-384" => Algorithm::Sha384,
            "SHA-512" => Algorithm::Sha512,
            "SHA-512/224" => Algorithm::Sha512_224,
            "SHA-512/256" => Algorithm::Sha512_256,
            _ => {
                return Err(format!(
                    "{algorithm} is not supported; use MD5, SHA-1, SHA-224, SHA-256, SHA-384, \
                     SHA-512, SHA-512/224 or SHA-512/256"
                ));
            }
        };
        Ok(Self { algorithm: known, salt: salt.as_bytes().to_vec(), plain })
    }

    /// Appends the hash of `text` in hexadecimal digits.
    pub fn write(&self, text: &str, out: &mut String) {
        let serialized;
        let bytes = if self.plain {
            text.as_bytes()
        } else {
            serialized = java_serialized(text);
            &serialized
        };
        match self.algorithm {
            Algorithm::Md5 => {
                use md5::Digest;
                hexadecimal(
                    &md5::Md5::new().chain_update(&self.salt).chain_update(bytes).finalize(),
                    out,
                );
            }
            Algorithm::Sha1 => self.digest::<sha1::Sha1>(bytes, out),
            Algorithm::Sha224 => self.digest::<sha2::Sha224>(bytes, out),
            Algorithm::Sha256 => self.digest::<sha2::Sha256>(bytes, out),
            Algorithm::Sha384 => self.digest::<sha2::Sha384>(bytes, out),
            Algorithm::Sha512 => self.digest::<sha2::Sha512>(bytes, out),
            Algorithm::Sha512_224 => self.digest::<sha2::Sha512_224>(bytes, out),
            Algorithm::Sha512_256 => self.digest::<sha2::Sha512_256>(bytes, out),
        }
    }

    fn digest<D: sha2::Digest>(&self, bytes: &[u8], out: &mut String) {
        hexadecimal(&D::new().chain_update(&self.salt).chain_update(bytes).finalize(), out);
    }
}

fn hexadecimal(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a string takes all");
    }
}

/// What `ObjectOutputStream.writeObject` writes for a `String`: the stream's head, then the text in
/// modified UTF-8 after its length (Java Object Serialization Specification, 6.4).
fn java_serialized(text: &str) -> Vec<u8> {
    let mut modified = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        match unit {
            0x01..=0x7f => modified.push(unit as u8),
            0 | 0x80..=0x7ff => {
                modified.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8]);
            }
            // Both halves of a surrogate pair are written like any other unit.
            _ => modified.extend([
                0xe0 | (unit >> 12) as u8,
                0x80 | (unit >> 6 & 0x3f) as u8,
                0x80 | (unit & 0x3f) as u8,
            ]),
        }
    }
    let mut out = vec![0xac, 0xed, 0x00, 0x05];
    match u16::try_from(modified.len()) {
        Ok(length) => {
            out.push(0x74);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(0x7c);
            out.extend((modified.len() as u64).to_be_bytes());
        }
    }
    out.extend(modified);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(algorithm: &str, text: &str, plain: bool) -> String {
        let mut out = String::new();
        Hasher::new(algorithm, "salt", plain).unwrap().write(text, &mut out);
        out
    }

    /// The cases of Debezium's `MaskStringsTest`.
    #[test]
    fn both_versions() {
        for (algorithm, plain, text, wanted) in [
            (
                "SHA-256",
                false,
                "hello",
                "af5843a0f0e728ab0332c8888b6e1190bfb79e584f0d40538de8f10df6ef29c6",
            ),
            (
                "SHA-256",
                false,
                "world",
                "4588e1f2dcdc7fefc1515d3acd5acb9033478eace68286f383c337b9ff4464a3",
            ),
            ("MD5", false, "hello", "46f48a7a5ea32efba87cbff49d46d35a"),
            ("md5", false, "world", "030f632140d9c9591b0d8c21098024b8"),
            (
                "SHA-256",
                true,
                "hello",
                "cd31b3b98ece60cb739c0bf770b2de892ae0ad133f645513c3d83f08757a843a",
            ),
            (
                "SHA-256",
                true,
                "world",
                "e84ac3142870113ddc6710c06f76421befc8e8ca6de64e98d2993ed8d41f4085",
            ),
            ("MD5", true, "hello", "06decc8b095724f80103712c235586be"),
        ] {
            assert_eq!(hash(algorithm, text, plain), wanted, "{algorithm} {plain} {text}");
        }
    }

    /// Written by `java.security.MessageDigest` over `ObjectOutputStream`.
    #[test]
    fn algorithms_and_texts() {
        for (algorithm, text, wanted) in [
            ("SHA-1", "hello", "dc3540fcd5b4eb54f2eca95c5d6ae6aa7863e345"),
            ("SHA-224", "hello", "31b18a00c598f930cac5d4c0474d9bdd154ad9d349bfac2a2d1997da"),
            (
                "SHA-384",
                "hello",
                "d1ac1e41a45a75e00a69a37054337d6819bc4437186e1f9c23e2aef3e2a86b76366c18313376853c325375087eff4d9d",
            ),
            (
                "SHA-512",
                "hello",
                "61ef696691b5c1b339801eea48706d28993ca2741b4e6328ec024a3fe1c9982ef46df94797519129ee59487bbdbcf80e07a2006bb1d32c02f7ddb740526639f6",
            ),
            ("SHA-512/224", "hello", "cf4ca36b5556a09f7960511747ffb36670c0371b8148f687acd5214f"),
            (
                "SHA-512/256",
                "hello",
                "e0c601983ce0a0e3520ae9958d14c7ae4cedb3357b312c486e086a102ebe91d1",
            ),
            ("SHA-256", "a\0b", "bdc7f913ce6aff17f08342a233b29e3baeb2bab699ae7dd8acdb7d2dddf810ff"),
            ("SHA-256", "é🚀", "ecf03f9815e0ecd5febfbd65caddab7281adcc7dc8c352ca60557ee70d181769"),
            // Longer than 65,535 bytes.
            (
                "SHA-256",
                &"x".repeat(70_000),
                "7fab0c0461220b8c55bbb93baf32883ff3a4680ded26e5063b3e5aa09c98a713",
            ),
        ] {
            assert_eq!(hash(algorithm, text, false), wanted, "{algorithm} {}", text.len());
        }
        assert!(Hasher::new("MD2", "salt", false).unwrap_err().contains("MD2"));
    }
}
