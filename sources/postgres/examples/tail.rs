//! Prints the change events of a database, without a worker:
//!
//! ```text
//! cargo run -p riverrun-source-postgres --example tail -- database.hostname=localhost \
//!     database.user=postgres database.dbname=shop topic.prefix=shop plugin.name=pgoutput
//! ```

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use model::{
    connector::{Object, OffsetReader, Start, outbox},
    error::Result,
};

struct Fresh;

#[async_trait]
impl OffsetReader for Fresh {
    async fn offset(&self, _partition: &Object) -> Result<Option<Object>> {
        Ok(None)
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let props: BTreeMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.into(), value.into())))
        .collect();
    let connector = riverrun_source_postgres::connector();
    let pairs = props.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let config = connector.config().parse(pairs).map_err(|errors| errors.join("\n"))?;
    let start = Start {
        connector: "tail".into(),
        task: 0,
        offsets: Arc::new(Fresh),
        gauges: Default::default(),
        progress: Default::default(),
        topics: model::topics::NoTopics::shared(),
    };
    let mut task = connector.start(config, start).await?;
    let (mut out, mut inbox) = outbox(2);
    let run = tokio::spawn(async move { task.run(&mut out).await });
    let options = BTreeMap::from([("schemas.enable".to_owned(), "false".to_owned())]);
    let mut converter = codec::converter("JsonConverter", &options, codec::Role::Value)
        .map_err(|errors| format!("{errors:?}"))?;
    while let Some(batch) = inbox.batches.recv().await {
        for record in batch.records {
            let mut line = format!("{} ", record.topic).into_bytes();
            for data in [&record.key, &record.value] {
                let mut encoder = converter.encoder(&record.topic, data.schema.as_ref()).await?;
                encoder.encode(data.value.as_ref(), &mut line)?;
                line.push(b' ');
            }
            println!("{}", String::from_utf8_lossy(&line));
        }
        inbox.acked.send_replace(batch.position);
    }
    Ok(run.await??)
}
