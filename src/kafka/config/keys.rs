//! The Java client's properties by name, and what becomes of each.

use super::Kind;

/// What becomes of one Java property.
pub(super) enum Action {
    /// It has this name here, and the same values.
    To(&'static str),
    /// It is about the JVM, or has no counterpart that would change what is stored.
    Ignore,
    /// [`super::build`] or [`crate::kafka::security::translate`] reads it.
    Special,
    Refuse(&'static str),
}

pub(super) fn action(kind: Kind, key: &str) -> Option<Action> {
    use Action::{Ignore, Refuse, Special, To};
    Some(match key {
        "bootstrap.servers" => To("bootstrap.servers"),
        "client.id" => To("client.id"),
        "client.dns.lookup" => To("client.dns.lookup"),
        "client.rack" => To("client.rack"),
        "metadata.max.age.ms" => To("metadata.max.age.ms"),
        "metadata.recovery.strategy" => To("metadata.recovery.strategy"),
        "metadata.recovery.rebootstrap.trigger.ms" => {
            To("metadata.recovery.rebootstrap.trigger.ms")
        }
        "send.buffer.bytes" => To("socket.send.buffer.bytes"),
        "receive.buffer.bytes" => To("socket.receive.buffer.bytes"),
        "reconnect.backoff.ms" => To("reconnect.backoff.ms"),
        "reconnect.backoff.max.ms" => To("reconnect.backoff.max.ms"),
        "retry.backoff.ms" => To("retry.backoff.ms"),
        "retry.backoff.max.ms" => To("retry.backoff.max.ms"),
        "socket.connection.setup.timeout.ms" => To("socket.connection.setup.timeout.ms"),
        "connections.max.idle.ms" => Special,
        "enable.metrics.push" => To("enable.metrics.push"),
        "request.timeout.ms" if kind == Kind::Producer => Special,
        "request.timeout.ms" => To("socket.timeout.ms"),
        "default.api.timeout.ms" => Ignore,
        "max.block.ms" => Special,
        "metric.reporters"
        | "metrics.num.samples"
        | "metrics.recording.level"
        | "metrics.sample.window.ms"
        | "auto.include.jmx.reporter"
        | "key.serializer"
        | "value.serializer"
        | "socket.connection.setup.timeout.max.ms"
        | "security.providers"
        | "metadata.max.idle.ms" => Ignore,
        "interceptor.classes" => Refuse("Java classes cannot be loaded here; remove it"),
        "security.protocol"
        | "ssl.keystore.location"
        | "ssl.keystore.password"
        | "ssl.keystore.type"
        | "ssl.keystore.key"
        | "ssl.keystore.certificate.chain"
        | "ssl.key.password"
        | "ssl.truststore.location"
        | "ssl.truststore.password"
        | "ssl.truststore.type"
        | "ssl.truststore.certificates"
        | "ssl.endpoint.identification.algorithm"
        | "ssl.enabled.protocols"
        | "ssl.cipher.suites"
        | "ssl.provider"
        | "ssl.engine.factory.class"
        | "sasl.mechanism"
        | "sasl.jaas.config"
        | "sasl.client.callback.handler.class"
        | "sasl.login.callback.handler.class"
        | "sasl.login.class" => Special,
        "ssl.protocol"
        | "ssl.keymanager.algorithm"
        | "ssl.trustmanager.algorithm"
        | "ssl.secure.random.implementation" => Ignore,
        // Of mechanisms that are refused by name, or of a login that is not renewed by its age.
        _ if ["sasl.kerberos.", "sasl.oauthbearer.", "sasl.login."]
            .iter()
            .any(|mechanism| key.starts_with(mechanism)) =>
        {
            Ignore
        }
        _ if kind != Kind::Producer => return None,
        "acks" => To("acks"),
        "retries" => To("retries"),
        "linger.ms" => To("linger.ms"),
        "batch.size" => To("batch.size"),
        "buffer.memory" | "max.request.size" => Special,
        "compression.type" => Special,
        "compression.gzip.level" | "compression.lz4.level" | "compression.zstd.level" => Special,
        "max.in.flight.requests.per.connection" => To("max.in.flight.requests.per.connection"),
        "enable.idempotence" => To("enable.idempotence"),
        "delivery.timeout.ms" => To("delivery.timeout.ms"),
        "transactional.id" | "transaction.timeout.ms" | "transaction.two.phase.commit.enable" => {
            Refuse("transactions belong to exactly-once sources, which this version does not have")
        }
        "partitioner.class" => Refuse(
            "Java classes cannot be loaded here; without it keys go where Java's default \
                    partitioner puts them",
        ),
        "partitioner.ignore.keys" => Special,
        "partitioner.adaptive.partitioning.enable" | "partitioner.availability.timeout.ms" => {
            Ignore
        }
        _ => return None,
    })
}
