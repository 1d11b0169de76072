//! The keys that all relational connectors share.
//!
//! Names, defaults, importances and widths are those of Debezium 3.7. A connector lists those it has,
//! with what is different with it; a key without effect it marks `unsupported`, so that setting it is
//! refused by name.

mod connection;
mod events;
mod running;
mod snapshot;

pub use connection::*;
pub use events::*;
pub use running::*;
pub use snapshot::*;
