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

/// What a look into `geoip/` brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The data now in force, or what is wrong with the file.
    pub what: Arc<str>,
    /// Whether it was taken.
    pub taken: bool,
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

    /// Reads a new or changed database; nothing if all is as it was. What is wrong with it goes
    /// into `problems` too.
    pub fn refresh(&mut self, problems: &mut Problems) -> Option<Found> {
        let found = self.found();
        for ignored in found.iter().skip(1) {
            problems.push(warning(
                &ignored.path,
                "is not used: one database at a time in this version, the first by name".into(),
            ));
        }
        let Some(first) = found.into_iter().next() else {
            self.from.take()?;
            self.table = OnceLock::new();
            return Some(Found { what: "the embedded country table".into(), taken: true });
        };
        if self.from.as_ref() == Some(&first) {
            return None;
        }
        let name = first.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match mmdb::read(&first.path) {
            Ok(table) => {
                let what = format!("{name}: {} of {}", table.info.source, table.info.date);
                self.table = OnceLock::from(Arc::new(table));
                self.from = Some(first);
                Some(Found { what: what.into(), taken: true })
            }
            Err(problem) => {
                let why = format!("cannot be used: {problem}; the old location data stay in force");
                problems.push(warning(&first.path, why));
                Some(Found { what: format!("{name} {problem}").into(), taken: false })
            }
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
