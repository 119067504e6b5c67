//! What `cargo fuzz` holds, held of its seeds: what once broke a door, and what leads deep into it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../desk/mod.rs"]
mod desk;
#[path = "../fuzzed/mod.rs"]
mod fuzzed;
mod seeds;

use fuzzed::DOORS;
use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

/// Longer ones belong to the fuzzer's own corpus, which is not kept.
const SEED_BYTES_MAX: usize = 4 << 10;

fn fuzz(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder)
}

/// The files in a folder, by name.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn names(folder: &str) -> Vec<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    listed(&fuzz(folder)).iter().map(stem).collect()
}

#[test]
fn every_door_has_its_program_and_its_seeds() {
    let doors: Vec<_> = DOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), doors);
    assert_eq!(names("seeds"), doors);
}

#[test]
fn what_holds_at_each_door_holds_of_its_seeds() {
    let mut broken = Vec::new();
    for (door, hold) in DOORS {
        let seeds = listed(&fuzz("seeds").join(door));
        assert!(!seeds.is_empty(), "{door} has no seeds");
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            assert!(bytes.len() <= SEED_BYTES_MAX, "{} is too long", seed.display());
            if catch_unwind(|| hold(&bytes)).is_err() {
                broken.push(seed);
            }
        }
    }
    assert!(broken.is_empty(), "what these broke is said above: {broken:#?}");
}

/// Regressions, `found-…`, stay.
#[test]
#[ignore = "writes fuzz/seeds anew, for whoever changed what they are made from"]
fn write_the_seeds() {
    for (door, made) in seeds::all() {
        let folder = fuzz("seeds").join(door);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in made {
            fs::write(folder.join(name.replace(' ', "-")), bytes).unwrap();
        }
    }
}
