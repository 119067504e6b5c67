//! A folder of a test's own, with the operator's files in it.

use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The folder; it goes when the test ends.
pub struct Scratch(TempDir);

impl Scratch {
    /// An empty folder.
    pub fn new() -> Self {
        Scratch(tempfile::Builder::new().prefix("tradewind-").tempdir().unwrap())
    }

    /// The folder with `files`: path and text of each.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new();
        for (path, text) in files {
            scratch.write(path, text);
        }
        scratch
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file whole, so that nobody reads half of it: beside its place, then moved there.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let target = self.path().join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let draft = target.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &target).unwrap();
        target
    }

    /// The text of a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// Deletes a file.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path().join(path)).unwrap();
    }
}
