//! What no compiler checks: the direction of dependencies, unfinished work, sizes, names of machines.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Who may depend on whom of ours. Connectors never see Kafka, REST, converters or one another.
fn may_use(package: &str) -> &'static [&'static str] {
    match package {
        "riverrun-model" => &[],
        "riverrun-codec" | "riverrun-transforms" | "riverrun-snapshot" | "riverrun-relational" => {
            &["riverrun-model"]
        }
        source if source.starts_with("riverrun-source-") => {
            &["riverrun-model", "riverrun-snapshot", "riverrun-relational"]
        }
        // It writes lines of JSON for people, in the form the converters have.
        "riverrun-sink-stream" => &["riverrun-model", "riverrun-codec"],
        sink if sink.starts_with("riverrun-sink-") => &["riverrun-model"],
        "riverrun" => &["*"],
        other => {
            panic!("{other} has no place in the layers: see ARCHITECTURE.md, then add it here")
        }
    }
}

#[test]
fn layers() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut seen = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let allowed = may_use(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let needs = dependency["name"].as_str().unwrap();
            // What tests alone need builds no wall.
            let ours = needs.starts_with("riverrun") && dependency["kind"].is_null();
            assert!(
                !ours || allowed == ["*"] || allowed.contains(&needs),
                "{name} depends on {needs}: it may only use {allowed:?}"
            );
        }
        seen.insert(name, allowed);
    }
    assert!(seen.len() >= 6 && seen.contains_key("riverrun-model"), "{seen:?}");
}

/// Every text file of the project.
fn files() -> Vec<(PathBuf, String)> {
    let mut open = vec![root().to_path_buf()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !["target", ".git", ".lab"].iter().any(|skipped| name == *skipped) {
                    open.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root()).unwrap().to_path_buf(), text));
            }
        }
    }
    assert!(found.len() > 50, "the walk found {} files", found.len());
    found
}

/// Words are put together here, so that this file does not hold them.
#[test]
fn nothing_unfinished() {
    let words =
        [["tod", "o!"], ["unimplemen", "ted!"], ["#[ign", "ore"], ["FIX", "ME"], ["XX", "X"]];
    for (path, text) in files() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            for word in words.map(|parts| parts.concat()) {
                assert!(!text.contains(&word), "{} holds {word}", path.display());
            }
        }
    }
}

#[test]
fn no_names_of_machines() {
    let words = [["/wo", "rk/"], ["/ro", "ot/"], [".libr", "ary"], ["../sha", "red"]];
    for (path, text) in files() {
        for word in words.map(|parts| parts.concat()) {
            assert!(!text.contains(&word), "{} holds {word}", path.display());
        }
    }
}

/// Properties are plain texts, and passwords are among them: what holds them is not printed as a
/// whole. What keeps a password by itself is a `model::config::Secret`.
#[test]
fn no_properties_are_printed() {
    // A topic's settings, and addresses by member.
    let harmless =
        ["configs: BTreeMap<String, String>", "members: Option<BTreeMap<String, String>>"];
    let mut looked_at = 0;
    for (path, text) in files() {
        let test = path.components().any(|part| part.as_os_str() == "tests");
        if test || path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let derived = text.split("#[derive(").skip(1).filter_map(|rest| rest.split_once(")]"));
        for (traits, item) in derived {
            if !traits.split(", ").any(|name| name == "Debug") {
                continue;
            }
            looked_at += 1;
            let end = [";\n", "\n}"].into_iter().filter_map(|end| item.find(end)).min();
            let item = item[..end.unwrap_or(item.len())].to_owned();
            let item = harmless.iter().fold(item, |item, field| item.replace(field, ""));
            for held in [": Props", "<Props", "(Props", "BTreeMap<String, String>"] {
                assert!(!item.contains(held), "{} prints properties:{item}", path.display());
            }
        }
        let all = ["pro", "ps:?"].concat();
        assert!(!text.contains(&all), "{} prints properties", path.display());
    }
    assert!(looked_at > 100, "{looked_at} types can be printed");
}

#[test]
fn files_have_one_subject() {
    for (path, text) in files() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = text.lines().count();
            assert!(lines < 1000, "{}: {lines} lines hold two subjects", path.display());
        }
    }
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    for (path, text) in files() {
        if text.starts_with("#!") && !text.starts_with("#![") {
            let mode = fs::metadata(root().join(&path)).unwrap().permissions().mode();
            assert!(mode & 0o111 != 0, "{} is a script nobody may run", path.display());
        }
    }
}
