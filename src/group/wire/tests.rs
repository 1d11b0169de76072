use proptest::{collection::vec, prelude::*};

use super::*;

fn work(connectors: &[&str], tasks: &[(&str, u32)]) -> Work {
    Work {
        connectors: connectors.iter().map(|name| (*name).to_owned()).collect(),
        tasks: tasks
            .iter()
            .map(|(name, task)| TaskId { connector: (*name).to_owned(), task: *task })
            .collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assignment() -> Assignment {
    Assignment {
        error: 0,
        leader: "m".into(),
        leader_url: "u".into(),
        config_offset: 7,
        work: work(&["b"], &[("a", 1), ("b", 0)]),
        revoked: work(&[], &[("a", 0)]),
        delay_ms: 300_000,
    }
}

#[test]
fn metadata_bytes() {
    let metadata = Metadata { url: "http://a:8083/".into(), config_offset: 7, allocation: None };
    let encode = |version| hex(&metadata.encode(version).unwrap());
    let url = hex(b"http://a:8083/");
    assert_eq!(encode(Version::V0), format!("0000000e{url}0000000000000007"));
    assert_eq!(encode(Version::V1), format!("0001000e{url}0000000000000007ffffffff"));
    assert_eq!(encode(Version::V2), format!("0002000e{url}0000000000000007ffffffff"));
}

#[test]
fn assignment_bytes() {
    let encode = |version| hex(&assignment().encode(version).unwrap());
    let head = "0000" /* error */.to_owned()
        + "0001" + "6d" /* leader */ + "0001" + "75" /* url */ + "0000000000000007"
        + "00000002"
        + "000162" + "00000002" + "ffffffff" + "00000000" // b: itself and task 0
        + "000161" + "00000001" + "00000001"; // a: task 1
    let tail = "00000001".to_owned() + "000161" + "00000001" + "00000000" + "000493e0";
    assert_eq!(encode(Version::V0), format!("0000{head}"));
    assert_eq!(encode(Version::V1), format!("0001{head}{tail}"));
    assert_eq!(encode(Version::V2), format!("0002{head}{tail}"));
}

#[test]
fn null_and_empty_work_are_alike_and_the_tail_may_be_absent() {
    let head = [&[0, 1, 0, 0, 0, 1, b'm', 0, 1, b'u'][..], &7_i64.to_be_bytes()].concat();
    let expected = Assignment { work: Work::default(), revoked: Work::default(), ..assignment() };
    let delayed = [&(-1_i32).to_be_bytes()[..], &[0; 4], &300_000_i32.to_be_bytes()].concat();
    assert_eq!(Assignment::decode(&[&head[..], &delayed].concat()), Ok(expected.clone()));
    let expected = Assignment { delay_ms: 0, ..expected };
    for tail in [0, 4, 8, 12] {
        let bytes = [&head[..], &[0; 12][..tail]].concat();
        assert_eq!(Assignment::decode(&bytes), Ok(expected.clone()), "{tail}");
    }
    // A later version has these fields too, and perhaps more.
    let mut later = [&head[..], &[0; 20]].concat();
    later[1] = 9;
    assert_eq!(Assignment::decode(&later), Ok(expected));
}

/// A long name and many numbers: each task would have the name to itself.
#[test]
fn a_small_message_does_not_take_gigabytes() {
    let head = [&[0, 0, 0, 0, 0, 1, b'm', 0, 1, b'u'][..], &7_i64.to_be_bytes()].concat();
    let tasks = |name: usize, count: i32| {
        let name = [&(name as i16).to_be_bytes()[..], &vec![b'x'; name]].concat();
        let numbers = (0..count).flat_map(i32::to_be_bytes).collect();
        let parts = [head.clone(), vec![0, 0, 0, 1], name, count.to_be_bytes().to_vec(), numbers];
        Assignment::decode(&parts.concat())
    };
    assert_eq!(tasks(32_767, 2_050).unwrap_err(), Malformed::Much("the work"));
    assert_eq!(tasks(32_767, 2_000).unwrap().work.tasks.len(), 2_000);
    assert_eq!(tasks(40, 20_000).unwrap().work.tasks.len(), 20_000);
}

#[test]
fn malformed() {
    let head = [&[0, 1, 0, 0, 0, 1, b'm', 0, 1, b'u'][..], &7_i64.to_be_bytes()].concat();
    let check = |tail: &[u8]| {
        let decoded = Assignment::decode(&[&head[..], tail].concat());
        decoded.unwrap_err().to_string()
    };
    assert_eq!(check(&[0, 0]), "the message ends within the work");
    assert_eq!(check(&[0x7f, 0xff, 0xff, 0xff]), "the message ends within a connector's name");
    assert_eq!(check(&(-2_i32).to_be_bytes()), "the work has the length -2");
    let named = [0, 0, 0, 1, 0, 1, b'a'];
    assert_eq!(check(&named), "the message ends within a connector's tasks");
    let negative = [&named[..], &[0, 0, 0, 1], &(-5_i32).to_be_bytes()].concat();
    assert_eq!(check(&negative), "connector \"a\" has a task with the number -5");
    assert_eq!(check(&[0, 0, 0, 1, 0xff, 0xff]), "a connector's name has the length -1");
    assert_eq!(check(&[0, 0, 0, 1, 0, 1, 0xff]), "a connector's name is not UTF-8");
    assert_eq!(Metadata::decode(&[0xff, 0xff]), Err(Malformed::Version(-1)));
    assert_eq!(Metadata::decode(&[]), Err(Malformed::Short("the version")));
    let long = Metadata { url: "x".repeat(40_000), config_offset: 0, allocation: None };
    assert_eq!(long.encode(Version::V0), Err(Malformed::Long { what: "the url", length: 40_000 }));
}

fn any_work() -> impl Strategy<Value = Work> {
    (vec("[a-c-]{0,3}", 0..4), vec(("[a-c-]{0,3}", 0..5_u32), 0..6)).prop_map(
        |(connectors, tasks)| Work {
            connectors: connectors.into_iter().collect(),
            tasks: tasks.into_iter().map(|(connector, task)| TaskId { connector, task }).collect(),
        },
    )
}

fn any_assignment() -> impl Strategy<Value = Assignment> {
    (any::<i16>(), ".*", ".*", any::<i64>(), any_work(), any_work(), any::<i32>()).prop_map(
        |(error, leader, leader_url, config_offset, work, revoked, delay_ms)| Assignment {
            error,
            leader,
            leader_url,
            config_offset,
            work,
            revoked,
            delay_ms,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_is_read(assignment in any_assignment(), url in ".*", allocated: bool) {
        for version in [Version::V1, Version::V2] {
            let bytes = assignment.encode(version).unwrap();
            prop_assert_eq!(&Assignment::decode(&bytes).unwrap(), &assignment);
            let allocation = allocated.then(|| assignment.clone());
            let metadata = Metadata { url: url.clone(), config_offset: -1, allocation };
            let bytes = metadata.encode(version).unwrap();
            prop_assert_eq!(Metadata::decode(&bytes).unwrap(), metadata);
        }
        let bytes = assignment.encode(Version::V0).unwrap();
        let plain = Assignment { revoked: Work::default(), delay_ms: 0, ..assignment };
        prop_assert_eq!(Assignment::decode(&bytes).unwrap(), plain);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        drop((Metadata::decode(&bytes), Assignment::decode(&bytes)));
    }

    /// Closer to the real thing: a good message with one byte changed or its end cut off.
    #[test]
    fn damaged_bytes_are_read_or_refused(
        assignment in any_assignment(), at in any::<usize>(), byte in any::<u8>(), cut: bool,
    ) {
        let metadata =
            Metadata { url: String::new(), config_offset: 0, allocation: Some(assignment) };
        let mut bytes = metadata.encode(Version::V2).unwrap().to_vec();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        drop((Metadata::decode(&bytes), Assignment::decode(&bytes)));
    }
}
