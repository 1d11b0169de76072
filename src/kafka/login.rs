//! Who a client says it is: the `sasl.*` properties.

use std::collections::BTreeMap;

use model::{
    config::Secret,
    error::{Error, Result},
};

use super::jaas;

/// What a client logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Login {
    /// Reads `sasl.mechanism` and `sasl.jaas.config`.
    pub(crate) fn read(properties: &BTreeMap<String, String>) -> Result<Self> {
        let get = |key: &str| {
            properties.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
        };
        let name = get("sasl.mechanism").unwrap_or("GSSAPI");
        let all = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];
        let mechanism = all.into_iter().find(|known| known.name() == name).ok_or_else(|| {
            Error::fatal(format!(
                "client property sasl.mechanism is {name}; this version has PLAIN, \
                 SCRAM-SHA-256 and SCRAM-SHA-512"
            ))
        })?;
        for key in [
            "sasl.client.callback.handler.class",
            "sasl.login.callback.handler.class",
            "sasl.login.class",
        ] {
            if get(key).is_some() {
                return Err(Error::fatal(format!(
                    "client property {key} is refused: Java classes cannot be loaded here; put \
                     the user and password into sasl.jaas.config"
                )));
            }
        }
        let jaas = get("sasl.jaas.config").ok_or_else(|| {
            Error::fatal(format!("sasl.mechanism is {name}, but sasl.jaas.config is not set"))
        })?;
        let (user, password) = user(jaas).map_err(|wrong| {
            let module = match mechanism {
                Mechanism::Plain => "plain.PlainLoginModule",
                Mechanism::ScramSha256 | Mechanism::ScramSha512 => "scram.ScramLoginModule",
            };
            Error::fatal(format!(
                "client property sasl.jaas.config {wrong}; it looks like \
                 `org.apache.kafka.common.security.{module} required username=\"…\" \
                 password=\"…\";`"
            ))
        })?;
        Ok(Self { mechanism, user, password })
    }
}

/// The user and password of a JAAS entry.
fn user(jaas: &str) -> Result<(String, Secret), String> {
    let mut entry = jaas::entry(jaas)?;
    let known = ["plain.PlainLoginModule", "scram.ScramLoginModule"];
    if !known.iter().any(|known| entry.module.ends_with(known)) {
        return Err(format!(
            "names the login module {}; this version has PlainLoginModule and ScramLoginModule",
            entry.module
        ));
    }
    if entry
        .options
        .get("tokenauth")
        .is_some_and(|value| value.expose().eq_ignore_ascii_case("true"))
    {
        return Err("asks for delegation tokens (tokenauth), which this version does not \
                    have: log in with a user's password"
            .to_owned());
    }
    let mut option = |key: &str| entry.options.remove(key).ok_or(format!("has no {key}"));
    Ok((option("username")?.expose().to_owned(), option("password")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let check = |properties: &[(&str, &str)]| {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            match Login::read(&properties.iter().map(own).collect()) {
                Ok(login) => format!("{login:?} {}", login.password.expose()),
                Err(error) => error.to_string(),
            }
        };
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        let krb = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;";
        let with = |options: &str| {
            let jaas = format!("{scram} {options};");
            check(&[("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.jaas.config", &jaas)])
        };
        let cases = [
            (
                with("username=\"ann\" password=\"p w\""),
                "Login { mechanism: ScramSha512, user: \"ann\", password: [hidden] } p w",
            ),
            (
                with("username=\"ann\""),
                "client property sasl.jaas.config has no password; it looks",
            ),
            (with("password=\"x\""), "client property sasl.jaas.config has no username; it looks"),
            (
                with("username=a password=b tokenauth=true"),
                "client property sasl.jaas.config asks for delegation tokens",
            ),
            (check(&[]), "client property sasl.mechanism is GSSAPI; this version has PLAIN,"),
            (
                check(&[("sasl.mechanism", "OAUTHBEARER")]),
                "client property sasl.mechanism is OAUTHBEARER; this version has PLAIN,",
            ),
            (
                check(&[("sasl.mechanism", "PLAIN")]),
                "sasl.mechanism is PLAIN, but sasl.jaas.config is not set",
            ),
            (
                check(&[("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", krb)]),
                "client property sasl.jaas.config names the login module com.sun.security",
            ),
            (
                check(&[("sasl.mechanism", "PLAIN"), ("sasl.login.class", "x.Y")]),
                "client property sasl.login.class is refused",
            ),
        ];
        for (got, answer) in cases {
            assert!(got.starts_with(answer), "{got}\nis not: {answer}");
        }
    }
}
