//! The assignment of protocol version 0: each round hands out everything anew.

use std::collections::BTreeMap;

use super::{
    leader::Configured,
    wire::{TaskId, Work},
};

/// Goes round the members by id: once for the connectors by name, then on, without starting over,
/// for their tasks.
pub fn assign<'m>(
    members: impl IntoIterator<Item = &'m str>,
    configured: &Configured,
) -> BTreeMap<String, Work> {
    let mut loads: BTreeMap<String, Work> =
        members.into_iter().map(|member| (member.to_owned(), Work::default())).collect();
    if loads.is_empty() {
        return loads;
    }
    let mut slots: Vec<&mut Work> = loads.values_mut().collect();
    let count = slots.len();
    let mut turn = 0;
    let mut next = || {
        turn += 1;
        (turn - 1) % count
    };
    for connector in configured.tasks.keys() {
        slots[next()].connectors.insert(connector.clone());
    }
    for (connector, tasks) in &configured.tasks {
        for task in 0..*tasks {
            slots[next()].tasks.insert(TaskId { connector: connector.clone(), task });
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(members: &[&str], connectors: &[(&str, u32)]) -> String {
        let configured = Configured {
            offset: 0,
            tasks: connectors.iter().map(|(name, tasks)| ((*name).to_owned(), *tasks)).collect(),
        };
        let assigned = assign(members.iter().copied(), &configured);
        let lines = assigned.into_iter().map(|(member, work)| {
            let tasks = work.tasks.iter().map(TaskId::to_string);
            let items: Vec<_> = work.connectors.iter().cloned().chain(tasks).collect();
            format!("{member}: {}", items.join(" "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn round_robin_goes_on_from_connectors_to_tasks() {
        assert_eq!(check(&["w"], &[("b", 1), ("a", 2)]), "w: a b a-0 a-1 b-0");
        assert_eq!(
            check(&["w2", "w1"], &[("a", 2), ("b", 1), ("c", 1)]),
            "w1: a c a-1 c-0\nw2: b a-0 b-0"
        );
        assert_eq!(check(&["w1", "w2", "w3"], &[("a", 1)]), "w1: a\nw2: a-0\nw3: ");
        assert_eq!(check(&["w1"], &[]), "w1: ");
        assert_eq!(check(&[], &[("a", 1)]), "");
    }
}
