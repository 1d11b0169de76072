//! Tells the program the commit it is built from; "unknown" outside a git checkout.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    println!("cargo::rerun-if-changed=build.rs");
    let asked = Command::new("git").args(["rev-parse", "--short=16", "HEAD"]).output();
    let commit = asked
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    if let Some(commit) = commit {
        println!("cargo::rustc-env=RIVERRUN_COMMIT={}", commit.trim());
    }
}
