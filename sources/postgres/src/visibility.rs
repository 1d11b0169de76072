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

/// How long it may take until it is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, for a while, until other sessions see what these transactions did.
pub(crate) async fn wait_visible(session: &Session, transactions: &[u32]) -> Result<()> {
    let end = Instant::now() + VISIBLE_WITHIN;
    while !visible(session, transactions).await? && Instant::now() < end {
        tokio::time::sleep(VISIBLE_AGAIN).await;
    }
    Ok(())
}

/// Waits until other sessions see what these transactions did, however long that takes.
pub(crate) async fn until_visible(
    session: &Session,
    transactions: &[u32],
    table: &str,
) -> Result<()> {
    let (mut said, mut pause) = (Instant::now(), VISIBLE_AGAIN);
    while !visible(session, transactions).await? {
        if said.elapsed() >= PATIENCE {
            said = Instant::now();
            tracing::warn!(
                "the incremental snapshot of table {table} waits for transactions that the stream has shown and that other sessions do not see yet; look at synchronous_standby_names and pg_stat_replication"
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    Ok(())
}

async fn visible(session: &Session, transactions: &[u32]) -> Result<bool> {
    Ok(unseen(session, transactions).await?.is_empty())
}

/// Which of these transactions other sessions do not see yet. A number says nothing any more once 2^31
/// others have followed it.
pub(crate) async fn unseen(session: &Session, transactions: &[u32]) -> Result<Vec<u32>> {
    if transactions.is_empty() {
        return Ok(Vec::new());
    }
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
        xid.wrapping_sub(low(next)).cast_signed() < 0 && !open.iter().any(|&open| low(open) == xid)
    };
    Ok(transactions.iter().copied().filter(|xid| !seen(xid)).collect())
}
