//! What the settings of Kafka's clients are, for the answer about `producer.override.…` and its like.
//! The list is data, taken from Kafka's classes.

use std::{collections::HashMap, sync::LazyLock};

use model::config::KeyInfo;

/// Type, importance, clients (`p`, `c`, `a`) and default, by name. A name may stand for two settings.
type Row = (&'static str, &'static str, &'static str, &'static str);

static KEYS: LazyLock<HashMap<&'static str, Vec<Row>>> = LazyLock::new(|| {
    let mut keys: HashMap<_, Vec<Row>> = HashMap::new();
    for line in include_str!("client_keys.txt").lines() {
        let fields: Vec<&'static str> = line.split('\t').collect();
        if let [name, kind, importance, clients, default] = fields[..] {
            keys.entry(name).or_default().push((kind, importance, clients, default));
        }
    }
    keys
});

/// The definition of a setting, under the name it has in a connector's configuration.
pub(super) fn definition(client: char, key: &str, name: &str) -> Option<KeyInfo> {
    let rows = KEYS.get(key)?;
    let (kind, importance, _, default) =
        rows.iter().find(|(_, _, clients, _)| clients.contains(client))?;
    Some(KeyInfo {
        name: name.to_owned(),
        kind,
        required: *default == "!",
        default_value: match *default {
            "!" | "~" => None,
            default => Some(default.to_owned()),
        },
        importance,
        documentation: "A setting of the connector's Kafka client.".to_owned(),
        group: None,
        order_in_group: -1,
        width: "NONE",
        display_name: key.to_owned(),
        dependents: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let lines = include_str!("client_keys.txt").lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.clone().count(), KEYS.values().map(Vec::len).sum::<usize>());
        let of =
            |client, key| definition(client, key, "x").map(|key| (key.kind, key.default_value));
        assert_eq!(of('p', "linger.ms"), Some(("LONG", Some("5".to_owned()))));
        assert_eq!(of('c', "max.poll.records"), Some(("INT", Some("500".to_owned()))));
        assert_eq!(of('c', "linger.ms"), None);
        assert_eq!(of('a', "ssl.key.password"), Some(("PASSWORD", None)));
    }
}
