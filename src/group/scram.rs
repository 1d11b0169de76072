//! The client's side of SCRAM (RFC 5802) without channel binding, as Kafka speaks it.
//!
//! Messages in and out, no input or output. Kafka takes names and passwords as they are, without
//! SASLprep. The server proves that it knows the password too: see [`Challenged::verify`].

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use model::config::Secret;
use ring::{
    digest, hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};

/// Fewer are refused by Kafka's clients too: a server that asks for fewer is after the password.
const ITERATIONS_MIN: u32 = 4_096;

/// Kafka gives out 16,384 at most. A server could keep a core busy with more.
const ITERATIONS_MAX: u32 = 1 << 20;

/// Bytes of chance in our part of the nonce.
const NONCE_BYTES: usize = 24;

/// Bytes of the longest digest.
const DIGEST_MAX: usize = 64;

/// The digest a mechanism is named after.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// Why an exchange cannot go on, in words that follow "the broker".
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

fn broken<T>(why: impl Into<String>) -> Result<T, Broken> {
    Err(Broken(why.into()))
}

/// An exchange that has begun.
pub(super) struct Scram {
    hash: Hash,
    password: Secret,
    nonce: String,
    /// The client's first message without its head.
    bare: String,
}

impl Scram {
    /// Begins one; `None` where the system gives no random bytes.
    pub(super) fn new(hash: Hash, user: &str, password: &Secret) -> Option<Self> {
        let mut nonce = [0; NONCE_BYTES];
        SystemRandom::new().fill(&mut nonce).ok()?;
        Some(Self::with_nonce(hash, user, password, BASE64.encode(nonce)))
    }

    pub(super) fn with_nonce(hash: Hash, user: &str, password: &Secret, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { hash, password: password.clone(), nonce, bare }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's first message. It takes some milliseconds of computing.
    pub(super) fn answer(self, server_first: &[u8]) -> Result<Challenged, Broken> {
        let Ok(server_first) = std::str::from_utf8(server_first) else {
            return broken("sent a challenge that is no text");
        };
        let mut fields = server_first.split(',');
        let mut field = |name: &str| {
            fields.next().and_then(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let (Some(nonce), Some(salt), Some(iterations)) = (field("r"), field("s"), field("i"))
        else {
            return broken("sent a challenge without nonce, salt or number of iterations");
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return broken("answered another login than this one");
        }
        let salt = match BASE64.decode(salt) {
            Ok(salt) => salt,
            Err(error) => return broken(format!("sent a salt that cannot be read: {error}")),
        };
        let iterations = match iterations.parse::<u32>() {
            Ok(count) if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&count) => count,
            _ => {
                return broken(format!(
                    "asks for {iterations} iterations of the password's hash; it must be between \
                     {ITERATIONS_MIN} and {ITERATIONS_MAX}"
                ));
            }
        };
        let count = std::num::NonZeroU32::new(iterations).expect("checked to be above the least");

        let mut salted = [0; DIGEST_MAX];
        let salted = &mut salted[..self.hash.hmac().digest_algorithm().output_len()];
        pbkdf2::derive(self.hash.pbkdf2(), count, &salt, self.password.expose().as_bytes(), salted);
        let salted = hmac::Key::new(self.hash.hmac(), salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let server_key = hmac::sign(&salted, b"Server Key");
        let stored_key = digest::digest(self.hash.hmac().digest_algorithm(), client_key.as_ref());
        // `biws` is the head of the first message, `n,,`.
        let without_proof = format!("c=biws,r={nonce}");
        let said = format!("{},{server_first},{without_proof}", self.bare);
        let stored_key = hmac::Key::new(self.hash.hmac(), stored_key.as_ref());
        let signature = hmac::sign(&stored_key, said.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        Ok(Challenged {
            last: format!("{without_proof},p={}", BASE64.encode(proof)),
            server_key: hmac::Key::new(self.hash.hmac(), server_key.as_ref()),
            said,
        })
    }
}

/// An exchange whose last message is sent.
pub(super) struct Challenged {
    last: String,
    server_key: hmac::Key,
    said: String,
}

impl Challenged {
    /// The client's last message.
    pub(super) fn last(&self) -> &str {
        &self.last
    }

    /// Checks the server's last message: whoever does not know the password cannot have sent it.
    pub(super) fn verify(&self, server_last: &[u8]) -> Result<(), Broken> {
        let text = std::str::from_utf8(server_last).unwrap_or_default();
        let field = text.split(',').next().unwrap_or_default();
        if let Some(error) = field.strip_prefix("e=") {
            return broken(format!("ended the login: {error}"));
        }
        let signature = field.strip_prefix("v=").and_then(|text| BASE64.decode(text).ok());
        match signature {
            Some(signature)
                if hmac::verify(&self.server_key, self.said.as_bytes(), &signature).is_ok() =>
            {
                Ok(())
            }
            _ => broken("did not prove that it knows the password"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_standards_example() {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let scram = Scram::with_nonce(Hash::Sha256, "user", &Secret::new("pencil"), nonce);
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let challenged = scram.answer(server.as_bytes()).unwrap();
        assert_eq!(
            challenged.last(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let server = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(challenged.verify(server), Ok(()));
        for wrong in [
            &b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="[..],
            b"v=",
            b"",
            b"\xff",
            b"e=other-error",
        ] {
            challenged.verify(wrong).unwrap_err();
        }
    }

    #[test]
    fn names_with_commas_and_equals() {
        let scram = Scram::with_nonce(Hash::Sha512, "a=b,c", &Secret::new("p"), "x".into());
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=x");
    }

    #[test]
    fn challenges_that_no_broker_sends() {
        let cases = [
            ("", "without nonce"),
            ("r=x1,s=YQ==", "without nonce"),
            ("e=unknown-user", "without nonce"),
            ("m=ext,r=x1,s=YQ==,i=4096", "without nonce"),
            ("r=y1,s=YQ==,i=4096", "another login"),
            ("r=x,s=YQ==,i=4096", "another login"),
            ("r=x1,s=%,i=4096", "a salt that cannot be read"),
            ("r=x1,s=YQ==,i=1", "asks for 1 iterations"),
            ("r=x1,s=YQ==,i=4294967295", "asks for 4294967295 iterations"),
            ("r=x1,s=YQ==,i=-4096", "asks for -4096 iterations"),
        ];
        for (challenge, answer) in cases {
            let scram = Scram::with_nonce(Hash::Sha512, "u", &Secret::new("p"), "x".into());
            let refusal = scram.answer(challenge.as_bytes()).map(|_| ()).unwrap_err().to_string();
            assert!(refusal.contains(answer), "{challenge}: {refusal}");
        }
    }
}
