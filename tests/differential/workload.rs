//! A case of chance: tables of all types, statements in transactions, definitions that change, and
//! connectors that are away for a while.
//!
//! Every statement succeeds whatever the tables hold. Two readers read definitions from the live
//! catalog when they come to a relation, so a definition changes only where both have read all before
//! it: in a step of its own, before or between the changes of one transaction.

use std::fmt::Write;

use crate::harness::random::Random;

mod values;

use values::{TYPES, Type, pick};

/// A table whose columns `c0`, `c1`, … come and go.
struct Table {
    name: String,
    key: Key,
    identity: &'static str,
    /// Number of the column and its type; numbers are not used again.
    columns: Vec<(usize, Type)>,
    made: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    /// `id` and a second column.
    Two,
    None,
}

/// Keys are numbers up to this, so that statements meet rows of earlier ones.
const IDS: u64 = 40;

impl Table {
    fn new(
        random: &mut Random,
        name: &str,
        key: Key,
        identity: &'static str,
        types: &[Type],
    ) -> Self {
        let mut table = Self { name: name.into(), key, identity, columns: Vec::new(), made: 0 };
        for of in types {
            table.add(*of);
        }
        // The order of the types is not that of any list.
        for place in 0..table.columns.len() {
            let other = random.between(0, table.columns.len() as u64 - 1) as usize;
            table.columns.swap(place, other);
        }
        table
    }

    fn add(&mut self, of: Type) -> usize {
        let number = self.made;
        self.made += 1;
        self.columns.push((number, of));
        number
    }

    fn create(&self) -> String {
        let Self { name, identity, .. } = self;
        let mut sql = format!("CREATE TABLE {name} (id int NOT NULL, part text NOT NULL");
        for (number, of) in &self.columns {
            write!(sql, ", c{number} {}", of.name).unwrap();
        }
        sql.push_str(match self.key {
            Key::Id => ", PRIMARY KEY (id)",
            Key::Two => ", PRIMARY KEY (part, id)",
            Key::None => "",
        });
        // An analyze of the server's own makes it describe the table again, to one reader sooner than to
        // the other.
        write!(sql, ") WITH (autovacuum_enabled = false);\nALTER TABLE {name} REPLICA IDENTITY {identity};\n").unwrap();
        sql
    }

    fn insert(&self, random: &mut Random) -> String {
        let mut names = String::from("id, part");
        let mut values = format!("{}, {}", random.between(1, IDS), part(random));
        for (number, of) in &self.columns {
            // What is not named takes its default.
            if random.chance(10) {
                continue;
            }
            let value = if random.chance(12) { "NULL".to_owned() } else { (of.value)(random) };
            write!(names, ", c{number}").unwrap();
            write!(values, ", {value}").unwrap();
        }
        let conflict = if self.key == Key::None { "" } else { " ON CONFLICT DO NOTHING" };
        format!("INSERT INTO {} ({names}) VALUES ({values}){conflict};", self.name)
    }

    fn update(&self, random: &mut Random) -> String {
        let mut sets = Vec::new();
        for (number, of) in &self.columns {
            if random.chance(100 / self.columns.len() as u64 + 3) {
                sets.push(format!("c{number} = {}", (of.value)(random)));
            }
        }
        if sets.is_empty() {
            sets.push("part = part".into());
        }
        format!("UPDATE {} SET {} WHERE {};", self.name, sets.join(", "), self.some(random))
    }

    /// Another key, where nobody has it.
    fn move_key(&self, random: &mut Random) -> String {
        let (from, to, name) = (random.between(1, IDS), random.between(1, IDS), &self.name);
        format!(
            "UPDATE {name} SET id = {to} WHERE id = {from} AND NOT EXISTS \
             (SELECT FROM {name} WHERE id = {to});"
        )
    }

    fn some(&self, random: &mut Random) -> String {
        let id = random.between(1, IDS);
        if random.chance(80) { format!("id = {id}") } else { format!("id IN ({id}, {})", id + 1) }
    }

    fn statement(&self, random: &mut Random) -> String {
        match random.between(1, 100) {
            1..=45 => self.insert(random),
            46..=80 => self.update(random),
            81..=88 => self.move_key(random),
            _ => format!("DELETE FROM {} WHERE {};", self.name, self.some(random)),
        }
    }

    /// A change of the definition.
    fn alter(&mut self, random: &mut Random) -> String {
        let name = self.name.clone();
        let place = random.between(0, self.columns.len() as u64 - 1) as usize;
        match random.between(1, 8) {
            1..=3 => {
                let of = *random.pick(TYPES);
                let default = match random.chance(50) {
                    true => format!(" DEFAULT {}", plain_value(random, of)),
                    false => String::new(),
                };
                let number = self.add(of);
                format!("ALTER TABLE {name} ADD COLUMN c{number} {}{default};", of.name)
            }
            4 if self.columns.len() > 2 => {
                let (number, _) = self.columns.remove(place);
                format!("ALTER TABLE {name} DROP COLUMN c{number};")
            }
            5 => {
                let (number, of) = self.columns[place];
                let new = self.made;
                self.made += 1;
                self.columns[place] = (new, of);
                format!("ALTER TABLE {name} RENAME COLUMN c{number} TO c{new};")
            }
            6 => {
                let (number, of) = &mut self.columns[place];
                let wider = match of.name {
                    "smallint" => "bigint",
                    "int" => "bigint",
                    "real" => "double precision",
                    "varchar(60)" => "text",
                    _ => "",
                };
                if wider.is_empty() {
                    format!("ALTER TABLE {name} ALTER COLUMN c{number} SET STATISTICS 10;")
                } else {
                    *of = *TYPES.iter().find(|of| of.name == wider).expect("one of the list");
                    format!("ALTER TABLE {name} ALTER COLUMN c{number} TYPE {wider};")
                }
            }
            7 => {
                let (number, of) = self.columns[place];
                format!(
                    "ALTER TABLE {name} ALTER COLUMN c{number} SET DEFAULT {};",
                    plain_value(random, of)
                )
            }
            _ => {
                // A table without a key can be changed with its whole old rows only.
                self.identity = match self.key {
                    Key::None => "FULL",
                    _ => *random.pick(&["DEFAULT", "FULL"]),
                };
                format!("ALTER TABLE {name} REPLICA IDENTITY {};", self.identity)
            }
        }
    }
}

/// A value that may stand in a default: no query.
fn plain_value(random: &mut Random, of: Type) -> String {
    loop {
        let value = (of.value)(random);
        if !value.contains("SELECT") {
            return value;
        }
    }
}

fn part(random: &mut Random) -> String {
    pick(random, &["'a'", "'b'", "'ü'"])
}

/// What a case is like.
pub(super) struct Shape {
    /// At least so many changes.
    pub(super) changes: usize,
    /// In so many rounds, between which definitions change.
    pub(super) rounds: usize,
    /// Statements of the longest transaction.
    pub(super) longest: u64,
    /// How many transactions of a hundred roll a part of themselves back.
    pub(super) savepoints: u64,
}

/// The text of a case.
pub(super) fn case(random: &mut Random, shape: &Shape) -> String {
    let Shape { changes, rounds, longest, savepoints } = *shape;
    let mut sql = String::from(
        "-- snapshot
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE size AS ENUM ('small', 'quite large', 'XL');
CREATE DOMAIN share AS numeric(5,4) CHECK (VALUE BETWEEN 0 AND 1);
",
    );
    let mut tables = Vec::new();
    for (types, index) in TYPES.chunks(9).zip(0..) {
        let key = [Key::Id, Key::Two, Key::None][index % 3];
        let identity = match key {
            Key::None => "FULL",
            _ => *random.pick(&["DEFAULT", "DEFAULT", "FULL"]),
        };
        tables.push(Table::new(random, &format!("work_{index}"), key, identity, types));
    }
    for table in &tables {
        sql.push_str(&table.create());
        for _ in 0..20 {
            sql.push_str(&table.insert(random));
            sql.push('\n');
        }
    }
    // Some statements find no row; others meet two, or make three records by moving a key.
    let statements = changes * 3 / 4;
    for round in 0..rounds {
        sql.push_str(if round % 4 == 2 { "-- away\n" } else { "-- stream\n" });
        let mut left = statements / rounds;
        while left > 0 {
            let count = random.between(1, longest).min(left as u64);
            left -= count as usize;
            sql.push_str("BEGIN;\n");
            for number in 0..count {
                if number == count / 2 && random.chance(savepoints) {
                    sql.push_str("SAVEPOINT s;\n");
                    for _ in 0..longest / 40 {
                        let lost = random.pick(&tables).statement(random);
                        writeln!(sql, "{lost}").unwrap();
                    }
                    sql.push_str("ROLLBACK TO s;\n");
                }
                sql.push_str(&random.pick(&tables).statement(random));
                sql.push('\n');
            }
            sql.push_str(if random.chance(3) { "ROLLBACK;\n" } else { "COMMIT;\n" });
        }
        // Definitions change where all before has been read.
        for _ in 0..2 {
            let place = random.between(0, tables.len() as u64 - 1) as usize;
            let table = &mut tables[place];
            sql.push_str("-- stream\nBEGIN;\n");
            let before = table.insert(random);
            let alter = table.alter(random);
            // What the catalog no longer says of a column can't be read for rows from before.
            if alter.contains("ADD COLUMN") {
                writeln!(sql, "{before}").unwrap();
            }
            writeln!(sql, "{alter}").unwrap();
            writeln!(sql, "{}\n{}", table.insert(random), table.update(random)).unwrap();
            sql.push_str("COMMIT;\n");
        }
    }
    sql
}
