//! The login on a connection: the first thing a broker is told after its versions were asked for,
//! and again before the login's time is over (KIP-368).

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::{
    error::ResponseError,
    messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::StrBytes,
};
use model::error::{Error, Result};
use tokio::task::spawn_blocking;

use super::{
    connection::Shared,
    scram::{Broken, Hash, Scram},
};
use crate::kafka::{Login, Mechanism};

/// Logs in. The answer is how long that holds; `None` is as long as the connection.
pub(super) async fn log_in(
    connection: &Shared,
    login: &Login,
    limit: Duration,
) -> Result<Option<Duration>> {
    let exchange = Exchange { connection, login, limit };
    exchange.agree().await?;
    let lifetime_ms = match login.mechanism {
        Mechanism::Plain => {
            let message = format!("\0{}\0{}", login.user, login.password.expose());
            exchange.say(message.into_bytes()).await?.session_lifetime_ms
        }
        Mechanism::ScramSha256 => exchange.scram(Hash::Sha256).await?,
        Mechanism::ScramSha512 => exchange.scram(Hash::Sha512).await?,
    };
    Ok(u64::try_from(lifetime_ms).ok().filter(|millis| *millis > 0).map(Duration::from_millis))
}

struct Exchange<'l> {
    connection: &'l Shared,
    login: &'l Login,
    limit: Duration,
}

impl Exchange<'_> {
    /// Names the mechanism.
    async fn agree(&self) -> Result<()> {
        let name = self.login.mechanism.name();
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(name));
        let SaslHandshakeResponse { error_code, mechanisms, .. } =
            self.connection.call_alone(&request, self.limit).await?;
        let address = &self.connection.address;
        match ResponseError::try_from_code(error_code) {
            None => Ok(()),
            Some(ResponseError::UnsupportedSaslMechanism) => {
                let has: Vec<&str> = mechanisms.iter().map(|name| &**name).collect();
                let has = has.join(", ");
                Err(Error::fatal(format!(
                    "the broker at {address} does not have the mechanism {name} for logins; set \
                     sasl.mechanism to what it has: {has}"
                )))
            }
            Some(ResponseError::IllegalSaslState) => Err(Error::fatal(format!(
                "the broker at {address} takes no login on this listener; set security.protocol \
                 to PLAINTEXT or SSL, or name a listener for SASL in bootstrap.servers"
            ))),
            Some(error) => Err(Error::retriable(format!(
                "the broker at {address} did not begin a login by {name}: {error}"
            ))),
        }
    }

    async fn scram(&self, hash: Hash) -> Result<i64> {
        let Login { user, password, .. } = self.login;
        let scram = Scram::new(hash, user, password).ok_or_else(|| {
            Error::retriable("the system gave no random bytes for a login to Kafka")
        })?;
        let challenge = self.say(scram.first().into_bytes()).await?.auth_bytes;
        let answered = spawn_blocking(move || scram.answer(&challenge)).await;
        let challenged = answered
            .map_err(|error| Error::retriable("a login to Kafka was cut off").caused_by(error))?
            .map_err(|why| self.broken(&why))?;
        let answer = self.say(challenged.last().as_bytes().to_vec()).await?;
        challenged.verify(&answer.auth_bytes).map_err(|why| self.broken(&why))?;
        Ok(answer.session_lifetime_ms)
    }

    async fn say(&self, message: Vec<u8>) -> Result<SaslAuthenticateResponse> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
        let answer = self.connection.call_alone(&request, self.limit).await?;
        let Some(error) = ResponseError::try_from_code(answer.error_code) else {
            return Ok(answer);
        };
        let said = answer.error_message.as_deref().filter(|said| !said.is_empty());
        let Login { user, mechanism, .. } = self.login;
        let message = format!(
            "the broker at {} refused the login of {user} by {}: {}",
            self.connection.address,
            mechanism.name(),
            said.map_or_else(|| error.to_string(), str::to_owned)
        );
        Err(match error {
            ResponseError::SaslAuthenticationFailed => Error::fatal(format!(
                "{message}; check the user and password in sasl.jaas.config, and sasl.mechanism"
            )),
            _ => Error::retriable(message),
        })
    }

    /// Whoever breaks the rules of an exchange may not be the broker.
    fn broken(&self, why: &Broken) -> Error {
        Error::fatal(format!(
            "the login of {} by {} failed: the broker at {} {why}",
            self.login.user,
            self.login.mechanism.name(),
            self.connection.address
        ))
    }
}
