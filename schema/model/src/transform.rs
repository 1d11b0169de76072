//! Single message transforms: plain functions on one record.

use crate::{error::RecordError, record::Record};

/// Synchronous and per record, because Connect's error tolerance is per record. A worker without
/// transforms does not call any.
pub trait Transform: Send {
    /// `None` drops the record. It still counts as delivered.
    fn apply(&mut self, record: Record) -> Result<Option<Record>, RecordError>;
}
