//! The location database in force: the embedded one, or what the operator put into `geoip/`.
//!
//! A file that cannot be read keeps the old data and says so, at every load until it is mended.
//! Reads files; knows no maps and no clients.

use crate::{
    config::{Problem, Problems, Severity},
    place::{LocationTable, embedded, mmdb},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

/// The newest good data of `geoip/*.mmdb`.
#[derive(Debug)]
pub struct Locations {
    dir: PathBuf,
    /// The file behind `table` as it stood when it was read.
    from: Option<Stamp>,
    table: OnceLock<Arc<LocationTable>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    modified: SystemTime,
    len: u64,
}

impl Locations {
    /// The databases in `dir`; nothing is read yet.
    pub fn new(dir: &Path) -> Locations {
        Locations { dir: dir.to_owned(), from: None, table: OnceLock::new() }
    }

    /// The data in force.
    pub fn table(&self) -> Arc<LocationTable> {
        Arc::clone(self.table.get_or_init(embedded::table))
    }

    /// Reads a new or changed database. What is wrong with it goes into `problems`.
    pub fn refresh(&mut self, problems: &mut Problems) {
        let found = self.found();
        for ignored in found.iter().skip(1) {
            problems.push(warning(
                &ignored.path,
                "is not used: one database at a time in this version, the first by name".into(),
            ));
        }
        let Some(first) = found.into_iter().next() else {
            if self.from.take().is_some() {
                self.table = OnceLock::new();
            }
            return;
        };
        if self.from.as_ref() == Some(&first) {
            return;
        }
        match mmdb::read(&first.path) {
            Ok(table) => {
                self.table = OnceLock::from(Arc::new(table));
                self.from = Some(first);
            }
            Err(problem) => problems.push(warning(
                &first.path,
                format!("cannot be used: {problem}; the old location data stay in force"),
            )),
        }
    }

    fn found(&self) -> Vec<Stamp> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut found: Vec<Stamp> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "mmdb"))
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                let modified = about.modified().ok()?;
                Some(Stamp { path: entry.path(), modified, len: about.len() })
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }
}

fn warning(path: &Path, message: String) -> Problem {
    let file: Arc<Path> = path.into();
    let mut problem = Problem::of_file(&file, message);
    problem.severity = Severity::Warning;
    problem
}
