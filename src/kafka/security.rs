//! TLS and SASL properties of the Java client, as librdkafka wants them.

use std::collections::BTreeMap;

use model::error::{Error, Result};
use rdkafka::ClientConfig;

type Layers = BTreeMap<String, String>;

pub(super) fn translate(layers: &Layers, client: &mut ClientConfig) -> Result<()> {
    let protocol = layers.get("security.protocol").map_or("PLAINTEXT", String::as_str);
    match protocol.to_ascii_uppercase().as_str() {
        "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL" => {}
        _ => {
            return Err(Error::fatal(format!(
                "client property security.protocol is {protocol:?}; it can be PLAINTEXT, SSL, \
                 SASL_PLAINTEXT or SASL_SSL"
            )));
        }
    }
    let protocol = protocol.to_ascii_lowercase();
    client.set("security.protocol", &protocol);
    // Java reads stores only when the protocol needs them, and workers often name them anyway.
    if protocol.ends_with("ssl") {
        tls(layers, client)?;
    }
    if protocol.starts_with("sasl") {
        sasl(layers, client)?;
    }
    Ok(())
}

fn get<'l>(layers: &'l Layers, key: &str) -> Option<&'l str> {
    layers.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

fn tls(layers: &Layers, client: &mut ClientConfig) -> Result<()> {
    for key in ["ssl.engine.factory.class", "ssl.provider", "ssl.cipher.suites"] {
        if get(layers, key).is_some() {
            return Err(Error::fatal(format!(
                "client property {key} is refused: it names a part of the JVM; remove it"
            )));
        }
    }
    if let Some(check) = layers.get("ssl.endpoint.identification.algorithm") {
        let check = if check.is_empty() { "none" } else { check.as_str() };
        client.set("ssl.endpoint.identification.algorithm", check);
    }
    if let Some(password) = get(layers, "ssl.key.password") {
        client.set("ssl.key.password", password);
    }
    match (store(layers, "keystore")?, get(layers, "ssl.keystore.location")) {
        (Store::Pem, Some(path)) => {
            client.set("ssl.certificate.location", path);
            client.set("ssl.key.location", path);
        }
        (Store::Pkcs12, Some(path)) => {
            client.set("ssl.keystore.location", path);
            if let Some(password) = get(layers, "ssl.keystore.password") {
                client.set("ssl.keystore.password", password);
            }
        }
        (_, None) => {
            if let Some(key) = get(layers, "ssl.keystore.key") {
                client.set("ssl.key.pem", key);
            }
            if let Some(chain) = get(layers, "ssl.keystore.certificate.chain") {
                client.set("ssl.certificate.pem", chain);
            }
        }
    }
    match (store(layers, "truststore")?, get(layers, "ssl.truststore.location")) {
        (Store::Pem, Some(path)) => {
            client.set("ssl.ca.location", path);
        }
        (Store::Pkcs12, Some(path)) => {
            return Err(Error::fatal(format!(
                "client property ssl.truststore.location names {path}, a PKCS12 store, which is \
                 not read here; write its certificates to a file with `openssl pkcs12 -in {path} \
                 -nokeys -out ca.pem` and set ssl.truststore.type=PEM"
            )));
        }
        (_, None) => {
            if let Some(certificates) = get(layers, "ssl.truststore.certificates") {
                client.set("ssl.ca.pem", certificates);
            }
        }
    }
    Ok(())
}

enum Store {
    Pem,
    Pkcs12,
}

/// The kind of a store that is named, by its type or, as people rarely set that, by its file name.
fn store(layers: &Layers, which: &str) -> Result<Store> {
    let Some(path) = get(layers, &format!("ssl.{which}.location")) else { return Ok(Store::Pem) };
    let kind = get(layers, &format!("ssl.{which}.type")).unwrap_or("JKS");
    let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match kind.to_ascii_uppercase().as_str() {
        "PEM" => Ok(Store::Pem),
        "PKCS12" => Ok(Store::Pkcs12),
        // Java opens a PKCS12 file under the type JKS too.
        "JKS" if matches!(ending.as_str(), "p12" | "pfx" | "pkcs12") => Ok(Store::Pkcs12),
        "JKS" => Err(Error::fatal(format!(
            "client property ssl.{which}.location names {path}, a Java key store, which is not \
             read here; convert it with `keytool -importkeystore -srckeystore {path} \
             -destkeystore {which}.p12 -deststoretype PKCS12`, then `openssl pkcs12 -in \
             {which}.p12 -out {which}.pem -nodes`, and set ssl.{which}.type=PEM"
        ))),
        _ => Err(Error::fatal(format!(
            "client property ssl.{which}.type is {kind:?}; it can be PEM or PKCS12"
        ))),
    }
}

fn sasl(layers: &Layers, client: &mut ClientConfig) -> Result<()> {
    let mechanism = get(layers, "sasl.mechanism").unwrap_or("GSSAPI");
    if !matches!(mechanism, "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") {
        return Err(Error::fatal(format!(
            "client property sasl.mechanism is {mechanism}; this version has PLAIN, \
             SCRAM-SHA-256 and SCRAM-SHA-512"
        )));
    }
    for key in ["sasl.client.callback.handler.class", "sasl.login.callback.handler.class"] {
        if get(layers, key).is_some() {
            return Err(Error::fatal(format!(
                "client property {key} is refused: Java classes cannot be loaded here; put the \
                 user and password into sasl.jaas.config"
            )));
        }
    }
    let jaas = get(layers, "sasl.jaas.config").ok_or_else(|| {
        Error::fatal(format!("sasl.mechanism is {mechanism}, but sasl.jaas.config is not set"))
    })?;
    let (user, password) = login(jaas).map_err(|wrong| {
        Error::fatal(format!(
            "client property sasl.jaas.config {wrong}; it looks like \
             `org.apache.kafka.common.security.plain.PlainLoginModule required username=\"…\" \
             password=\"…\";`"
        ))
    })?;
    client.set("sasl.mechanism", mechanism);
    client.set("sasl.username", user);
    client.set("sasl.password", password);
    Ok(())
}

/// The user and password of a JAAS entry: `Module flag key="value" …;`.
fn login(jaas: &str) -> Result<(String, String), &'static str> {
    let words = words(jaas)?;
    let [module, flag, options @ ..] = words.as_slice() else {
        return Err("has no options");
    };
    let known = ["plain.PlainLoginModule", "scram.ScramLoginModule"];
    if !known.iter().any(|known| module.ends_with(known)) {
        return Err("names a login module other than PlainLoginModule and ScramLoginModule");
    }
    if !["required", "requisite", "sufficient", "optional"].contains(&flag.to_lowercase().as_str())
    {
        return Err("has no control flag after the login module");
    }
    let option = |name: &str| {
        options
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    Ok((option("username").ok_or("has no username")?, option("password").ok_or("has no password")?))
}

/// Splits at blanks; quotes keep blanks together and are taken off; the entry ends at `;`.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(_), '\\') => word.extend(chars.next()),
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => word.push(char),
            (None, '"' | '\'') => quote = Some(char),
            (None, ';') => {
                if !word.is_empty() {
                    words.push(word);
                }
                return Ok(words);
            }
            (None, _) if char.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, _) => word.push(char),
        }
    }
    Err(if quote.is_some() { "has an open quote" } else { "does not end with `;`" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let check = |jaas: &str| match login(jaas) {
            Ok((user, password)) => format!("{user} {password}"),
            Err(wrong) => wrong.to_owned(),
        };
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let cases = [
            (format!("{plain} required username=\"ann\" password=\"p w;'\\\"x\";"), "ann p w;'\"x"),
            (format!("{plain} required\n  username='ann'\n password='x' ;"), "ann x"),
            (format!("{plain} required username=\"ann\";"), "has no password"),
            (format!("{plain} required username=\"ann\" password=\"x\""), "does not end with `;`"),
            (format!("{plain} required username=\"ann;"), "has an open quote"),
            (
                format!("{plain} username=\"ann\" password=\"x\";"),
                "has no control flag after the login module",
            ),
            (
                "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;".to_owned(),
                "names a login module other than PlainLoginModule and ScramLoginModule",
            ),
        ];
        for (jaas, answer) in cases {
            assert_eq!(check(&jaas), answer, "{jaas}");
        }
    }
}
