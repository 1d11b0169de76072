//! Which position may be stored: the newest one before which every record has arrived.
//!
//! Entries are in the order of sending. Records are acknowledged in any order (partitions differ),
//! so an entry whose records have all arrived still waits for the entries before it. An entry
//! without a position moves nothing, but it holds back those after it until it has arrived.

use std::{collections::VecDeque, sync::Arc};

use model::record::Position;

use super::transport::Ticket;

/// The unconfirmed part of what a source task has sent.
#[derive(Default)]
pub struct Ledger {
    entries: VecDeque<Entry>,
    /// Per source partition the newest position that may be stored and is not stored yet.
    committable: Vec<Position>,
    /// Records of all entries taken off so far.
    delivered: u64,
}

struct Entry {
    ticket: Arc<Ticket>,
    position: Option<Position>,
}

impl Ledger {
    pub fn push(&mut self, ticket: Arc<Ticket>, position: Option<Position>) {
        self.entries.push_back(Entry { ticket, position });
    }

    /// Takes the leading entries that are complete off the ledger.
    pub fn advance(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.ticket.complete()) {
            let Some(entry) = self.entries.pop_front() else { break };
            self.delivered += entry.ticket.records() as u64;
            if let Some(position) = entry.position {
                // The newest is kept last, so that it is the one the source gets to see.
                self.committable.retain(|old| old.partition != position.partition);
                self.committable.push(position);
            }
        }
    }

    /// How many records have arrived, counted in their order.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// What is to be stored now. Call [`Ledger::restore`] when that fails.
    pub fn take(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.committable)
    }

    /// Puts positions back that could not be stored, unless newer ones are here already.
    pub fn restore(&mut self, positions: Vec<Position>) {
        let newer = std::mem::take(&mut self.committable);
        self.committable = positions
            .into_iter()
            .filter(|old| newer.iter().all(|new| new.partition != old.partition))
            .chain(newer.iter().cloned())
            .collect();
    }

    /// Whether waiting for acknowledgements can move nothing any more.
    pub fn settled(&self) -> bool {
        self.entries.front().is_none_or(|entry| entry.ticket.lost())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::runtime::transport::Deliveries;

    fn position(partition: &str, offset: i64) -> Position {
        let map = |value: serde_json::Value| serde_json::Map::from_iter([("at".to_owned(), value)]);
        Position { partition: Arc::new(map(partition.into())), offset: map(offset.into()) }
    }

    fn show(positions: &[Position]) -> String {
        let mut text = String::new();
        for position in positions {
            let partition = position.partition["at"].as_str().unwrap();
            write!(text, "{partition}{} ", position.offset["at"]).unwrap();
        }
        text.trim_end().to_owned()
    }

    /// `a1` pushes an entry with that position, `-` one without; a number acknowledges that entry
    /// (counted from 0); `?` takes what may be stored, `!` takes it and fails to store it.
    #[test]
    fn order() {
        let cases = [
            ("a1 a2 0 ? 1 ?", "[a1] [a2]"),
            // The second arrives first, and waits for the first.
            ("a1 a2 1 ? 0 ?", "[] [a2]"),
            // An entry without a position holds back what comes after it.
            ("a1 - a2 0 2 ? 1 ?", "[a1] [a2]"),
            // … and moves nothing by itself.
            ("- 0 ?", "[]"),
            // Taken once.
            ("a1 0 ? ?", "[a1] []"),
            // Each source partition has its own newest; the newest of all is last.
            ("a1 b1 a2 0 1 2 ?", "[b1 a2]"),
            // What was not stored is there again, unless something newer is.
            ("a1 b1 0 1 ! ?", "[a1 b1] [a1 b1]"),
            ("a1 b1 0 1 ! a2 2 ?", "[a1 b1] [b1 a2]"),
        ];
        for (script, answer) in cases {
            let deliveries = Deliveries::new("c-0".to_owned(), false, false);
            let mut ledger = Ledger::default();
            let mut tickets = Vec::new();
            let mut taken = Vec::new();
            for word in script.split(' ') {
                match word {
                    "?" => taken.push(format!("[{}]", show(&ledger.take()))),
                    "!" => {
                        let positions = ledger.take();
                        taken.push(format!("[{}]", show(&positions)));
                        ledger.restore(positions);
                    }
                    "-" => {
                        tickets.push(Ticket::new(&deliveries));
                        ledger.push(tickets[tickets.len() - 1].clone(), None);
                    }
                    _ => match word.parse::<usize>() {
                        Ok(index) => {
                            tickets[index].done(1);
                            ledger.advance();
                        }
                        Err(_) => {
                            tickets.push(Ticket::new(&deliveries));
                            let position = position(&word[..1], word[1..].parse().unwrap());
                            ledger.push(tickets[tickets.len() - 1].clone(), Some(position));
                        }
                    },
                }
            }
            assert_eq!(taken.join(" "), answer, "{script}");
        }
    }

    /// A failure to store must not bring back a position older than one taken in the meantime.
    #[test]
    fn newer_wins_over_restored() {
        let deliveries = Deliveries::new("c-0".to_owned(), false, false);
        let mut ledger = Ledger::default();
        let arrive = |ledger: &mut Ledger, offset| {
            let ticket = Ticket::new(&deliveries);
            ledger.push(ticket.clone(), Some(position("a", offset)));
            ticket.done(1);
            ledger.advance();
        };
        arrive(&mut ledger, 1);
        let failed = ledger.take();
        arrive(&mut ledger, 2);
        ledger.restore(failed);
        assert_eq!(show(&ledger.take()), "a2");
    }
}
