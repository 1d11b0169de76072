//! Logins in the configuration, see [`crate::fuzz`].

use super::jaas;

/// `sasl.jaas.config`: what is written from an entry is read as that entry.
pub fn jaas(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(entry) = jaas::entry(&text) else { return };
    let quoted = |text: &str| {
        let mut out = String::from('"');
        for char in text.chars() {
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                // No line goes on within quotes.
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                _ => out.push(char),
            }
        }
        out.push('"');
        out
    };
    let mut written = format!("{} required", quoted(&entry.module));
    for (key, value) in &entry.options {
        written.push_str(&format!(" {}={}", quoted(key), quoted(value.expose())));
    }
    written.push(';');
    assert_eq!(jaas::entry(&written).as_ref(), Ok(&entry));
}
