//! The accepted sets of files, kept so that each can be gone back to.
//!
//! `state/revisions/` holds every text once under its SHA-256 (`objects/`) and one manifest for
//! each revision that names path, object and time of change. Manifests and objects are written
//! beside their place and renamed, so that a crash or a full disk leaves the last ones whole.
//! The newest [`KEPT`] revisions stay. Never needed to answer.

use crate::config::{Content, SourceFile, Sources};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Revisions kept (DESIGN §5, Reload).
pub const KEPT: usize = 10;

/// The store under `state/revisions`.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    dir: PathBuf,
}

/// One kept revision, as `rollback` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub schema: u32,
    /// Counts up with each accepted set of files, over restarts too.
    pub revision: u64,
    /// SHA-256 of the whole set, in hexadecimal.
    pub hash: String,
    /// The same of what it has in common with those of other servers for the same zones.
    #[serde(default)]
    pub shared: String,
    /// Seconds since 1970 when it was accepted.
    pub accepted: u64,
    /// Why: `start`, `reload`, `rollback to 7`, …
    pub cause: String,
    /// The files.
    pub files: Vec<Kept>,
}

/// One file of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Relative to the operator's folder.
    pub path: PathBuf,
    /// SHA-256 of its text: its name under `objects/`.
    pub object: String,
    /// Seconds since 1970 of its last change.
    pub modified: u64,
}

/// Why a revision could not be kept or brought back.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// The file system said no.
    #[error("{path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There is no such revision any more.
    #[error("revision {0} is not kept; kept are: {1}")]
    Unknown(u64, String),
    /// A manifest or object is damaged.
    #[error("{path} is damaged ({why}); it is left as it is and not used")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How.
        why: String,
    },
}

const SCHEMA: u32 = 1;

impl Revisions {
    /// The store in `state`; nothing is written before the first [`Revisions::keep`].
    pub fn new(state: &Path) -> Revisions {
        Revisions { dir: state.join("revisions") }
    }

    /// Every kept revision that can be read, oldest first.
    pub fn list(&self) -> Vec<Manifest> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut list: Vec<Manifest> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .filter_map(|path| read_manifest(&path).ok())
            .collect();
        list.sort_by_key(|manifest| manifest.revision);
        list
    }

    /// Keeps `sources` as `revision` and forgets what is older than the newest [`KEPT`].
    ///
    /// # Errors
    /// When something cannot be written; what was kept before is whole then.
    pub fn keep(
        &self,
        revision: u64,
        sources: &Sources,
        cause: &str,
        now: SystemTime,
    ) -> Result<(), RevisionError> {
        let objects = self.dir.join("objects");
        fs::create_dir_all(&objects).map_err(|cause| io_error(&objects, cause))?;
        let mut files = Vec::new();
        for (path, file) in sources.files() {
            let Ok(content) = &file.content else { continue };
            let object = content.hash().to_string();
            let place = objects.join(&object);
            if !place.exists() {
                let text = content.open().map_err(|cause| io_error(path, cause))?;
                write_whole(&place, text)?;
            }
            files.push(Kept { path: path.to_owned(), object, modified: seconds(file.modified) });
        }
        let manifest = Manifest {
            schema: SCHEMA,
            revision,
            hash: sources.hash().to_string(),
            shared: sources.shared_hash().to_string(),
            accepted: seconds(now),
            cause: cause.to_owned(),
            files,
        };
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
        write_whole(&self.manifest_path(revision), text.as_slice())?;
        self.forget();
        Ok(())
    }

    /// The files of `revision` as they were accepted.
    ///
    /// # Errors
    /// When it is not kept, or its texts no longer have the hashes they were kept under.
    pub fn restore(&self, revision: u64) -> Result<Sources, RevisionError> {
        let path = self.manifest_path(revision);
        if !path.exists() {
            let kept: Vec<String> = self.list().iter().map(|m| m.revision.to_string()).collect();
            return Err(RevisionError::Unknown(revision, kept.join(", ")));
        }
        let manifest = read_manifest(&path)?;
        let mut files = BTreeMap::new();
        for kept in manifest.files {
            let place = self.dir.join("objects").join(&kept.object);
            let damaged = |why: String| RevisionError::Damaged { path: place.clone(), why };
            let bytes = fs::metadata(&place).map_err(|cause| io_error(&place, cause))?.len();
            let content = Content::read(&place, bytes, &kept.path).map_err(damaged)?;
            if content.hash().to_string() != kept.object {
                return Err(damaged("its content does not have the hash it is named by".into()));
            }
            let modified = UNIX_EPOCH + Duration::from_secs(kept.modified);
            files.insert(kept.path, SourceFile { modified, content: Ok(content) });
        }
        Ok(Sources::restore(files))
    }

    /// Lets the texts of `sources` that are not in memory be read from here, and takes into memory
    /// what is not kept (a full disk, two versions of one file in two zones): the operator's files
    /// may change at any time, and what is in force must be there to be compiled again.
    pub fn stand_in_for(&self, sources: &mut Sources) {
        for content in sources.zone_contents_mut().filter(|content| content.text().is_none()) {
            let place = self.dir.join("objects").join(content.hash().to_string());
            if place.exists() {
                content.stands_at(place.into());
            } else if let Some(held) = content.hold() {
                *content = held;
            }
        }
    }

    /// The newest kept revision that can be brought back whole.
    pub fn newest(&self) -> Option<(u64, Sources)> {
        let list = self.list();
        let mut newest_first = list.iter().rev().map(|manifest| manifest.revision);
        newest_first.find_map(|revision| Some((revision, self.restore(revision).ok()?)))
    }

    /// The number for the next revision: one above every one kept here, be it readable or not.
    pub fn next(&self) -> u64 {
        self.numbers().last().map_or(1, |newest| newest + 1)
    }

    /// The numbers of all manifests, those that cannot be read included: damaged ones, and those
    /// that a later version wrote.
    fn numbers(&self) -> BTreeSet<u64> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return BTreeSet::new() };
        let number = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_suffix(".json")?.parse().ok()
        };
        entries.filter_map(number).collect()
    }

    fn manifest_path(&self, revision: u64) -> PathBuf {
        self.dir.join(format!("{revision:010}.json"))
    }

    /// Removes old manifests, then objects nobody names; all objects stay as long as a manifest
    /// is there that cannot be read, since it may name them. Failing to is harmless: it is tried
    /// again at the next revision.
    fn forget(&self) {
        let numbers = self.numbers();
        for &old in numbers.iter().rev().skip(KEPT) {
            let _ = fs::remove_file(self.manifest_path(old));
        }
        let kept = self.list();
        if kept.len() < numbers.len().min(KEPT) {
            return;
        }
        let named: BTreeSet<&str> =
            kept.iter().flat_map(|m| &m.files).map(|file| &*file.object).collect();
        let Ok(entries) = fs::read_dir(self.dir.join("objects")) else { return };
        for entry in entries.flatten() {
            if !entry.file_name().to_str().is_some_and(|name| named.contains(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, RevisionError> {
    let damaged = |why: String| RevisionError::Damaged { path: path.to_owned(), why };
    let text = fs::read(path).map_err(|cause| io_error(path, cause))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    match manifest.schema {
        SCHEMA => Ok(manifest),
        newer => Err(damaged(format!("schema {newer} is not known to this version"))),
    }
}

/// Writes beside, flushes, renames: readers see the old file or the new one.
fn write_whole(path: &Path, mut text: impl Read) -> Result<(), RevisionError> {
    let beside = path.with_extension("part");
    let mut write = || {
        let mut file = fs::File::create(&beside)?;
        io::copy(&mut text, &mut file)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|cause| {
        let _ = fs::remove_file(&beside);
        io_error(path, cause)
    })
}

fn io_error(path: &Path, cause: io::Error) -> RevisionError {
    RevisionError::Io { path: path.to_owned(), cause }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Progress;

    fn sources(text: &str) -> Sources {
        Sources::in_memory([("tradewind.toml", ""), ("zones/a.example.zone", text)])
    }

    #[test]
    fn a_long_text_that_is_not_kept_is_taken_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let (name, text) = (Path::new("zones/long.zone"), "n IN A 192.0.2.1\n".repeat(10_000));
        fs::create_dir(dir.path().join("zones")).unwrap();
        fs::write(dir.path().join("tradewind.toml"), "").unwrap();
        fs::write(dir.path().join(name), &text).unwrap();
        let mut sources = Sources::read(dir.path(), &Progress::default()).unwrap();
        assert_eq!(sources.text(name), None);
        Revisions::new(&dir.path().join("state")).stand_in_for(&mut sources);
        fs::write(dir.path().join(name), "edited").unwrap();
        assert_eq!(sources.text(name), Some(&*text));
    }

    #[test]
    fn a_kept_revision_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path());
        revisions.keep(1, &sources("one"), "start", UNIX_EPOCH).unwrap();
        revisions.keep(2, &sources("two"), "reload", UNIX_EPOCH).unwrap();
        assert_eq!(revisions.restore(1).unwrap(), sources("one"));
        assert_eq!(revisions.newest().unwrap(), (2, sources("two")));
        assert_eq!(revisions.next(), 3);
    }

    #[test]
    fn only_the_newest_ten_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path());
        for n in 1..=14 {
            revisions.keep(n, &sources(&n.to_string()), "reload", UNIX_EPOCH).unwrap();
        }
        let kept: Vec<u64> = revisions.list().iter().map(|m| m.revision).collect();
        assert_eq!(kept, (5..=14).collect::<Vec<_>>());
        assert!(matches!(revisions.restore(4), Err(RevisionError::Unknown(4, _))));
        // Ten texts and the empty server file they share.
        assert_eq!(fs::read_dir(dir.path().join("revisions/objects")).unwrap().count(), 11);
    }

    #[test]
    fn a_damaged_object_is_refused_and_the_one_before_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path());
        revisions.keep(1, &sources("one"), "start", UNIX_EPOCH).unwrap();
        revisions.keep(2, &sources("two"), "reload", UNIX_EPOCH).unwrap();
        let object = revisions.list()[1].files.last().unwrap().object.clone();
        fs::write(dir.path().join("revisions/objects").join(object), "twp").unwrap();
        assert!(matches!(revisions.restore(2), Err(RevisionError::Damaged { .. })));
        assert_eq!(revisions.newest().unwrap().0, 1);
    }

    #[test]
    fn what_a_later_version_kept_is_neither_overwritten_nor_robbed_of_its_texts() {
        let dir = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(dir.path());
        revisions.keep(1, &sources("one"), "start", UNIX_EPOCH).unwrap();
        revisions.keep(2, &sources("two"), "reload", UNIX_EPOCH).unwrap();
        let newest = revisions.manifest_path(2);
        let ours = fs::read_to_string(&newest).unwrap();
        fs::write(&newest, ours.replace("\"schema\": 1", "\"schema\": 2")).unwrap();
        assert_eq!((revisions.newest().unwrap().0, revisions.next()), (1, 3));
        revisions.keep(3, &sources("three"), "start", UNIX_EPOCH).unwrap();
        fs::write(&newest, ours).unwrap();
        assert_eq!(revisions.restore(2).unwrap(), sources("two"));
    }
}
