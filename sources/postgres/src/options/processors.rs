//! `post.processors`: what events go through after they are made.

use model::config::Config;
use relational::filters::Filter;

use crate::stream::Reselected;

const RESELECT: &str = "io.debezium.processors.reselect.ReselectColumnsPostProcessor";

/// What to read again; `None` when no processor is configured.
///
/// # Errors
///
/// What this version does not have, and what Debezium would not take.
pub(crate) fn reselect(config: &Config) -> Result<Option<Reselected>, String> {
    let names = config.find(&relational::config::POST_PROCESSORS).unwrap_or_default();
    let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let Some(name) = names.next() else { return Ok(None) };
    if let Some(second) = names.next() {
        return Err(format!(
            "post processor {second}: a second one is not supported; list all columns under {name}"
        ));
    }
    // The second form is the one of Debezium's first versions.
    let deprecated = format!("post.processors.{name}");
    let given =
        |prefix: &str| config.props().keys().any(|key| key.starts_with(&format!("{prefix}.")));
    let prefix = if given(name) { name } else { &deprecated };
    let option = |key: &str| config.prop(&format!("{prefix}.{key}")).map(str::trim);
    match option("type") {
        Some(RESELECT) => {}
        Some(class) => {
            return Err(format!("post processor {name}: {class} is not supported; use {RESELECT}"));
        }
        None => {
            return Err(format!(
                "Post processor '{name}' is missing '{name}.type' and/or '{name}.<option>' configurations"
            ));
        }
    }
    let boolean = |key: &str, default: bool| match option(key).map(str::to_ascii_lowercase) {
        None => Ok(default),
        Some(text) => match text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{prefix}.{key}={text} is neither true nor false")),
        },
    };
    if boolean("reselect.cache.enabled", false)? {
        return Err(format!(
            "{prefix}.reselect.cache.enabled=true is not supported; remove it, then each value is read from the table"
        ));
    }
    let strict = match option("reselect.error.handling.mode").map(str::to_ascii_lowercase) {
        None => false,
        Some(mode) => match mode.as_str() {
            "warn" => false,
            "fail" => true,
            _ => {
                return Err(format!(
                    "{prefix}.reselect.error.handling.mode={mode} is not one of warn, fail"
                ));
            }
        },
    };
    let settings = Reselected {
        columns: Filter::new(
            option("reselect.columns.include.list"),
            option("reselect.columns.exclude.list"),
        )
        .map_err(|error| format!("post processor {name}: {error}"))?,
        unavailable: boolean("reselect.unavailable.values", true)?,
        nulls: boolean("reselect.null.values", true)?,
        event_key: boolean("reselect.use.event.key", false)?,
        strict,
    };
    if !settings.unavailable && !settings.nulls {
        tracing::warn!(
            "post processor {name} reads neither null nor unavailable values again, so it does nothing"
        );
        return Ok(None);
    }
    Ok(Some(settings))
}
