//! Tests of the wire: captures and hand-made bytes need nothing; `live` needs a server, named in
//! `RIVERRUN_TEST_POSTGRES`; `tls` starts a server of its own.

mod captures;
mod live;
mod tls;
mod units;
