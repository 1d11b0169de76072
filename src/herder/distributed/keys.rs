//! What workers sign their requests to one another with: the session key of the config topic.

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

/// The leader's duty: a key when there is none, or the last one is used up.
pub(super) async fn rotate(shared: &Shared) -> Result<()> {
    let ttl = i64::try_from(shared.group.key_ttl.as_millis()).unwrap_or(i64::MAX);
    let snapshot = shared.configs.snapshot();
    let fresh = |key: &SessionKey| {
        key.algorithm == ALGORITHM
            && key.key.len() == KEY_BYTES
            && key.created_ms.saturating_add(ttl) > now_ms()
    };
    if snapshot.session_key().is_some_and(fresh) {
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
