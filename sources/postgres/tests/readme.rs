//! The reference table in the README is made from the definition of the keys.

use std::{env, fs, path::Path};

const MARK: &str = "<!-- config -->\n";

#[test]
fn readme_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once(MARK).expect("the README has the mark");
    let wanted = format!("{before}{MARK}\n{}", riverrun_source_postgres::config::CONFIG.markdown());
    if env::var_os("REWRITE").is_some() {
        return fs::write(&path, wanted).unwrap();
    }
    assert!(
        text == wanted,
        "README.md is out of date: REWRITE=1 cargo test -p riverrun-source-postgres --test readme"
    );
}

/// A default that does not parse would surface only when somebody leaves the key out.
#[test]
fn defaults_are_valid() {
    let props = [
        ("database.hostname", "h"),
        ("database.user", "u"),
        ("database.dbname", "d"),
        ("topic.prefix", "p"),
        ("plugin.name", "pgoutput"),
    ];
    if let Err(errors) = riverrun_source_postgres::config::CONFIG.parse(props) {
        panic!("{}", errors.join("\n"));
    }
}
