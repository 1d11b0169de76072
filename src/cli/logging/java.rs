//! The names that Kafka Connect's and Debezium's loggers have, for those of this program.
//!
//! People set `org.apache.kafka.connect.runtime` to DEBUG because a manual says so. Each target of
//! ours has a Java name beside its own, so that such a name has an effect: the class that does the
//! same there, or its package.

/// Java's name, and the target of ours that it stands for. The longest target that fits counts.
const NAMES: &[(&str, &str)] = &[
    ("org.apache.kafka.connect", "riverrun"),
    ("org.apache.kafka.connect.cli", "riverrun.cli"),
    ("org.apache.kafka.connect.runtime.Loggers", "riverrun.cli.logging"),
    ("org.apache.kafka.connect.runtime", "riverrun.runtime"),
    ("org.apache.kafka.connect.runtime.WorkerSourceTask", "riverrun.runtime.source"),
    ("org.apache.kafka.connect.runtime.WorkerSinkTask", "riverrun.runtime.sink"),
    ("org.apache.kafka.connect.runtime.WorkerTask", "riverrun.runtime.supervise"),
    ("org.apache.kafka.connect.runtime.SubmittedRecords", "riverrun.runtime.ledger"),
    ("org.apache.kafka.connect.runtime.ConnectMetrics", "riverrun.metrics"),
    ("org.apache.kafka.connect.runtime", "riverrun.herder"),
    ("org.apache.kafka.connect.runtime.AbstractHerder", "riverrun.herder.validate"),
    ("org.apache.kafka.connect.runtime.WorkerConnector", "riverrun.herder.connector"),
    ("org.apache.kafka.connect.runtime.WorkerConfig", "riverrun.herder.worker_config"),
    ("org.apache.kafka.connect.runtime.standalone", "riverrun.herder.standalone"),
    ("org.apache.kafka.connect.runtime.distributed", "riverrun.herder.distributed"),
    ("org.apache.kafka.connect.runtime.distributed", "riverrun.group"),
    ("org.apache.kafka.connect.runtime.isolation.Plugins", "riverrun.plugins"),
    ("org.apache.kafka.connect.runtime.rest", "riverrun.rest"),
    ("org.apache.kafka.connect.runtime.rest.RestServer", "riverrun.rest.server"),
    ("org.apache.kafka.connect.runtime.rest.RestServer", "riverrun.rest.access"),
    ("org.apache.kafka.connect.runtime.rest.RestClient", "riverrun.rest.client"),
    ("org.apache.kafka.connect.storage", "riverrun.storage"),
    ("org.apache.kafka.connect.storage.FileOffsetBackingStore", "riverrun.herder.offset_file"),
    ("org.apache.kafka.clients", "riverrun.kafka"),
    ("org.apache.kafka.clients.producer", "riverrun.kafka.producer"),
    ("org.apache.kafka.clients.consumer", "riverrun.kafka.consumer"),
    ("org.apache.kafka.clients.admin", "riverrun.kafka.admin"),
    ("org.apache.kafka.connect.json", "riverrun_codec.json"),
    ("org.apache.kafka.connect.converters", "riverrun_codec"),
    ("org.apache.kafka.connect.transforms", "riverrun_transforms"),
    ("org.apache.kafka.connect.file", "riverrun_sink_stream.file"),
    ("io.debezium.relational", "riverrun_relational"),
    ("io.debezium.pipeline", "riverrun_snapshot"),
    ("io.debezium.connector.postgresql", "riverrun_source_postgres"),
    ("io.debezium.connector.postgresql.connection", "riverrun_source_postgres.wire"),
    ("io.debezium.connector.postgresql.connection", "riverrun_source_postgres.session"),
];

/// The Java name of a target of ours: the one that stands for it or for what it is part of, and the
/// rest of its name. `None` for targets of libraries.
pub(super) fn name(target: &str) -> Option<String> {
    let fitting = NAMES.iter().filter(|(_, ours)| super::covers(ours, target));
    let (java, ours) = fitting.max_by_key(|(_, ours)| ours.len())?;
    Some(format!("{java}{}", target.strip_prefix(ours)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_target_that_fits_counts() {
        for (target, java) in [
            ("riverrun", Some("org.apache.kafka.connect")),
            ("riverrun.runtime.source", Some("org.apache.kafka.connect.runtime.WorkerSourceTask")),
            ("riverrun.group.member", Some("org.apache.kafka.connect.runtime.distributed.member")),
            ("riverrun_source_postgres.stream", Some("io.debezium.connector.postgresql.stream")),
            ("riverrunning", None),
            ("tokio_postgres.connect", None),
        ] {
            assert_eq!(name(target).as_deref(), java, "{target}");
        }
    }
}
