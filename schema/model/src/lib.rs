//! What a change event is, and what a connector is.
//!
//! ```text
//!  source task                     worker                               Kafka
//!  ───────────                     ──────                               ─────
//!  wire bytes ─► Rows ─► Change ─► Record ─► Transform* ─► Encode ─► bytes
//!                └─ packed, no tree ─────────────────────────┘
//! ```
//!
//! A row is decoded once into a packed buffer shared by its whole batch ([`row`]). A
//! [`change::Change`] is four numbers and two row handles. Encoders read it through
//! [`value::ValueRef`], a borrowed view that looks the same over packed rows and over owned trees.
//! The first *write* (a transform that sets a field) copies one level into a tree; nothing else
//! does.

pub mod change;
pub mod config;
pub mod connector;
pub mod convert;
pub mod error;
pub mod figures;
pub mod java;
pub mod pattern;
pub mod record;
pub mod row;
pub mod schema;
pub mod sink_context;
pub mod topics;
pub mod transform;
pub mod value;
