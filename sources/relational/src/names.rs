//! Names of topics.

/// Parts of a topic's name joined; what Kafka does not allow becomes `_` (Debezium's
/// `SchemaTopicNamingStrategy` and `DefaultTopicNamingStrategy`).
pub fn data_topic(prefix: &str, delimiter: &str, parts: &[&str]) -> String {
    let mut joined = prefix.to_owned();
    for part in parts.iter().filter(|part| !part.trim().is_empty()) {
        joined.push_str(delimiter);
        joined.push_str(part);
    }
    sanitize(&joined)
}

/// A name that Kafka accepts: other characters than letters, digits, `.`, `_` and `-` become `_`,
/// and it ends after 249 characters.
pub fn sanitize(name: &str) -> String {
    match name {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        name => name
            .encode_utf16()
            .map(|unit| match char::from_u32(u32::from(unit)) {
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
                _ => '_', // Java replaces UTF-16 units, so an emoji becomes two underscores.
            })
            .take(249)
            .collect(),
    }
}
