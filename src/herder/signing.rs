//! The worker's keys about signatures of requests between workers, `inter.worker.*`.

use model::config::{Check, Config, Key};
use ring::hmac;

/// An algorithm that keys are made for and requests signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Java's names, which stand in the config topic and in requests.
const NAMES: [&str; 4] = ["HmacSHA1", "HmacSHA256", "HmacSHA384", "HmacSHA512"];

impl Mac {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mac| mac.name().eq_ignore_ascii_case(name))
    }

    pub fn algorithm(self) -> hmac::Algorithm {
        match self {
            Mac::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Mac::Sha256 => hmac::HMAC_SHA256,
            Mac::Sha384 => hmac::HMAC_SHA384,
            Mac::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// Of a key, as Java's generators make them when they are not told otherwise.
    fn key_bytes(self) -> usize {
        match self {
            Mac::Sha1 | Mac::Sha512 => 64,
            Mac::Sha256 => 32,
            Mac::Sha384 => 48,
        }
    }

    /// The least size of a key in bits that Java's generator makes.
    fn key_bits_min(self) -> i32 {
        if self == Mac::Sha1 { 1 } else { 40 }
    }
}

/// How requests are signed, and which signatures are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// What session keys are made for.
    pub key: Mac,
    pub key_bytes: usize,
    pub signature: Mac,
    pub verification: Vec<Mac>,
}

const ONE_OF: Check = Check::OneOfAnyCase(&NAMES);

pub(super) static KEY_ALGORITHM: Key<String> =
    Key::string("inter.worker.key.generation.algorithm").default("HmacSHA256").check(ONE_OF);
pub(super) static KEY_SIZE: Key<i32> = Key::int("inter.worker.key.size").default_null();
pub(super) static SIGNATURE_ALGORITHM: Key<String> =
    Key::string("inter.worker.signature.algorithm").default("HmacSHA256").check(ONE_OF);
pub(super) static VERIFICATION_ALGORITHMS: Key<Vec<String>> =
    Key::list("inter.worker.verification.algorithms").default("HmacSHA256");

impl Signing {
    /// Puts what is wrong among the errors.
    pub(super) fn read(config: &Config, errors: &mut Vec<String>) -> Self {
        let mac = |key: &Key<String>| Mac::named(&config.get(key)).unwrap_or(Mac::Sha256);
        let (key, signature) = (mac(&KEY_ALGORITHM), mac(&SIGNATURE_ALGORITHM));
        let mut key_bytes = key.key_bytes();
        if let Some(bits) = config.find(&KEY_SIZE) {
            let least = key.key_bits_min();
            match usize::try_from(bits) {
                Ok(size) if bits >= least => key_bytes = size.div_ceil(8),
                _ => errors.push(format!(
                    "Invalid value {bits} for configuration {}: Unable to create key generator \
                     with algorithm {} and key size {bits}: Key length must be at least {least} bits",
                    KEY_SIZE.spec.name,
                    key.name()
                )),
            }
        }
        let name = VERIFICATION_ALGORITHMS.spec.name;
        let mut verification = Vec::new();
        for algorithm in config.get(&VERIFICATION_ALGORITHMS) {
            match Mac::named(&algorithm) {
                Some(mac) => verification.push(mac),
                None => errors.push(format!(
                    "Invalid value {algorithm} for configuration {name}: this worker has {}",
                    NAMES.join(", ")
                )),
            }
        }
        if verification.is_empty() {
            errors.push(format!(
                "Invalid value [] for configuration {name}: At least one signature verification \
                 algorithm must be provided"
            ));
        } else if !verification.contains(&signature) {
            errors.push(format!(
                "Invalid value {} for configuration {}: Signature algorithm must be present in \
                 {name} list",
                signature.name(),
                SIGNATURE_ALGORITHM.spec.name
            ));
        }
        Self { key, key_bytes, signature, verification }
    }
}

#[cfg(test)]
mod tests {
    use model::config::{ConfigDef, Group};

    use super::*;

    static DEF: ConfigDef = ConfigDef(&[Group {
        name: "",
        keys: &[
            &KEY_ALGORITHM.spec,
            &KEY_SIZE.spec,
            &SIGNATURE_ALGORITHM.spec,
            &VERIFICATION_ALGORITHMS.spec,
        ],
    }]);

    fn read(lines: &[(&str, &str)]) -> Result<Signing, String> {
        let key = |(key, value): &(&str, &str)| (format!("inter.worker.{key}"), value.to_string());
        let lines: Vec<(String, String)> = lines.iter().map(key).collect();
        let pairs = lines.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let config = DEF.parse(pairs).map_err(|errors| errors.join("\n"))?;
        let mut errors = Vec::new();
        let signing = Signing::read(&config, &mut errors);
        if errors.is_empty() { Ok(signing) } else { Err(errors.join("\n")) }
    }

    #[test]
    fn what_is_signed_with() {
        let of = |key, key_bytes, signature, verification: &[Mac]| {
            Ok(Signing { key, key_bytes, signature, verification: verification.to_vec() })
        };
        assert_eq!(read(&[]), of(Mac::Sha256, 32, Mac::Sha256, &[Mac::Sha256]));
        assert_eq!(
            read(&[
                ("key.generation.algorithm", "hmacsha512"),
                ("signature.algorithm", "HmacSHA1"),
                ("verification.algorithms", "HmacSHA384,HmacSHA1"),
            ]),
            of(Mac::Sha512, 64, Mac::Sha1, &[Mac::Sha384, Mac::Sha1])
        );
        assert_eq!(read(&[("key.size", "41")]), of(Mac::Sha256, 6, Mac::Sha256, &[Mac::Sha256]));
        for (key, value, why) in [
            ("key.size", "39", "Key length must be at least 40 bits"),
            ("key.size", "-1", "Key length must be at least 40 bits"),
            ("key.generation.algorithm", "HmacMD5", "inter.worker.key.generation.algorithm"),
            ("signature.algorithm", "HmacSHA1", "must be present in inter.worker.verification"),
            ("verification.algorithms", "", "At least one"),
            ("verification.algorithms", "HmacSHA256,None", "Invalid value None"),
        ] {
            let error = read(&[(key, value)]).unwrap_err();
            assert!(error.contains(why), "{key}={value}: {error}");
        }
    }
}
