//! What workers sign their requests to one another with: the session key of the config topic.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::error::{Error, Result};
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

use super::{Shared, now_ms};
use crate::{
    herder::{
        Answer, Refusal, Signature,
        distributed_config::GroupConfig,
        signing::{Mac, Signing},
    },
    storage::SessionKey,
};

/// How long until the leader has to write a new key: zero is at once, `None` is never.
pub(super) fn due(
    key: Option<&SessionKey>,
    signing: &Signing,
    ttl: Duration,
    now_ms: i64,
) -> Option<Duration> {
    let fits = |key: &&SessionKey| {
        key.algorithm == signing.key.name() && key.key.len() == signing.key_bytes
    };
    let Some(key) = key.filter(fits) else { return Some(Duration::ZERO) };
    // A key without a time to live lasts.
    let ttl = i64::try_from(ttl.as_millis()).ok().filter(|ttl| *ttl > 0)?;
    let left = key.created_ms.saturating_add(ttl).saturating_sub(now_ms);
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

/// The leader's duty: writes a new key when there is none, or the last one is used up.
pub(super) async fn rotate(shared: &Shared) -> Result<()> {
    let Ok(_turn) = shared.lead().await else {
        // Somebody else leads now, and has the duty.
        return Ok(());
    };
    let snapshot = shared.configs.snapshot();
    let GroupConfig { signing, key_ttl, .. } = &shared.group;
    if due(snapshot.session_key(), signing, *key_ttl, now_ms()) != Some(Duration::ZERO) {
        return Ok(());
    }
    let mut key = vec![0; signing.key_bytes];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Error::retriable("make a session key: the system gives no random bytes"))?;
    let key = SessionKey { key, algorithm: signing.key.name().to_owned(), created_ms: now_ms() };
    shared.configs.put_session_key(&key).await
}

/// The signature of a body, in base64.
pub(super) fn sign(mac: Mac, key: &SessionKey, body: &[u8]) -> String {
    let key = hmac::Key::new(mac.algorithm(), &key.key);
    STANDARD.encode(hmac::sign(&key, body))
}

/// The bytes of a signature. Java looks for the algorithm first, in all that it has, and knows those
/// names in any case.
fn decode(mac: &str, algorithm: &str) -> Result<Vec<u8>, String> {
    if !JAVA_MACS.iter().any(|name| name.eq_ignore_ascii_case(algorithm)) {
        return Err(format!("Algorithm {algorithm} not available"));
    }
    model::java::base64(mac)
}

/// Those that a JVM without further providers makes without being told more.
const JAVA_MACS: [&str; 12] = [
    "HmacMD5",
    "HmacSHA1",
    "HmacSHA224",
    "HmacSHA256",
    "HmacSHA384",
    "HmacSHA512",
    "HmacSHA512/224",
    "HmacSHA512/256",
    "HmacSHA3-224",
    "HmacSHA3-256",
    "HmacSHA3-384",
    "HmacSHA3-512",
];

/// Whether a request is another worker's.
pub(super) fn verify(shared: &Shared, signature: Signature<'_>) -> Answer<()> {
    let (Some(mac), Some(algorithm)) = (signature.mac, signature.algorithm) else {
        return Err(Refusal::new(400, "Internal request missing required signature"));
    };
    let mac = decode(mac, algorithm).map_err(|wrong| Refusal::new(400, wrong))?;
    let accepted = &shared.group.signing.verification;
    let Some(algorithm) = accepted.iter().find(|accepted| accepted.name() == algorithm) else {
        let accepted: Vec<_> = accepted.iter().map(|accepted| accepted.name()).collect();
        return Err(Refusal::new(
            400,
            format!(
                "This worker does not support the '{algorithm}' key signing algorithm used by \
                 other workers. This worker is currently configured to use: [{}]. Check that all \
                 workers' configuration files permit the same set of signature algorithms, and \
                 correct any misconfigured worker and restart it.",
                accepted.join(", ")
            ),
        ));
    };
    let snapshot = shared.configs.snapshot();
    let Some(key) = snapshot.session_key() else {
        return Err(Refusal::new(
            503,
            "This worker is still starting up and has not been able to read a session key from \
             the config topic yet",
        ));
    };
    let key = hmac::Key::new(algorithm.algorithm(), &key.key);
    hmac::verify(&key, signature.body, &mac)
        .map_err(|_| Refusal::new(403, "Internal request contained invalid signature."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a JVM worker answers to the same headers.
    #[test]
    fn what_is_no_signature() {
        let sha = "HmacSHA256";
        let cases = [
            ("YQ", sha, Ok(b"a".to_vec())),
            ("YQ==", "hmacsha256", Ok(b"a".to_vec())),
            ("!!!", sha, Err("Illegal base64 character 21")),
            ("!!!", "HmacMD5", Err("Illegal base64 character 21")),
            ("YQ=", sha, Err("Input byte array has wrong 4-byte ending unit")),
            ("YWJjZ", sha, Err("Last unit does not have enough valid bits")),
            ("!!!", "HmacFoo", Err("Algorithm HmacFoo not available")),
        ];
        for (mac, algorithm, answer) in cases {
            assert_eq!(decode(mac, algorithm), answer.map_err(str::to_owned), "{mac} {algorithm}");
        }
    }

    #[test]
    fn a_key_is_replaced_when_it_is_used_up_or_of_another_kind() {
        let ttl = Duration::from_millis(1000);
        let key = |algorithm: &str, bytes: usize| SessionKey {
            key: vec![7; bytes],
            algorithm: algorithm.to_owned(),
            created_ms: 10_000,
        };
        let mac = Mac::Sha384;
        let signing = Signing { key: mac, key_bytes: 48, signature: mac, verification: vec![mac] };
        let due = |key: Option<&SessionKey>, ttl, at| due(key, &signing, ttl, at);
        let now = Some(Duration::ZERO);
        assert_eq!(due(None, ttl, 10_000), now);
        assert_eq!(due(Some(&key("HmacSHA1", 48)), ttl, 10_000), now);
        assert_eq!(due(Some(&key("HmacSHA384", 20)), ttl, 10_000), now);
        let good = key("HmacSHA384", 48);
        for (at, left) in [(9_000, 2000), (10_000, 1000), (10_999, 1), (11_000, 0), (99_000, 0)] {
            assert_eq!(due(Some(&good), ttl, at), Some(Duration::from_millis(left)), "at {at}");
        }
        assert_eq!(due(Some(&good), Duration::ZERO, 99_000), None, "it lasts");
    }
}
