//! Every connector there is, and the names it goes by. A new one is a line here. Converters and
//! transforms have tables in their own crates.

use std::sync::{Arc, LazyLock};

use model::{
    config::ConfigDef,
    connector::{Props, SinkConnector, SourceConnector, Watch},
};

/// A kind of connector.
#[derive(Clone, Copy)]
pub enum Plugin {
    Source(&'static dyn SourceConnector),
    Sink(&'static dyn SinkConnector),
}

static SOURCES: LazyLock<Vec<Arc<dyn SourceConnector>>> = LazyLock::new(|| {
    let mut sources = source_stream::connectors();
    #[cfg(feature = "postgres")]
    sources.push(source_postgres::connector());
    #[cfg(feature = "mysql")]
    sources.extend(source_mysql::connectors());
    sources
});

static SINKS: LazyLock<Vec<Arc<dyn SinkConnector>>> = LazyLock::new(sink_stream::connectors);

/// The connectors of `GET /connector-plugins`, in its order. Those that Kafka keeps for tests of
/// Connect itself can be used like the others, and are not shown: a Kafka distribution has them in a
/// plugin that users do not install.
pub fn connectors() -> Vec<Plugin> {
    let for_tests = |plugin: &Plugin| plugin.class().starts_with("org.apache.kafka.connect.tools.");
    all().into_iter().filter(|plugin| !for_tests(plugin)).collect()
}

/// Sinks, then sources, each by class.
fn all() -> Vec<Plugin> {
    let sorted = |mut plugins: Vec<Plugin>| {
        plugins.sort_by_key(Plugin::class);
        plugins
    };
    let mut all = sorted(SINKS.iter().map(|sink| Plugin::Sink(sink.as_ref())).collect());
    all.extend(sorted(SOURCES.iter().map(|source| Plugin::Source(source.as_ref())).collect()));
    all
}

/// All converters, then all header converters, each by class.
pub fn converters() -> &'static [codec::Plugin] {
    codec::converters()
}

/// By full name, simple name, or simple name without `Connector`, as Connect finds them.
pub fn connector(class_or_alias: &str) -> Option<Plugin> {
    all().into_iter().find(|plugin| {
        let simple = simple_name(plugin.class());
        class_or_alias == plugin.class()
            || class_or_alias == simple
            || Some(class_or_alias) == simple.strip_suffix("Connector")
            || class_or_alias.strip_suffix("Connector") == Some(simple)
    })
}

/// A converter (or header converter, by `kind`) by full name or alias.
pub fn converter(kind: &str, class_or_alias: &str) -> Option<&'static codec::Plugin> {
    converters().iter().find(|plugin| {
        let simple = simple_name(plugin.class);
        let ending = match simple.ends_with("HeaderConverter") {
            true => "HeaderConverter",
            false => "Converter",
        };
        plugin.kind == kind
            && (class_or_alias == plugin.class
                || class_or_alias == simple
                || Some(class_or_alias) == simple.strip_suffix(ending))
    })
}

/// The versions of a converter's class, once for each kind it is listed as.
pub fn converter_versions(class: &str) -> Vec<&'static str> {
    let of_class = converters().iter().filter(|plugin| plugin.class == class);
    of_class.map(|plugin| plugin.version).collect()
}

/// The class of a plugin of any kind, by full name or alias.
pub fn any_class(class_or_alias: &str) -> Option<&'static str> {
    let connector = || connector(class_or_alias).map(|plugin| plugin.class());
    let converter = |kind| converter(kind, class_or_alias).map(|plugin| plugin.class);
    (transforms::find(class_or_alias).map(|plugin| plugin.class))
        .or_else(|| converter("converter"))
        .or_else(|| converter("header_converter"))
        .or_else(connector)
}

fn simple_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

impl Plugin {
    pub fn class(&self) -> &'static str {
        match self {
            Plugin::Source(source) => source.class(),
            Plugin::Sink(sink) => sink.class(),
        }
    }

    pub fn version(&self) -> &'static str {
        match self {
            Plugin::Source(source) => source.version(),
            Plugin::Sink(sink) => sink.version(),
        }
    }

    pub fn config(&self) -> &'static ConfigDef {
        match self {
            Plugin::Source(source) => source.config(),
            Plugin::Sink(sink) => sink.config(),
        }
    }

    /// As REST names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Plugin::Source(_) => "source",
            Plugin::Sink(_) => "sink",
        }
    }

    /// See [`SourceConnector::not_run`].
    pub fn not_run(&self) -> Option<&'static str> {
        match self {
            Plugin::Source(source) => source.not_run(),
            Plugin::Sink(_) => None,
        }
    }

    /// See [`SourceConnector::watch`].
    pub fn watch<'w>(&self, props: &'w Props) -> Option<Watch<'w>> {
        match *self {
            Plugin::Source(source) => source.watch(props),
            Plugin::Sink(sink) => sink.watch(props),
        }
    }

    /// What stands in the configuration of a task. The JVM's task classes have the connector's name
    /// with `Task` in place of `Connector`.
    pub fn task_class(&self) -> String {
        let class = self.class();
        match class.strip_suffix("Connector") {
            Some(stem) if class.starts_with("io.debezium.") => format!("{stem}ConnectorTask"),
            Some(stem) => format!("{stem}Task"),
            None => format!("{class}Task"),
        }
    }

    /// As Connect prints a plugin in its messages.
    pub fn describe(&self) -> String {
        let (class, version, kind) = (self.class(), self.version(), self.kind());
        format!(
            "PluginDesc{{klass=class {class}, name='{class}', version='{version}', \
             encodedVersion={version}, type={kind}, typeName='{kind}', location='built-in'}}"
        )
    }
}
