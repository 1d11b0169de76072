//! `/connector-plugins`: what there is, its keys, and validation.

use serde::Serialize;

use super::{Answer, Api, Call, Outcome, body};
use crate::{
    herder::{Refusal, validate, versions::Range},
    plugins,
};

#[derive(Serialize)]
struct PluginInfo {
    class: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
}

pub(super) fn list(call: &Call<'_>) -> Answer {
    let connector = |plugin: &plugins::Plugin| PluginInfo {
        class: plugin.class(),
        kind: plugin.kind(),
        version: plugin.version(),
    };
    let mut all: Vec<PluginInfo> = plugins::connectors().iter().map(connector).collect();
    if !call.flag("connectorsOnly", true) {
        all.extend(transforms::plugins().iter().map(|plugin| PluginInfo {
            class: plugin.class,
            kind: plugin.kind.name(),
            version: plugin.version,
        }));
        all.extend(plugins::converters().iter().map(|plugin| PluginInfo {
            class: plugin.class,
            kind: plugin.kind,
            version: plugin.version,
        }));
    }
    Answer::ok(&all)
}

/// The plugin's own keys, then those every connector has and it does not define itself.
pub(super) fn keys(call: &Call<'_>) -> Outcome {
    let class = call.route.name.as_str();
    let wanted = call.query.iter().find(|(key, _)| key == "version").map(|(_, value)| value);
    let check_version = |class: &str, versions: &[&str]| {
        let Some(wanted) = wanted else { return Ok(()) };
        let range = Range::parse(wanted).map_err(|_| {
            Answer::from(Refusal::new(400, format!("Invalid version specification: {wanted}")))
        })?;
        match range {
            Some(range) if !versions.iter().any(|version| range.has(version)) => {
                Err(Answer::from(Refusal::new(
                    400,
                    format!(
                        "Plugin {class} not found that matches the version range {range}, available \
                         versions: [{}]",
                        versions.join(", ")
                    ),
                )))
            }
            _ => Ok(()),
        }
    };
    if let Some(plugin) = plugins::connector(class) {
        check_version(plugin.class(), &[plugin.version()])?;
        let mut keys = plugin.config().keys();
        let base = validate::base_keys_of(plugin);
        keys.extend(base.into_iter().filter(|key| !plugin.config().has(&key.name)));
        return Ok(Answer::ok(&keys));
    }
    if let Some(plugin) = transforms::find(class) {
        check_version(plugin.class, &[plugin.version])?;
        return Ok(Answer::ok(&plugin.config.keys()));
    }
    let converter = plugins::converter("converter", class)
        .or_else(|| plugins::converter("header_converter", class));
    match converter {
        Some(plugin) => {
            check_version(plugin.class, &plugins::converter_versions(plugin.class))?;
            Ok(Answer::ok(&plugin.config.keys()))
        }
        // A class that is there and is not one to be used.
        None if transforms::variants(class).next().is_some() => {
            Err(Refusal::new(500, "Instantiation error").into())
        }
        None => Err(Refusal::new(404, format!("Unknown plugin {class}.")).into()),
    }
}

pub(super) async fn validate(api: &Api, call: &Call<'_>) -> Outcome {
    let class = call.route.name.as_str();
    let config = body::some_config(call)?;
    if let Some(included) = config.get("connector.class")
        && !simple(included).ends_with(simple(class))
    {
        let text =
            format!("Included connector type {included} does not match request type {class}");
        return Err(Refusal::new(400, text).into());
    }
    let validated = api.herder.validate(&config).await;
    // Connect wraps what it cannot validate at all.
    let infos = validated.map_err(|refusal| match refusal.status {
        400 => Refusal::new(
            500,
            format!(
                "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: {}",
                refusal.message
            ),
        ),
        _ => refusal,
    })?;
    Ok(Answer::ok(&infos))
}

fn simple(class: &str) -> &str {
    class.strip_suffix("Connector").unwrap_or(class)
}
