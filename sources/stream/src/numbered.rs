//! What the sources have in common that number their records: a task has an `id`, which is its
//! source partition, and each record has a `seqno`, which is its offset.

use std::{str::FromStr, sync::Arc};

use model::{
    config::Config,
    connector::{Object, OffsetReader, Props},
    error::{Error, Result},
    record::Position,
};

/// A copy of the configuration for each of `tasks_max` tasks, with its `id`.
pub(crate) fn task_configs(props: &Props, tasks_max: usize) -> Vec<Props> {
    let task = |id: usize| {
        let mut props = props.clone();
        props.insert("id".to_owned(), id.to_string());
        props
    };
    (0..tasks_max).map(task).collect()
}

/// A number out of a configuration that nothing has checked. `task` names the task's class, for the
/// error.
pub(crate) fn number<N: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    config: &Config,
    key: &str,
    task: &str,
) -> Result<N> {
    let invalid = || Error::fatal(format!("Invalid {task} configuration"));
    let text = config.prop(key).ok_or_else(|| invalid().caused_by(format!("{key} is not set")))?;
    text.parse().map_err(|error: N::Err| {
        let cause = Error::fatal(format!("{key} is not a number: {text}")).caused_by(error);
        invalid().caused_by(cause)
    })
}

/// Where one task's records are in its numbers. The last number is followed by the least, as Java's
/// `long` wraps.
pub(crate) struct Numbers {
    partition: Arc<Object>,
    /// Of the first record since the start of the task.
    first: i64,
    /// Of the next record.
    pub(crate) next: i64,
}

impl Numbers {
    /// Goes on after the stored offset.
    pub(crate) async fn resume(id: i32, offsets: &dyn OffsetReader) -> Result<Self> {
        let partition = Object::from_iter([("id".to_owned(), id.into())]);
        let stored = offsets.offset(&partition).await?;
        let next = match &stored {
            None => 0,
            Some(offset) => {
                let number = offset.get("seqno").and_then(serde_json::Value::as_i64);
                let wrong = || {
                    let offset = serde_json::Value::from(offset.clone());
                    Error::fatal(format!(
                        "resume task {id}: its stored offset {offset} has no seqno that is an \
                         integer; set it with PATCH /connectors/{{name}}/offsets"
                    ))
                };
                number.ok_or_else(wrong)?.wrapping_add(1)
            }
        };
        Ok(Self { partition: Arc::new(partition), first: next, next })
    }

    /// How many records have been made since the start.
    pub(crate) fn count(&self) -> u64 {
        self.next.wrapping_sub(self.first).cast_unsigned()
    }

    /// The number of the next record, which is made now.
    pub(crate) fn take(&mut self) -> i64 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }

    /// The number of the record that was made as the one with this index (from 0) since the start.
    pub(crate) fn at(&self, index: u64) -> i64 {
        self.first.wrapping_add(index.cast_signed())
    }

    /// To resume after the last record made.
    pub(crate) fn position(&self) -> Position {
        let offset = Object::from_iter([("seqno".to_owned(), self.next.wrapping_sub(1).into())]);
        Position { partition: self.partition.clone(), offset }
    }
}
