//! Any bytes decode to a message or to an error, in and out of a streamed block, and a message
//! holds as many values as it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use riverrun_source_postgres::wire::pgoutput::{Message, Tuple, decode};

fn walk(tuple: Tuple<'_>) {
    assert_eq!(tuple.len(), tuple.count());
}

fuzz_target!(|bytes: &[u8]| {
    for in_stream in [false, true] {
        match decode(bytes, in_stream) {
            Ok(Message::Insert(insert)) => walk(insert.new),
            Ok(Message::Update(update)) => {
                update.old.into_iter().for_each(|old| walk(old.tuple));
                walk(update.new);
            }
            Ok(Message::Delete(delete)) => walk(delete.old.tuple),
            Ok(Message::Relation(relation)) => {
                assert_eq!(relation.columns.len(), relation.columns.count());
            }
            Ok(Message::Truncate(truncate)) => {
                assert_eq!(truncate.relations.len(), truncate.relations.count());
            }
            Ok(_) => {}
            Err(error) => assert!(error.offset <= bytes.len()),
        }
    }
});
