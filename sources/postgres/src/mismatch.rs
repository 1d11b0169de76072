//! `offset.mismatch.strategy`: what counts when the stored offset and the slot are apart.
//!
//! By default neither is moved: an offset ahead of the slot is resumed at, and one behind it stops the
//! task, because what lies between was let go (`task::lost`).

use model::error::{Error, Result};

use crate::{
    catalog::Slot,
    options::{BadEvents, FlushMode, Options},
    position::{COMMIT, Position},
    session::Session,
    wire::Lsn,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    #[default]
    NoValidation,
    TrustOffset,
    TrustSlot,
    TrustGreaterLsn,
}

impl Strategy {
    pub(crate) const NAMES: [(&str, Strategy); 4] = [
        ("no_validation", Strategy::NoValidation),
        ("trust_offset", Strategy::TrustOffset),
        ("trust_slot", Strategy::TrustSlot),
        ("trust_greater_lsn", Strategy::TrustGreaterLsn),
    ];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let found = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, strategy)| *strategy)
    }

    fn moves_slot(self) -> bool {
        matches!(self, Self::TrustOffset | Self::TrustGreaterLsn)
    }

    fn moves_offset(self) -> bool {
        matches!(self, Self::TrustSlot | Self::TrustGreaterLsn)
    }
}

/// Brings the two together as the strategy says, and returns the position to resume at. `position` is
/// what is stored: the slot may be moved on to it.
pub(crate) async fn reconcile(
    options: &Options,
    session: &Session,
    position: &Position,
    slot: Option<&Slot>,
) -> Result<Position> {
    let confirmed = slot.and_then(|slot| slot.confirmed_flush);
    if let (Some(start), Some(confirmed)) = (position.start(), confirmed)
        && start > confirmed
        && options.mismatch.moves_slot()
        && options.flush_mode != FlushMode::Manual
    {
        advance(options, session, start).await?;
    }
    Ok(at_slot(options, position, slot))
}

/// The position to resume at: the slot's, where that is ahead and trusted. The slot stays where it is,
/// so `position` need not be stored.
pub(crate) fn at_slot(options: &Options, position: &Position, slot: Option<&Slot>) -> Position {
    let (Some(start), Some(slot_lsn)) =
        (position.start(), slot.and_then(|slot| slot.confirmed_flush))
    else {
        return position.clone();
    };
    resumed(options.mismatch, position, slot_lsn).inspect(|_| {
        tracing::warn!(
            "offset.mismatch.strategy: the stored offset {start} lies behind slot {}, so the stream begins at the slot's position {slot_lsn}; changes in between are not sent",
            options.slot
        );
    }).unwrap_or_else(|| position.clone())
}

/// The position at the slot, when it is ahead and trusted.
fn resumed(strategy: Strategy, position: &Position, slot: Lsn) -> Option<Position> {
    (position.start()? < slot && strategy.moves_offset()).then(|| Position {
        lsn_proc: Some(slot),
        message_type: Some(COMMIT),
        events: 0,
        transaction: None,
        ..position.clone()
    })
}

/// Moves the slot on to the offset. What a server says against it counts as little as Debezium lets it.
async fn advance(options: &Options, session: &Session, to: Lsn) -> Result<()> {
    const QUERY: &str = "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)::text";
    let slot = &options.slot;
    let Err(error) = session.client().query_one(QUERY, &[slot, &to.to_string()]).await else {
        tracing::info!("slot {slot} moved on to the stored offset {to}");
        return Ok(());
    };
    let code = error.code().map(|code| code.code().to_owned());
    let error = session.failed(&format!("move slot {slot} on to the stored offset {to}"), error);
    match code.as_deref() {
        // No such function, and no right to it.
        Some("42883" | "42501") => {}
        _ if options.bad_events == BadEvents::Fail => {
            return Err(Error::fatal(format!(
                "Cannot seek to the last known offset '{to}' on replication slot '{slot}'; choose another offset.mismatch.strategy, or correct the offset"
            ))
            .caused_by(error));
        }
        _ => {}
    }
    tracing::warn!("{}; the slot stays where it is", error.trace());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_behind_the_slot_is_moved_only_when_the_slot_is_trusted() {
        let position = Position {
            lsn_commit: Some(Lsn(100)),
            lsn_proc: Some(Lsn(150)),
            message_type: Some("INSERT"),
            ..Position::default()
        };
        let moved = |strategy, slot| resumed(strategy, &position, Lsn(slot));
        for strategy in [Strategy::NoValidation, Strategy::TrustOffset] {
            assert_eq!(moved(strategy, 200), None);
        }
        for strategy in [Strategy::TrustSlot, Strategy::TrustGreaterLsn] {
            assert_eq!(moved(strategy, 100), None);
            let moved = moved(strategy, 200).unwrap();
            assert_eq!(moved.start(), Some(Lsn(200)));
            assert_eq!(moved.done(), None);
        }
    }
}
