//! Whether other sessions see a transaction yet.
//!
//! The server sends a transaction as soon as its commit is in the log, which is a moment before other
//! sessions see it. What is read of tables or of the catalog in that moment is older than the
//! transaction.

use std::time::Duration;

use model::error::Result;
use tokio::time::Instant;

use crate::session::Session;

/// A commit is seen when it is done, which with synchronous standbys can take longer than this; then
/// what there is is read.
const VISIBLE_WITHIN: Duration = Duration::from_secs(1);

/// Between two looks.
const VISIBLE_AGAIN: Duration = Duration::from_millis(1);

/// Waits, for a while, until other sessions see what these transactions did.
pub(crate) async fn wait_visible(session: &Session, transactions: &[u32]) -> Result<()> {
    let end = Instant::now() + VISIBLE_WITHIN;
    loop {
        let row = session
            .query_one(
                "read which transactions are under way",
                "SELECT pg_snapshot_xmax(s)::text::int8, ARRAY(SELECT pg_snapshot_xip(s)::text::int8)
                   FROM pg_current_snapshot() AS s",
                &[],
            )
            .await?;
        let (next, open): (i64, Vec<i64>) = (row.get(0), row.get(1));
        // The lower half is what the log has; a number ahead of the next one is of this moment.
        let low = |xid: i64| (xid & i64::from(u32::MAX)) as u32;
        let seen = |&xid: &u32| {
            xid.wrapping_sub(low(next)).cast_signed() < 0
                && !open.iter().any(|&open| low(open) == xid)
        };
        if transactions.iter().all(seen) || Instant::now() >= end {
            return Ok(());
        }
        tokio::time::sleep(VISIBLE_AGAIN).await;
    }
}
