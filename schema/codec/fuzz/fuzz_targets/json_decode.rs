//! No bytes may make a reader panic, and what was read can be written and read again.

#![no_main]

use std::{cell::RefCell, collections::BTreeMap};

use codec::{Role, converter, header_converter};
use libfuzzer_sys::fuzz_target;
use model::convert::{Converter, Decoded, Encoded, HeaderConverter};

struct Readers {
    with_schemas: Box<dyn Converter>,
    schemaless: Box<dyn Converter>,
    header: Box<dyn HeaderConverter>,
}

impl Readers {
    fn new() -> Self {
        let json = |enable: &str| {
            let options = BTreeMap::from([("schemas.enable".to_owned(), enable.to_owned())]);
            converter("Json", &options, Role::Value).ok().expect("the options are right")
        };
        let header = header_converter("Simple", &BTreeMap::new()).ok().expect("it has no options");
        Self { with_schemas: json("true"), schemaless: json("false"), header }
    }
}

thread_local! {
    static READERS: RefCell<Readers> = RefCell::new(Readers::new());
}

fuzz_target!(|bytes: &[u8]| {
    READERS.with_borrow_mut(|readers| {
        for json in [&mut readers.with_schemas, &mut readers.schemaless] {
            if let Ok(Decoded::Data(data)) = json.decode("topic", Some(bytes)) {
                let mut out = Vec::new();
                let mut encoder = now(json.encoder("topic", data.schema.as_ref()));
                // A lenient read may have left a null where the schema wants a value.
                if let Ok(Encoded::Bytes) = encoder.encode(data.value.as_ref(), &mut out) {
                    assert!(json.decode("topic", Some(&out)).is_ok());
                }
            }
        }
        let data = readers.header.decode("topic", "name", Some(bytes)).expect("anything is a header");
        let mut out = Vec::new();
        readers.header.encode("topic", "name", &data, &mut out).expect("and can be written");
    });
});

/// JSON's encoders are ready at once.
fn now<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value.expect("planning does not fail"),
        std::task::Poll::Pending => unreachable!("nothing to wait for"),
    }
}
