//! Source offsets in a file, in the form of Kafka Connect's standalone worker: a Java-serialised
//! `HashMap<byte[], byte[]>` of JSON. A file can move between the JVM's worker and this one.
//!
//! ```text
//! AC ED 00 05                                        magic, version
//! 73 72 "java.util.HashMap" … loadFactor threshold   object, class
//! 77 08 <buckets> <size>                             block data
//! key, value, key, value …                           75 72 "[B" … | 75 71 <class> | 70 | 71 <array>
//! 78                                                 end
//! ```
//!
//! Keys are `["connector",{partition}]`. The JVM finds a key by its bytes, so an entry that is there
//! already keeps them; we find it by what it means, whatever the order of its fields.
//!
//! The file is replaced as a whole: written beside it, synced, renamed. A crash leaves the old one
//! or the new one.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use model::{
    connector::Object,
    error::{Error, Result},
};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::runtime::OffsetStore;

/// The offset file of a standalone worker. One at a time may have it open.
pub struct OffsetFile {
    path: Arc<Path>,
    entries: Mutex<Vec<Entry>>,
}

/// Key and value as stored; either may be null. A file may name one array many times, so that what
/// is the same array there is the same here: it takes no more memory than the file has bytes.
type Entry = (Option<Arc<[u8]>>, Option<Arc<[u8]>>);

impl OffsetFile {
    /// Reads the file and makes sure that it can be written. A missing or empty file has no offsets.
    pub fn open(path: &str) -> std::result::Result<Self, String> {
        let told = |what: &str, error: &dyn std::fmt::Display| {
            format!(
                "failed to {what} the offset file {path} (offset.storage.file.filename): {error}"
            )
        };
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => PathBuf::from(path),
            Err(error) => return Err(told("read", &error)),
        };
        let bytes = match fs::read(&real) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(told("read", &error)),
        };
        let entries = decode(&bytes).map_err(|wrong| told("read", &wrong))?;
        // Found out now and not at the first offset, when records have been sent already.
        let probe = beside(&real);
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|error| told("write beside", &error))?;
        if real.exists() {
            File::options().append(true).open(&real).map_err(|error| told("write", &error))?;
        }
        Ok(Self { path: real.into(), entries: Mutex::new(entries) })
    }
}

/// The file that is written before it takes the place of `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[async_trait]
impl OffsetStore for OffsetFile {
    async fn read(&self, connector: &str, partition: &Object) -> Result<Option<Object>> {
        let entries = self.entries.lock().await;
        let wanted = |key| belongs(key, connector).as_ref() == Some(partition);
        match entries.iter().find(|(key, _)| wanted(key.as_deref())) {
            Some((_, Some(value))) => parse_offset(connector, value).map(Some),
            _ => Ok(None),
        }
    }

    async fn write(&self, connector: &str, changes: Vec<(Object, Option<Object>)>) -> Result<()> {
        let mut entries = self.entries.lock().await;
        let new = changed(&entries, connector, changes);
        let path = self.path.clone();
        let bytes = encode(&new);
        let written = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::retriable(format!("failed to write the offset file {}", self.path.display()))
                .caused_by(error)
        };
        written.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        *entries = new;
        Ok(())
    }

    async fn list(&self, connector: &str) -> Result<Vec<(Object, Object)>> {
        let entries = self.entries.lock().await;
        let mut found = Vec::new();
        for (key, value) in entries.iter() {
            if let (Some(partition), Some(value)) = (belongs(key.as_deref(), connector), value) {
                found.push((partition, parse_offset(connector, value)?));
            }
        }
        Ok(found)
    }
}

/// The entries after some changes. Each key is read once, however many changes there are.
fn changed(
    entries: &[Entry],
    connector: &str,
    changes: Vec<(Object, Option<Object>)>,
) -> Vec<Entry> {
    let mut new: Vec<Option<Entry>> = entries.iter().cloned().map(Some).collect();
    let mut places: HashMap<Object, usize> = HashMap::new();
    for (place, (key, _)) in entries.iter().enumerate() {
        if let Some(partition) = belongs(key.as_deref(), connector) {
            // Of two that mean the same the first counts.
            places.entry(partition).or_insert(place);
        }
    }
    let bytes = |value: Value| Arc::from(value.to_string().into_bytes());
    for (partition, offset) in changes {
        let entry = places.get(&partition).and_then(|place| new.get_mut(*place));
        match (entry, offset.map(|offset| bytes(Value::Object(offset)))) {
            (Some(Some((_, value))), Some(offset)) => *value = Some(offset),
            (Some(entry), None) => *entry = None,
            (_, Some(offset)) => {
                let key = Value::Array(vec![connector.into(), Value::Object(partition.clone())]);
                places.insert(partition, new.len());
                new.push(Some((Some(bytes(key)), Some(offset))));
            }
            (None, None) => {}
        }
    }
    new.into_iter().flatten().collect()
}

/// The partition of an entry, when it is one of this connector's.
fn belongs(key: Option<&[u8]>, connector: &str) -> Option<Object> {
    match serde_json::from_slice(key?).ok()? {
        Value::Array(mut key) if key.len() == 2 && key[0] == connector => match key.pop()? {
            Value::Object(partition) => Some(partition),
            _ => None,
        },
        _ => None,
    }
}

fn parse_offset(connector: &str, bytes: &[u8]) -> Result<Object> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::fatal(format!("failed to read a stored offset of connector {connector}"))
            .caused_by(error)
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path);
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The rename itself is durable once the directory is.
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

const MAGIC: [u8; 4] = [0xAC, 0xED, 0x00, 0x05];
const CLASS_MARK: [u8; 2] = [0x73, 0x72];
const HASH_MAP: &str = "java.util.HashMap";
/// Serial version, flags, and the two fields `loadFactor` (float) and `threshold` (int).
const HASH_MAP_FIELDS: &[u8] =
    b"\x05\x07\xDA\xC1\xC3\x16\x60\xD1\x03\x00\x02F\x00\x0AloadFactorI\x00\x09thresholdxp";
const FIRST_ARRAY: &[u8] = b"\x75\x72\x00\x02[B\xAC\xF3\x17\xF8\x06\x08\x54\xE0\x02\x00\x00xp";
const ARRAY: &[u8] = b"\x75\x71\x00\x7E\x00\x02";
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
/// The first handle the format gives out. Class HashMap is 0, the map 1, class `[B` 2, the first
/// array 3.
const FIRST_ARRAY_HANDLE: u32 = 0x7E_0003;

/// Refuses every token but those of a `HashMap<byte[], byte[]>`.
pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Vec<Entry>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = Input { bytes, arrays: Vec::new() };
    input.expect(&MAGIC).map_err(|_| "it is no file of serialised Java objects".to_owned())?;
    match input.expect(&CLASS_MARK).ok().and_then(|()| input.text().ok()) {
        Some(HASH_MAP) => {}
        Some(class) => return Err(format!("Expected HashMap but found class {class}")),
        None => return Err("Expected HashMap but found another kind of object".to_owned()),
    }
    input.expect(HASH_MAP_FIELDS)?;
    input.take(8)?;
    input.expect(&[0x77, 0x08])?;
    input.take(4)?;
    let size = input.int()?;
    let mut entries = Vec::new();
    for _ in 0..size {
        entries.push((input.array()?, input.array()?));
    }
    input.expect(&[0x78])?;
    Ok(entries)
}

struct Input<'a> {
    bytes: &'a [u8],
    arrays: Vec<Arc<[u8]>>,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> std::result::Result<&'a [u8], String> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err("it ends in the middle of an object".to_owned());
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn expect(&mut self, wanted: &[u8]) -> std::result::Result<(), String> {
        if self.take(wanted.len())? == wanted {
            return Ok(());
        }
        Err("it holds something else than a HashMap of byte arrays".to_owned())
    }

    fn text(&mut self) -> std::result::Result<&'a str, String> {
        let len = self.take(2)?.iter().fold(0usize, |len, byte| len << 8 | usize::from(*byte));
        std::str::from_utf8(self.take(len)?).map_err(|error| error.to_string())
    }

    fn int(&mut self) -> std::result::Result<u32, String> {
        Ok(self.take(4)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn array(&mut self) -> std::result::Result<Option<Arc<[u8]>>, String> {
        if let Some(rest) = self.bytes.strip_prefix(&[NULL]) {
            self.bytes = rest;
            return Ok(None);
        }
        if let Some(rest) = self.bytes.strip_prefix(&[REFERENCE]) {
            self.bytes = rest;
            let array = self.int()?.checked_sub(FIRST_ARRAY_HANDLE);
            let array = array.and_then(|index| self.arrays.get(index as usize));
            return match array {
                Some(array) => Ok(Some(array.clone())),
                None => Err("it refers to an object it does not have".to_owned()),
            };
        }
        self.expect(if self.arrays.is_empty() { FIRST_ARRAY } else { ARRAY })?;
        let len = self.int()?;
        let array: Arc<[u8]> = self.take(len as usize)?.into();
        self.arrays.push(array.clone());
        Ok(Some(array))
    }
}

pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut buckets = 16usize;
    while entries.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(CLASS_MARK);
    out.extend([0, HASH_MAP.len() as u8]);
    out.extend(HASH_MAP.as_bytes());
    out.extend(HASH_MAP_FIELDS);
    out.extend(0.75f32.to_be_bytes());
    out.extend((buckets as u32 / 4 * 3).to_be_bytes());
    out.extend([0x77, 0x08]);
    out.extend((buckets as u32).to_be_bytes());
    out.extend((entries.len() as u32).to_be_bytes());
    let mut handles: HashMap<*const u8, u32> = HashMap::new();
    for (key, value) in entries {
        for bytes in [key, value] {
            let Some(bytes) = bytes else {
                out.push(NULL);
                continue;
            };
            if let Some(handle) = handles.get(&bytes.as_ptr()) {
                out.push(REFERENCE);
                out.extend(handle.to_be_bytes());
                continue;
            }
            out.extend(if handles.is_empty() { FIRST_ARRAY } else { ARRAY });
            out.extend((bytes.len() as u32).to_be_bytes());
            out.extend(&bytes[..]);
            handles.insert(bytes.as_ptr(), FIRST_ARRAY_HANDLE + handles.len() as u32);
        }
    }
    out.push(0x78);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    fn file(name: &str) -> PathBuf {
        let name = format!("riverrun-offsets-{}-{name}", std::process::id());
        std::env::temp_dir().join(name)
    }

    /// A file that Kafka Connect 4.3.1's standalone worker has written, read and written back.
    #[tokio::test]
    async fn the_jvms_file() {
        let recorded = include_bytes!("testdata/jvm.offsets");
        let path = file("jvm");
        fs::write(&path, recorded).unwrap();
        let store = OffsetFile::open(path.to_str().unwrap()).unwrap();
        let [(partition, offset)] = &store.list("from-jvm").await.unwrap()[..] else {
            panic!("one entry")
        };
        assert_eq!(*partition, object(r#"{"filename":"/tmp/riverrun-offsets-in.txt"}"#));
        assert_eq!(*offset, object(r#"{"position":14}"#));
        let same = vec![(partition.clone(), Some(offset.clone()))];
        store.write("from-jvm", same).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), recorded);
        fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn a_partition_is_known_in_any_order_of_its_fields() {
        let path = file("order");
        let store = OffsetFile::open(path.to_str().unwrap()).unwrap();
        let (a, b) = (object(r#"{"x":1,"y":"ü"}"#), object(r#"{"y":"ü","x":1}"#));
        for (partition, position) in [(&a, "1"), (&b, "2")] {
            let offset = object(&format!(r#"{{"position":{position}}}"#));
            store.write("c", vec![(partition.clone(), Some(offset))]).await.unwrap();
        }
        store.write("d", vec![(b.clone(), Some(object("{}")))]).await.unwrap();
        let store = OffsetFile::open(path.to_str().unwrap()).unwrap();
        assert_eq!(store.read("c", &a).await.unwrap(), Some(object(r#"{"position":2}"#)));
        assert_eq!(store.list("c").await.unwrap().len(), 1);
        let bytes = fs::read(&path).unwrap();
        let key = br#"["c",{"x":1,"y":"#;
        assert!(bytes.windows(key.len()).any(|window| window == key), "the first form stays");
        store.write("c", vec![(b, None)]).await.unwrap();
        let store = OffsetFile::open(path.to_str().unwrap()).unwrap();
        assert_eq!(store.read("c", &a).await.unwrap(), None);
        assert_eq!(store.list("d").await.unwrap().len(), 1);
        fs::remove_file(&path).unwrap();
    }

    /// Java writes an array that it has written before as a reference of five bytes. A small file
    /// of a large array and many references must not become many large arrays.
    #[test]
    fn an_array_that_is_named_often_is_kept_once() {
        let array: Arc<[u8]> = vec![b'x'; 100_000].into();
        let many: Vec<Entry> = (0..10_000).map(|_| (Some(array.clone()), None)).collect();
        let file = encode(&many);
        assert!(file.len() < 200_000, "{}", file.len());
        let read = decode(&file).unwrap();
        assert!(
            read.iter()
                .all(|(key, _)| Arc::ptr_eq(key.as_ref().unwrap(), read[0].0.as_ref().unwrap()))
        );
        assert_eq!(read, many);
    }

    #[test]
    fn changes_follow_one_another() {
        let p = |name: &str| object(&format!(r#"{{"p":"{name}"}}"#));
        let o = |offset: u32| Some(object(&format!(r#"{{"o":{offset}}}"#)));
        let shown = |entries: &[Entry]| {
            let text = |bytes: &Option<Arc<[u8]>>| {
                String::from_utf8(bytes.as_deref().unwrap().to_vec()).unwrap()
            };
            let lines = entries.iter().map(|(key, value)| text(key) + &text(value));
            lines.collect::<Vec<_>>().join(" ")
        };
        let one = changed(&[], "c", vec![(p("a"), o(1)), (p("b"), o(2)), (p("a"), o(3))]);
        assert_eq!(shown(&one), r#"["c",{"p":"a"}]{"o":3} ["c",{"p":"b"}]{"o":2}"#);
        let two = vec![(p("a"), None), (p("a"), o(4)), (p("x"), None), (p("b"), o(5))];
        let two = changed(&one, "c", two);
        assert_eq!(shown(&two), r#"["c",{"p":"b"}]{"o":5} ["c",{"p":"a"}]{"o":4}"#);
        assert_eq!(shown(&changed(&two, "d", vec![(p("a"), None)])), shown(&two));
        assert_eq!(changed(&two, "c", vec![(p("a"), None), (p("b"), None)]), []);
    }

    #[test]
    fn other_files_are_refused() {
        let refused = |bytes: &[u8]| decode(bytes).unwrap_err();
        let string = b"\xAC\xED\0\x05t\0\x01x";
        let list = b"\xAC\xED\0\x05sr\0\x13java.util.ArrayList";
        assert_eq!(refused(list), "Expected HashMap but found class java.util.ArrayList");
        assert_eq!(refused(string), "Expected HashMap but found another kind of object");
        assert_eq!(refused(b"hello"), "it is no file of serialised Java objects");
        let bytes = |bytes: &[u8]| Some(Arc::from(bytes));
        let whole = encode(&[(bytes(&[1; 40]), None), (bytes(&[2]), bytes(&[]))]);
        for end in 1..whole.len() {
            refused(&whole[..end]);
        }
        assert_eq!(decode(&[]), Ok(vec![]));
        let missing = OffsetFile::open("/no/such/dir/file").err().unwrap();
        assert!(missing.contains("/no/such/dir/file"), "{missing}");
    }
}
