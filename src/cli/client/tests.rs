use std::{fs, time::Duration};

use clap_complete::Shell;
use serde_json::json;

use super::*;

#[test]
fn the_definition_is_sound() {
    Client::command().debug_assert();
    for shell in Shell::value_variants() {
        let script = completion(*shell);
        for word in ["riverrun", "apply", "connect-distributed", "only-failed"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn times() {
    let cases = [
        ("500ms", Some(500)),
        ("30s", Some(30_000)),
        ("30", Some(30_000)),
        ("5m", Some(300_000)),
        ("1h", Some(3_600_000)),
        ("s", None),
        ("", None),
        ("5d", None),
        ("-1s", None),
        ("99999999999999999h", None),
    ];
    for (text, millis) in cases {
        assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn parts_of_a_path() {
    assert_eq!(http::part("a-b_c.1~"), "a-b_c.1~");
    assert_eq!(http::part("a/b ü%"), "a%2Fb%20%C3%BC%25");
}

#[test]
fn columns() {
    let rows = [["a".to_owned(), "1".to_owned()], ["größer".to_owned(), "two\nlines".to_owned()]];
    assert_eq!(table::table(["X", "Y"], &rows), "X       Y\na       1\ngrößer  two lines\n");
}

#[test]
fn what_is_hidden() {
    let keys =
        json!([{ "name": "login", "type": "PASSWORD" }, { "name": "user", "type": "STRING" }]);
    let config = json!({
        "login": "x", "user": "u", "Database.Password": "p", "a.secret.key": "s",
        "from.provider.password": "${file:/x:y}", "empty.token": "", "producer.override.sasl.jaas.config": "j",
    });
    let hidden = json!({
        "login": "[hidden]", "user": "u", "Database.Password": "[hidden]", "a.secret.key": "[hidden]",
        "from.provider.password": "${file:/x:y}", "empty.token": "", "producer.override.sasl.jaas.config": "[hidden]",
    });
    assert_eq!(secrets::Secrets::new(Some(&keys), false).masked(&config), hidden);
    assert_eq!(secrets::Secrets::new(Some(&keys), true).masked(&config), config);
}

#[test]
fn directories_of_files() {
    let home = std::env::temp_dir().join(format!("riverrun-client-{}", std::process::id()));
    let path = home.to_str().unwrap().to_owned();
    let read = || files::read(std::slice::from_ref(&path)).map_err(|failure| failure.message);
    assert!(read().is_err());
    fs::create_dir_all(&home).unwrap();
    assert!(read().err().unwrap().contains("has no *.json"));
    fs::write(home.join("b.json"), r#"{"name":"b","config":{"x":1},"initial_state":"paused"}"#)
        .unwrap();
    fs::write(home.join("a.properties"), "name=a\nx=2\n").unwrap();
    fs::write(home.join("README.md"), "nothing of it").unwrap();
    let names: Vec<String> = read().unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["a", "b"]);
    fs::write(home.join("c.json"), r#"{"name":"a","x":"3"}"#).unwrap();
    assert!(read().err().unwrap().contains("connector a is in two files"));
    fs::remove_dir_all(home).unwrap();
}
