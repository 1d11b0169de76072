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
    herder::{Answer, Refusal, Signature},
    storage::SessionKey,
};

/// The one algorithm that all versions of Connect have by default.
pub(super) const ALGORITHM: &str = "HmacSHA256";

/// Bytes of a key, as Java's generator makes them for this algorithm.
const KEY_BYTES: usize = 32;

/// When the leader has to write a new key: zero for now, `None` for never.
pub(super) fn due(key: Option<&SessionKey>, ttl: Duration, now_ms: i64) -> Option<Duration> {
    let Some(key) = key.filter(|key| key.algorithm == ALGORITHM && key.key.len() == KEY_BYTES)
    else {
        return Some(Duration::ZERO);
    };
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
    if due(snapshot.session_key(), shared.group.key_ttl, now_ms()) != Some(Duration::ZERO) {
        return Ok(());
    }
    let mut key = vec![0; KEY_BYTES];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Error::retriable("make a session key: the system gives no random bytes"))?;
    let key = SessionKey { key, algorithm: ALGORITHM.to_owned(), created_ms: now_ms() };
    shared.configs.put_session_key(&key).await
}

/// The signature of a body, in base64.
pub(super) fn sign(key: &SessionKey, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.key);
    STANDARD.encode(hmac::sign(&key, body))
}

/// Whether a request is another worker's.
pub(super) fn verify(shared: &Shared, signature: Signature<'_>) -> Answer<()> {
    let (Some(mac), Some(algorithm)) = (signature.mac, signature.algorithm) else {
        return Err(Refusal::new(400, "Internal request missing required signature"));
    };
    if algorithm != ALGORITHM {
        return Err(Refusal::new(
            400,
            format!(
                "This worker does not support the '{algorithm}' key signing algorithm used by \
                 other workers. This worker is currently configured to use: [{ALGORITHM}]. Check \
                 that all workers' configuration files permit the same set of signature \
                 algorithms, and correct any misconfigured worker and restart it."
            ),
        ));
    }
    let mac = STANDARD.decode(mac).map_err(|error| {
        Refusal::new(400, format!("Internal request contained no base64 signature: {error}"))
    })?;
    let snapshot = shared.configs.snapshot();
    let Some(key) = snapshot.session_key() else {
        return Err(Refusal::new(
            503,
            "This worker is still starting up and has not been able to read a session key from \
             the config topic yet",
        ));
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.key);
    hmac::verify(&key, signature.body, &mac)
        .map_err(|_| Refusal::new(403, "Internal request contained invalid signature."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_when_it_is_used_up_or_of_another_kind() {
        let ttl = Duration::from_millis(1000);
        let key = |algorithm: &str, bytes: usize| SessionKey {
            key: vec![7; bytes],
            algorithm: algorithm.to_owned(),
            created_ms: 10_000,
        };
        let now = Some(Duration::ZERO);
        assert_eq!(due(None, ttl, 10_000), now);
        assert_eq!(due(Some(&key("HmacSHA1", 32)), ttl, 10_000), now);
        assert_eq!(due(Some(&key(ALGORITHM, 20)), ttl, 10_000), now);
        let good = key(ALGORITHM, 32);
        for (at, left) in [(9_000, 2000), (10_000, 1000), (10_999, 1), (11_000, 0), (99_000, 0)] {
            assert_eq!(due(Some(&good), ttl, at), Some(Duration::from_millis(left)), "at {at}");
        }
        assert_eq!(due(Some(&good), Duration::ZERO, 99_000), None, "it lasts");
    }
}
