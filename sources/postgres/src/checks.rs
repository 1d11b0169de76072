//! Checks of keys that only this connector has, with Debezium's reasons.

use model::config::{Given, one_of};
use relational::{checks::pairs, config as common, names::Strategy};

pub(crate) fn slot_name(given: Option<&str>) -> Vec<String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match given {
        Some(text) if text.is_empty() || text.len() > 63 || !text.chars().all(valid) => vec![
            "Valid replication slot name must contain only digits, lowercase characters and \
             underscores with length <= 63"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// The form of an entry of `replica.identity.autoset.values`.
pub(crate) const REPLICA_IDENTITY: &str = r"(?i)^\s*(?<tablepredicate>[^\s:]+):(?<replicaidentity>DEFAULT|(INDEX) (?<indexname>.\w*)|FULL|NOTHING)\s*$";

pub(crate) fn replica_identities(given: Option<&str>) -> Vec<String> {
    relational::checks::entries(given, ',', REPLICA_IDENTITY)
}

pub(crate) fn naming(given: Option<&str>) -> Vec<String> {
    let wrong = relational::checks::class(given);
    match given.map(Strategy::parse) {
        Some(Err(reason)) if wrong.is_empty() => vec![reason],
        _ => wrong,
    }
}

/// The only locks are those of the modes none and shared.
pub(crate) fn locking_mode(given: Option<&str>) -> Vec<String> {
    match given.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some("custom") => vec!["custom is not supported; use none or shared".to_owned()],
        _ => one_of(given, &["shared", "custom", "none"]),
    }
}

/// A custom query is made by a Java class.
pub(crate) fn query_mode(given: Option<&str>) -> Vec<String> {
    match given.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some("custom") => vec![
            "custom is not supported, as it names a Java class; use select_all and snapshot.select.statement.overrides".to_owned(),
        ],
        _ => one_of(given, &["custom", "select_all"]),
    }
}

/// `signal.enabled.channels`
pub(crate) fn signal_channels(given: Option<&str>) -> Vec<String> {
    channels(
        given,
        &["source", "kafka", "file", "jmx", "in-process"],
        |_| "it is no channel; use source, kafka or file",
    )
}

/// `notification.enabled.channels`
pub(crate) fn notification_channels(given: Option<&str>) -> Vec<String> {
    channels(given, &["sink", "log", "jmx"], |name| match name {
        "http" => "this version sends no notifications over HTTP yet; use sink or log",
        _ => "it is no channel; use sink or log",
    })
}

fn channels(
    given: Option<&str>,
    known: &[&str],
    why: impl Fn(&str) -> &'static str,
) -> Vec<String> {
    let names = given.unwrap_or_default().split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty() && !known.contains(name))
        .map(|name| format!("channel {name} is not supported: {}", why(name)))
        .collect()
}

/// Parameters for the plug-in, `name=value`, separated by semicolons.
///
/// # Errors
///
/// The first that would change what the stream is made of to what is not understood, and those that
/// the server refuses together.
pub(crate) fn parse_stream_params(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut params: Vec<(String, String)> = Vec::new();
    for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
        let Some((name, value)) = pair.split_once('=').filter(|(_, value)| !value.contains('='))
        else {
            return Err(format!("{pair:?} has an invalid format (expecting name=value)"));
        };
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        let lower = value.to_ascii_lowercase();
        let off = matches!(lower.as_str(), "off" | "false");
        let on = matches!(lower.as_str(), "on" | "true");
        let wanted = match name.as_str() {
            "proto_version" => {
                (!matches!(lower.as_str(), "1" | "2" | "3" | "4")).then_some("use 1, 2, 3 or 4")
            }
            "streaming" => {
                (!on && !off && lower != "parallel").then_some("use off, on or parallel")
            }
            "binary" => (!on && !off).then_some("use true or false"),
            "two_phase" => (!off).then_some(
                "a transaction that was sent with PREPARE TRANSACTION would be lost if this \
                 connector restarts before COMMIT PREPARED; remove it, then it is sent with \
                 COMMIT PREPARED",
            ),
            _ => None,
        };
        if let Some(wanted) = wanted {
            return Err(format!("{name}={value} is not supported: {wanted}"));
        }
        params.push((name, value));
    }
    let value = |name: &str| params.iter().find(|(n, _)| n == name).map(|(_, value)| &**value);
    let needed = match value("streaming").map(str::to_ascii_lowercase).as_deref() {
        Some("on" | "true") => "2",
        Some("parallel") => "4",
        _ => "1",
    };
    if value("proto_version").unwrap_or("1") < needed {
        return Err(format!(
            "streaming={} needs proto_version={needed} or higher; add it",
            value("streaming").unwrap_or_default()
        ));
    }
    Ok(params)
}

/// Whether values are asked for in binary form.
pub(crate) fn binary(params: &[(String, String)]) -> bool {
    let given = params.iter().find(|(name, _)| name == "binary");
    given.is_some_and(|(_, value)| ["on", "true"].contains(&&*value.to_ascii_lowercase()))
}

/// Our own key: how many bytes of memory transactions in progress may take.
pub(crate) const STREAM_MEMORY: &str = "slot.stream.memory.max.bytes";

/// Our own key: where that of them lies that memory has no room for.
pub(crate) const SPILL_DIRECTORY: &str = "slot.stream.spill.directory";

/// The value of [`STREAM_MEMORY`].
pub(crate) fn stream_memory(given: Option<&str>) -> Result<usize, String> {
    // With rows of 1 MB a worker stays well under 120 MB then, and files are written in large pieces.
    const DEFAULT: usize = 16 << 20;
    // Below it most writes to files would be of a row or two.
    const MIN: usize = 256 << 10;
    let Some(given) = given else { return Ok(DEFAULT) };
    match given.trim().parse::<usize>() {
        Ok(bytes) if bytes >= MIN => Ok(bytes),
        _ => Err(format!(
            "The '{STREAM_MEMORY}' value is invalid: {given:?} is not a number of bytes of at least {MIN}"
        )),
    }
}

pub(crate) fn stream_params(given: Option<&str>) -> Vec<String> {
    given.and_then(|text| parse_stream_params(text).err()).into_iter().collect()
}

/// Tags become properties of a JMX name.
pub(crate) fn metric_tags(given: Option<&str>) -> Vec<String> {
    let wrong = pairs(given);
    if !wrong.is_empty() {
        return wrong;
    }
    let keys = given.unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
    keys.map(|(key, _)| key.trim())
        .filter(|key| key.is_empty() || key.contains([',', '=', ':', '*', '?', '"']))
        .map(|key| {
            format!("The custom metric tag key '{key}' is not a valid JMX ObjectName property key")
        })
        .collect()
}

/// A key whose values name Java classes, of which there is one here: the default, under its own name.
pub(crate) fn only_class(given: Option<&str>, known: &str) -> Vec<String> {
    match given.map(str::trim) {
        Some(class) if class != known => {
            let wrong = relational::checks::class(given);
            if wrong.is_empty() && !class.is_empty() {
                return vec![format!(
                    "{class} is a Java class, which can't be loaded here; only {known} is supported"
                )];
            }
            wrong
        }
        _ => Vec::new(),
    }
}

/// A key whose values name Java classes, of which there is none here.
pub(crate) fn no_class(given: Option<&str>) -> Vec<String> {
    match given.map(str::trim) {
        Some(class) if !class.is_empty() => {
            vec![format!("{class} is a Java class, which can't be loaded here; remove the key")]
        }
        _ => Vec::new(),
    }
}

pub(crate) fn converters(given: Option<&str>) -> Vec<String> {
    match given.map(str::trim) {
        Some(names) if !names.is_empty() => vec![format!(
            "the converters {names} are Java classes, which can't be loaded here; remove the key, and see the keys of modes (decimal.handling.mode and others) for other forms of values"
        )],
        _ => Vec::new(),
    }
}

pub(crate) fn no_lineage(given: Option<&str>) -> Vec<String> {
    let wrong = relational::checks::boolean(given);
    match given.map(str::trim) {
        Some(text) if wrong.is_empty() && text.eq_ignore_ascii_case("true") => {
            vec!["sending lineage events is not supported; set it to false".to_owned()]
        }
        _ => wrong,
    }
}

/// `database.include.list` and `database.exclude.list`, which make no sense where there is one.
pub(crate) fn databases(given: Option<&str>, all: &Given<'_>, which: &str) -> Vec<String> {
    let wrong = match which {
        "EXCLUDE" => relational::checks::exclude_list(given, all, "database.include.list"),
        _ => relational::checks::regexes(given),
    };
    match given.map(str::trim) {
        Some(list) if wrong.is_empty() && !list.is_empty() => vec![
            "a PostgreSQL connector reads the one database that database.dbname names; remove the key".to_owned(),
        ],
        _ => wrong,
    }
}

pub(crate) fn snapshot_mode(given: Option<&str>) -> Vec<String> {
    match given.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some(mode @ "custom") => vec![format!(
            "{mode} is not supported; use always, initial, initial_only, no_data, when_needed or configuration_based"
        )],
        _ => one_of(given, common::SNAPSHOT_MODE.spec.recommended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_classes_are_refused_by_name() {
        assert!(only_class(None, "a.B").is_empty() && only_class(Some("a.B"), "a.B").is_empty());
        let [reason] = only_class(Some("c.D"), "a.B").try_into().unwrap();
        assert!(reason.contains("c.D") && reason.contains("only a.B"), "{reason}");
        assert!(no_class(Some("")).is_empty());
        assert!(no_class(Some("org.postgresql.ssl.NonValidatingFactory"))[0].contains("remove"));
        assert!(converters(Some("isbn"))[0].contains("isbn"));
        assert!(no_lineage(Some("false")).is_empty() && !no_lineage(Some("TRUE")).is_empty());
        assert_eq!(no_lineage(Some("bogus")), relational::checks::boolean(Some("bogus")));
        let none = Given::new();
        assert!(databases(None, &none, "INCLUDE").is_empty());
        assert!(databases(Some("shop"), &none, "INCLUDE")[0].contains("database.dbname"));
        assert!(databases(Some("shop"), &none, "EXCLUDE")[0].contains("database.dbname"));
    }

    #[test]
    fn parameters_of_the_stream() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse_stream_params("origin=none; messages=false;").unwrap(),
            [pair("origin", "none"), pair("messages", "false")]
        );
        for right in [
            "proto_version=1;streaming=off",
            "proto_version=2;streaming=on",
            "streaming = parallel; proto_version = 4; origin=none",
            "proto_version=3;two_phase=off;binary=false",
            "binary=true",
        ] {
            assert!(parse_stream_params(right).is_ok(), "{right}");
        }
        for wrong in [
            "streaming=on",
            "proto_version=1;streaming=true",
            "proto_version=3;streaming=parallel",
            "proto_version=5",
            "streaming=1;proto_version=2",
            "binary=1",
            "proto_version=3;two_phase=on",
            "origin",
        ] {
            assert!(parse_stream_params(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_of_transactions_in_progress() {
        assert_eq!(stream_memory(None), Ok(16_777_216));
        assert_eq!(stream_memory(Some(" 4194304 ")), Ok(4_194_304));
        for wrong in ["", "0", "262143", "-1", "32MB"] {
            assert!(stream_memory(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
