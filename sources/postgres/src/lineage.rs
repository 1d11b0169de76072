//! Which stored positions say something of the slot of now.
//!
//! Where a stream begins behind a snapshot, because the slot was lost or the server is another one,
//! batches of the stream before may still be on their way, and their positions may be stored at any
//! moment after. Their LSNs can be ahead of all that the new slot has sent, on a log that is no more;
//! confirmed to it they would let go of changes that nobody has.

use std::sync::{Arc, Mutex, PoisonError};

use model::{connector::Object, record::Position};

/// The positions since the task last found out where to begin. They share a copy of the source
/// partition, which is how they are known.
pub(crate) struct Lineage(Mutex<Arc<Object>>);

impl Lineage {
    pub(crate) fn new(partition: Object) -> Self {
        Self(Mutex::new(Arc::new(partition)))
    }

    /// What was handed over until now does not count any more.
    pub(crate) fn renew(&self) {
        let mut partition = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *partition = Arc::new(Object::clone(&partition));
    }

    /// A position to be handed over.
    pub(crate) fn position(&self, offset: Object) -> Position {
        let partition = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Position { partition, offset }
    }

    /// Whether a position that was stored was handed over since the last [`Lineage::renew`].
    pub(crate) fn has(&self, stored: &Position) -> bool {
        let partition = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::ptr_eq(&partition, &stored.partition)
    }
}
