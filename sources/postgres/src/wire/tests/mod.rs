//! Tests of the wire: captures and hand-made bytes need nothing; `live` needs a server, named in
//! `RIVERRUN_TEST_POSTGRES`; `tls` starts a server of its own.

#![allow(clippy::print_stdout)] // Tests say there that they are skipped.

mod captures;
pub(crate) mod live;
mod tls;
mod units;
