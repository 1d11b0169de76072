//! The reference tables in the README are made from the definitions of the keys.

use std::{env, fs, path::Path};

use riverrun_source_mysql::config::{MARIADB, MYSQL};

const MARK: &str = "<!-- config -->\n";

#[test]
fn readme_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once(MARK).expect("the README has the mark");
    let wanted = format!(
        "{before}{MARK}\n### MySQL\n\n{}\n### MariaDB\n\n{}",
        MYSQL.markdown(),
        MARIADB.markdown()
    );
    if env::var_os("REWRITE").is_some() {
        return fs::write(&path, wanted).unwrap();
    }
    assert!(
        text == wanted,
        "README.md is out of date: REWRITE=1 cargo test -p riverrun-source-mysql --test readme"
    );
}

/// A default that does not parse would surface only when somebody leaves the key out.
#[test]
fn defaults_are_valid() {
    let props = [
        ("database.hostname", "h"),
        ("database.user", "u"),
        ("database.server.id", "5"),
        ("topic.prefix", "p"),
    ];
    for def in [&MYSQL, &MARIADB] {
        if let Err(errors) = def.parse(props) {
            panic!("{}", errors.join("\n"));
        }
    }
}
