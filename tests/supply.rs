//! What we are built from, counted: a crate more is somebody more to trust.

use std::{collections::BTreeSet, fs, process::Command};

/// Crates in the server, on the machines it is built for. One that goes makes room for another.
const CRATES_MAX: usize = 200;

#[test]
fn the_server_is_built_of_two_hundred_crates_at_most() {
    let tree = ["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"];
    let target = ["--target", "x86_64-unknown-linux-gnu", "--format", "{p}"];
    let listed = Command::new(env!("CARGO"))
        .args(tree)
        .args(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let crates: BTreeSet<&str> = listed
        .lines()
        // Besides the words for what stands there already, and where ours is.
        .map(|line| line.split(" (").next().unwrap_or(line))
        .filter(|line| !line.is_empty() && !line.starts_with("tradewind "))
        .collect();
    assert!(crates.len() <= CRATES_MAX, "{} crates", crates.len());
    assert!(crates.len() > 100, "they were counted: {}", crates.len());
}

#[test]
fn every_crate_is_the_registrys_and_known_by_its_hash() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    for package in lock.split("[[package]]\n").skip(1) {
        if package.contains("name = \"tradewind\"\n") {
            continue;
        }
        let is_registrys = package.contains("source = \"registry+");
        assert!(is_registrys && package.contains("checksum = \""), "{package}");
    }
}
