//! Putting an end to transactional producers that tasks of before may still have.

use std::time::Duration;

use futures_util::future::try_join_all;
use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::kafka::{Context, own_topic};

/// How long one producer's fencing may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Fences the producers of these transactional ids: whoever has one of them is refused from now on.
/// Claiming an id is what does so.
pub(super) async fn fence(worker: &Props, connector: &str, ids: Vec<String>) -> Result<()> {
    let fencing = ids.into_iter().map(|id| async move {
        let mut client = own_topic(worker, "fencing")?.producer;
        client
            .set("transactional.id", &id)
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "5")
            .set("delivery.timeout.ms", "30000")
            .set("transaction.timeout.ms", "60000");
        let failed = |cause: rdkafka::error::KafkaError| {
            Error::retriable(format!("fence transactional id {id} of connector {connector}"))
                .caused_by(cause)
        };
        let context = Context::new(format!("{connector}|worker"));
        let producer: BaseProducer<Context> =
            client.create_with_context(context).map_err(failed)?;
        // librdkafka blocks its caller, also when the client is let go.
        let claimed = tokio::task::spawn_blocking(move || producer.init_transactions(WITHIN)).await;
        claimed
            .map_err(|ended| Error::retriable("the worker stops").caused_by(ended))?
            .map_err(failed)
    });
    try_join_all(fencing).await.map(drop)
}
