//! A replication connection: slots, identification, and the start of a stream.

use super::{
    Error, Fact, Lsn, Settings, Stream,
    cursor::Cursor,
    session::{Session, quote_identifier, quote_literal, refused, unexpected},
};
use std::fmt::Write;

/// A connection that is logged in for logical replication of one database and not streaming yet.
/// It runs SQL as well, in simple queries.
pub struct Replication {
    session: Session,
}

/// The answer of `IDENTIFY_SYSTEM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Identifies the cluster; the same on its standbys.
    pub system_id: String,
    /// Grows with every promotion.
    pub timeline: u32,
    /// Where the log was flushed to just now.
    pub position: Lsn,
    pub dbname: Option<String>,
}

/// The answer of a simple query: text, or none for NULL. Of several statements, the last that
/// returned rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// What a new slot is like.
#[derive(Clone, Copy, Debug)]
pub struct SlotOptions {
    /// Kept by standbys, from PostgreSQL 17 on; older servers refuse it.
    pub failover: bool,
    /// Dropped when this connection ends.
    pub temporary: bool,
    pub snapshot: Snapshot,
}

/// What becomes of the snapshot that a new slot starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Other sessions may import it, for as long as this connection runs no other command.
    Export,
    /// None is kept.
    Nothing,
}

/// A slot just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    pub name: String,
    /// Transactions that commit from here on are streamed, all before are in the snapshot.
    pub consistent_point: Lsn,
    /// For `SET TRANSACTION SNAPSHOT`.
    pub snapshot_name: Option<String>,
}

/// Whether dropping a slot waits for its reader to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Yes,
    No,
}

/// What pgoutput is asked for.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// 1 to 4; above 1 needs PostgreSQL 14, 15 and 16.
    pub proto_version: u8,
    /// As the server reads a list of identifiers: a name that is not to be folded to lower case
    /// comes quoted (see [`quote_identifier`]).
    pub publications: Vec<String>,
    /// Logical decoding messages too, from PostgreSQL 14 on.
    pub messages: bool,
    /// Further options by name, as the user gives them: `binary`, `streaming`.
    pub extra: Vec<(String, String)>,
}

impl Replication {
    pub async fn connect(settings: &Settings) -> Result<Replication, Error> {
        Ok(Replication { session: Session::connect(settings).await? })
    }

    /// As `server_version_num` has it: 15.4 is 150004, 9.6.24 is 90624. Zero if the server does
    /// not say.
    pub fn server_version(&self) -> u32 {
        version_number(self.session.server_version())
    }

    pub async fn identify_system(&mut self) -> Result<System, Error> {
        const ACTION: &str = "identify the system";
        let answer = self.run(ACTION, "IDENTIFY_SYSTEM").await?;
        let mut cells = answer.rows.into_iter().next().unwrap_or_default().into_iter();
        let mut cell = || cells.next().flatten();
        let system = (|| {
            Some(System {
                system_id: cell()?,
                timeline: cell()?.parse().ok()?,
                position: cell()?.parse().ok()?,
                dbname: cell(),
            })
        })();
        system.ok_or_else(|| self.odd_answer(ACTION))
    }

    /// Runs SQL or a replication command. Several statements are one transaction.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Rows, Error> {
        self.run("run a query", sql).await
    }

    /// Makes a logical slot for pgoutput. The snapshot it exports lives until the next command.
    pub async fn create_slot(
        &mut self,
        name: &str,
        options: &SlotOptions,
    ) -> Result<CreatedSlot, Error> {
        let action = format!("create replication slot \"{name}\"");
        let mut command = format!("CREATE_REPLICATION_SLOT {}", quote_identifier(name));
        if options.temporary {
            command.push_str(" TEMPORARY");
        }
        command.push_str(" LOGICAL pgoutput ");
        // The options in parentheses are of PostgreSQL 15; every version takes the words.
        command.push_str(match (options.snapshot, options.failover) {
            (Snapshot::Export, false) => "EXPORT_SNAPSHOT",
            (Snapshot::Nothing, false) => "NOEXPORT_SNAPSHOT",
            (Snapshot::Export, true) => "(SNAPSHOT 'export', FAILOVER)",
            (Snapshot::Nothing, true) => "(SNAPSHOT 'nothing', FAILOVER)",
        });
        let version = self.server_version();
        if options.failover && version < 170_000 {
            return Err(self.session.error(
                action,
                Fact::Settings(format!(
                    "the server runs PostgreSQL {} and failover slots need 17; set slot.failover \
                     to false",
                    self.session.server_version()
                )),
            ));
        }
        let answer = self.run(&action, &command).await?;
        let mut cells = answer.rows.into_iter().next().unwrap_or_default().into_iter();
        let mut cell = || cells.next().flatten();
        let slot = (|| {
            Some(CreatedSlot {
                name: cell()?,
                consistent_point: cell()?.parse().ok()?,
                snapshot_name: cell(),
            })
        })();
        slot.ok_or_else(|| self.odd_answer(&action))
    }

    pub async fn drop_slot(&mut self, name: &str, wait: Wait) -> Result<(), Error> {
        let wait = match wait {
            Wait::Yes => " WAIT",
            Wait::No => "",
        };
        let command = format!("DROP_REPLICATION_SLOT {}{wait}", quote_identifier(name));
        self.run(&format!("drop replication slot \"{name}\""), &command).await?;
        Ok(())
    }

    /// Starts to stream a slot. A position behind the slot's confirmed one is moved up to it by
    /// the server.
    pub async fn start(
        mut self,
        slot: &str,
        from: Lsn,
        options: &StartOptions,
    ) -> Result<Stream, Error> {
        let action = format!("stream from replication slot \"{slot}\"");
        let command = start_command(slot, from, options);
        // The server answers at once, whatever it has to decode.
        let limit = self.session.patience();
        match tokio::time::timeout(limit, self.begin(&command)).await {
            Ok(Ok(())) => Ok(Stream::new(self.session, action)),
            Ok(Err(fact)) => Err(self.session.error(action, fact)),
            Err(_) => Err(self.session.error(action, Fact::Timeout(limit))),
        }
    }

    async fn begin(&mut self, command: &str) -> Result<(), Fact> {
        self.session.query(command).await?;
        loop {
            match self.session.frame().await? {
                (b'W', _) => return Ok(()),
                (b'E', body) => return Err(refused(&body)),
                (b'S', _) => {}
                (tag, _) => return Err(unexpected("the start of the stream", tag)),
            }
        }
    }

    /// Ends the connection in good order.
    pub async fn close(self) {
        self.session.close().await;
    }

    async fn run(&mut self, action: &str, command: &str) -> Result<Rows, Error> {
        match self.answer(command).await {
            Ok(rows) => Ok(rows),
            Err(fact) => Err(self.session.error(action, fact)),
        }
    }

    /// Reads on to the end of the answer after an error too, so that the connection stays usable.
    async fn answer(&mut self, command: &str) -> Result<Rows, Fact> {
        self.session.query(command).await?;
        let mut answer = Rows::default();
        let mut failure = None;
        loop {
            let (tag, body) = self.session.frame().await?;
            match tag {
                b'T' => answer = Rows { columns: column_names(&body)?, rows: Vec::new() },
                b'D' => answer.rows.push(text_row(&body)?),
                b'C' | b'I' | b'S' => {}
                b'E' => failure = Some(refused(&body)),
                b'Z' => return failure.map_or(Ok(answer), Err),
                tag => return Err(unexpected("a query", tag)),
            }
        }
    }

    fn odd_answer(&self, action: &str) -> Error {
        self.session
            .error(action, Fact::Protocol("the answer lacks the columns it should have".into()))
    }
}

fn start_command(slot: &str, from: Lsn, options: &StartOptions) -> String {
    let mut command = format!("START_REPLICATION SLOT {} LOGICAL {from} (", quote_identifier(slot));
    let publications = options.publications.join(",");
    let mut all = vec![
        ("proto_version", options.proto_version.to_string()),
        ("publication_names", publications),
    ];
    if options.messages {
        all.push(("messages", "true".into()));
    }
    // The server refuses an option that comes twice; what the user says counts.
    all.retain(|(name, _)| !options.extra.iter().any(|(extra, _)| extra == name));
    all.extend(options.extra.iter().map(|(name, value)| (name.as_str(), value.clone())));
    for (index, (name, value)) in all.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(command, "{comma}{} {}", quote_identifier(name), quote_literal(value))
            .expect("a String takes every write");
    }
    command.push(')');
    command
}

fn column_names(body: &[u8]) -> Result<Vec<String>, Fact> {
    let mut cursor = Cursor::new("RowDescription", body);
    let count = cursor.u16("a number of columns")?;
    let mut names = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        names.push(cursor.text("a column's name")?.to_owned());
        // Table, column, type, size, modifier, format.
        cursor.bytes(18, "a column's type")?;
    }
    Ok(names)
}

fn text_row(body: &[u8]) -> Result<Vec<Option<String>>, Fact> {
    let mut cursor = Cursor::new("DataRow", body);
    let count = cursor.u16("a number of columns")?;
    let mut row = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let mut ahead = cursor;
        if ahead.i32("a length")? == -1 {
            cursor = ahead;
            row.push(None);
            continue;
        }
        let bytes = cursor.sized("a value")?;
        row.push(Some(String::from_utf8_lossy(bytes).into_owned()));
    }
    Ok(row)
}

/// `15.4 (Debian 15.4-1)`, `17beta1`, `9.6.24` as numbers.
pub(super) fn version_number(text: &str) -> u32 {
    let digits = text.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut parts = digits.split('.').map(|part| part.parse::<u32>().unwrap_or(0).min(9_999));
    let mut part = || parts.next().unwrap_or(0);
    match part() {
        major @ 10.. => major * 10_000 + part(),
        major => major * 10_000 + part() * 100 + part(),
    }
}
