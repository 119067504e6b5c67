//! The location databases in force: what the operator put into `geoip/`, and the embedded one
//! where that says nothing.
//!
//! Nothing is read before somebody asks where a client is; from then on every look takes what is
//! new. Each file stands alone: one that cannot be read keeps what it said before and says so, at
//! every load until it is mended, and the others move on. Of two that say the same, the first by
//! name counts and the other is refused. Reads files; knows no maps and no clients.

use crate::{
    config::{Problem, Problems, Severity},
    place::{
        Clash, Database, EMBEDDED, LazyTable, LocationTable, embedded,
        mmdb::{self, MmdbProblem},
    },
};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

/// What a database is called that is damaged on purpose.
pub const DAMAGED: &str = "damaged.mmdb";
const ONE_OF_TWO: &str =
    "keep one of the two in geoip/: of files that say the same, the first by name counts";
const ONLY_MMDB: &str = "unpack it, or download the database as .mmdb, which every vendor offers";
/// Endings of what vendors sell beside MMDB files, and of MMDB files not yet unpacked.
const OTHER_FORMATS: [&str; 7] = ["gz", "tgz", "zip", "bin", "dat", "ipdb", "awdb"];

/// The newest good data of `geoip/*.mmdb`.
#[derive(Debug)]
pub struct Locations {
    dir: PathBuf,
    now: Arc<LazyTable>,
    /// What the newest look brought; empty while nobody has asked for it.
    look: Arc<OnceLock<Look>>,
    is_told: bool,
}

/// What became of one file in `geoip/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The data now in force, or what is wrong with the file.
    pub what: Arc<str>,
    /// Whether it was taken.
    pub taken: bool,
}

/// A file as it stood when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    modified: SystemTime,
    len: u64,
}

impl Stamp {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What is held of a file.
#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    database: Arc<Database>,
}

/// What one look into `geoip/` brought.
#[derive(Debug)]
struct Look {
    files: Vec<Known>,
    table: Arc<LocationTable>,
    /// What is wrong, as long as it is.
    problems: Vec<Problem>,
    /// What became of each file that is new.
    found: Vec<Found>,
}

impl Locations {
    /// The databases in `dir`; nothing is read yet.
    pub fn new(dir: &Path) -> Locations {
        let (now, look) = unread(Vec::new());
        Locations { dir: dir.to_owned(), now, look, is_told: true }
    }

    /// The data in force.
    pub fn table(&self) -> Arc<LazyTable> {
        Arc::clone(&self.now)
    }

    /// Takes what is new in the folder.
    pub fn refresh(&mut self) {
        let stamps = stamps(&self.dir);
        let Some(before) = self.look.get() else {
            if self.now.identity() != identity(&stamps) {
                (self.now, self.look) = unread(stamps);
            }
            self.is_told = false;
            return;
        };
        let mut look = Look::at(&stamps, &before.files);
        if !self.is_told {
            look.found.splice(0..0, before.found.iter().cloned());
        }
        let files: Vec<Stamp> = look.files.iter().map(|known| known.stamp.clone()).collect();
        let identity = identity(&files);
        if self.now.identity() != identity {
            self.now = Arc::new(LazyTable::of(identity, Arc::clone(&look.table)));
        }
        self.look = Arc::new(OnceLock::from(look));
        self.is_told = false;
    }

    /// What becomes of a file that holds `bytes`, which are no database; a rehearsal.
    pub(super) fn damaged(&self, bytes: &[u8], problems: &mut Problems) -> Found {
        let path = self.dir.join(DAMAGED);
        let why = match mmdb::parse(bytes) {
            Ok(_) => "is sound after all".to_owned(),
            Err(bad) => bad.to_string(),
        };
        let said = format!("cannot be used: {why}; the old location data stay in force");
        problems.push(warning(&path, said));
        Found { what: format!("{DAMAGED} {why}").into(), taken: false }
    }

    /// What became of new files since it was last told, if they were read; what is wrong with any
    /// goes into `problems`.
    pub fn news(&mut self, problems: &mut Problems) -> Vec<Found> {
        for path in listed(&self.dir, &OTHER_FORMATS) {
            problems.push(warning(&path, "is not read: it is no .mmdb".into()).help(ONLY_MMDB));
        }
        let Some(look) = self.look.get() else { return Vec::new() };
        look.problems.iter().for_each(|problem| problems.push(problem.clone()));
        match std::mem::replace(&mut self.is_told, true) {
            true => Vec::new(),
            false => look.found.clone(),
        }
    }
}

/// The data of files that are read when somebody asks, and where it then stands what came of it.
fn unread(stamps: Vec<Stamp>) -> (Arc<LazyTable>, Arc<OnceLock<Look>>) {
    let look = Arc::new(OnceLock::new());
    let into = Arc::clone(&look);
    let table = LazyTable::new(identity(&stamps), move || {
        let look: &Look = into.get_or_init(|| Look::at(&stamps, &[]));
        Arc::clone(&look.table)
    });
    (Arc::new(table), look)
}

impl Look {
    /// Reads what is not among `before`.
    fn at(stamps: &[Stamp], before: &[Known]) -> Look {
        let (mut files, mut problems, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = LocationTable::default();
        let mut taken = Vec::new();
        for stamp in stamps {
            let old = before.iter().find(|known| known.stamp.path == stamp.path);
            let same = old.filter(|known| known.stamp == *stamp);
            let new =
                same.is_none().then(|| Known::read(stamp)).transpose().unwrap_or_else(|bad| {
                    let why = format!("cannot be used: {bad}; the old location data stay in force");
                    problems.push(warning(&stamp.path, why));
                    found.push(Found {
                        what: format!("{} {bad}", stamp.name()).into(),
                        taken: false,
                    });
                    None
                });
            let news = new.as_ref().map(Known::describe);
            let Some(known) = new.or_else(|| old.cloned()) else { continue };
            let told = match table.add(Arc::clone(&known.database)) {
                Ok(()) => {
                    taken.push(stamp.name());
                    news.map(|what| Found { what: what.into(), taken: true })
                }
                Err(Clash { with, fact, family }) => {
                    let other = &taken[with];
                    let why = format!("is not used: it says {fact} of {family}, as {other} does");
                    let what = format!("{} {why}", stamp.name());
                    problems.push(warning(&stamp.path, why).help(ONE_OF_TWO));
                    news.map(|_| Found { what: what.into(), taken: false })
                }
            };
            found.extend(told);
            files.push(known);
        }
        table.fill(embedded::database);
        let gone = before.iter().filter(|old| stamps.iter().all(|new| new.path != old.stamp.path));
        found.extend(gone.map(|old| Found {
            what: format!("{} is gone", old.stamp.name()).into(),
            taken: true,
        }));
        Look { files, table: Arc::new(table), problems, found }
    }
}

impl Known {
    fn read(stamp: &Stamp) -> Result<Known, MmdbProblem> {
        let database = Arc::new(mmdb::read(&stamp.path)?);
        Ok(Known { stamp: stamp.clone(), database })
    }
    fn describe(&self) -> String {
        let Database { info, .. } = &*self.database;
        let families = self.database.families();
        format!("{}: {} of {}, {families}", self.stamp.name(), info.source, info.date)
    }
}

/// What tells the data of these files from any other.
fn identity(stamps: &[Stamp]) -> String {
    let mut identity = String::from(EMBEDDED);
    for stamp in stamps {
        let since = stamp.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(identity, " {} {} {}", stamp.path.display(), stamp.len, since.as_nanos());
    }
    identity
}

/// The databases in `dir`, by name.
fn stamps(dir: &Path) -> Vec<Stamp> {
    let mut found: Vec<Stamp> = listed(dir, &["mmdb"])
        .filter_map(|path| {
            // Updaters like symbolic links: what counts is the file behind one.
            let about = fs::metadata(&path).ok()?;
            let modified = about.modified().ok()?;
            Some(Stamp { path, modified, len: about.len() })
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The files in `dir` with one of `endings`.
fn listed(dir: &Path, endings: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.filter(move |path| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        endings.contains(&&*ending)
    })
}

fn warning(path: &Path, message: String) -> Problem {
    let file: Arc<Path> = path.into();
    let mut problem = Problem::of_file(&file, message);
    problem.severity = Severity::Warning;
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::mmdb_writer::{Database as Written, country_code};
    use serde_json::json;

    struct Folder {
        dir: tempfile::TempDir,
        locations: Locations,
        /// So that no two versions of a file look alike.
        writes: u64,
    }

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let locations = Locations::new(dir.path());
            Folder { dir, locations, writes: 0 }
        }
        fn put(&mut self, name: &str, bytes: &[u8]) {
            let path = self.dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            self.writes += 1;
            let when = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(self.writes);
            fs::File::options().append(true).open(path).unwrap().set_modified(when).unwrap();
        }
        fn country(&mut self, name: &str, code: &str) {
            let bytes = Written::v4().with("192.0.2.0/24", country_code(code)).bytes();
            self.put(name, &bytes);
        }
        fn asn(&mut self, name: &str, asn: u32) {
            let record = json!({ "autonomous_system_number": asn });
            self.put(name, &Written::v4().with("192.0.2.0/24", record).bytes());
        }
        /// Loads, asks, and says where our network is, what was told, and what is wrong.
        fn load(&mut self) -> (String, Vec<String>, Vec<String>) {
            self.locations.refresh();
            let found = self.locations.table().table().lookup([192, 0, 2, 1].into());
            let place = found.map_or_else(|| "unknown".into(), |(_, at)| at.to_string());
            let mut problems = Problems::default();
            let told = self.locations.news(&mut problems);
            let told = told
                .iter()
                .map(|found| format!("{}{}", if found.taken { "" } else { "ALARM " }, found.what));
            (place, told.collect(), problems.iter().map(|p| p.message.clone()).collect())
        }
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn nothing_is_read_before_somebody_asks() {
        let mut folder = Folder::new();
        folder.put("city.mmdb", b"no database at all");
        let mut problems = Problems::default();
        for _ in 0..2 {
            folder.locations.refresh();
            assert!(folder.locations.news(&mut problems).is_empty());
        }
        assert_eq!(problems.iter().count(), 0);
        let (place, told, problems) = folder.load();
        assert_eq!((place.as_str(), told.len(), problems.len()), ("unknown", 1, 1));
        assert!(told[0].starts_with("ALARM city.mmdb is not a whole MMDB file"), "{told:?}");
    }

    #[test]
    fn files_that_say_different_things_are_used_together_and_reload_apart() {
        let mut folder = Folder::new();
        folder.country("b-country.mmdb", "DE");
        folder.asn("a-asn.mmdb", 64500);
        let (place, told, _) = folder.load();
        assert_eq!(place, "DE AS64500");
        let want = [
            "a-asn.mmdb: Test of 2026-05-28, IPv4 only",
            "b-country.mmdb: Test of 2026-05-28, IPv4 only",
        ];
        assert_eq!(told, want);
        // One changes, the other does not even have to be there to be read.
        folder.country("b-country.mmdb", "FR");
        let (place, told, _) = folder.load();
        assert_eq!((place.as_str(), told), ("FR AS64500", vec![want[1].to_owned()]));
        assert_eq!(folder.load(), ("FR AS64500".into(), nothing(), nothing()));
        let old = folder.locations.table();
        // One breaks: what it said stays, at every load it is told, and the other moves on.
        folder.put("b-country.mmdb", b"<html>");
        folder.asn("a-asn.mmdb", 64501);
        for told_of_asn in [1, 0] {
            let (place, told, problems) = folder.load();
            assert_eq!((place.as_str(), told.len()), ("FR AS64501", 1 + told_of_asn), "{told:?}");
            assert!(problems[0].contains("the old location data stay in force"), "{problems:?}");
        }
        assert_ne!(folder.locations.table().identity(), old.identity());
        fs::remove_file(folder.dir.path().join("b-country.mmdb")).unwrap();
        let (place, told, problems) = folder.load();
        assert_eq!((place.as_str(), problems.len()), ("nowhere known AS64501", 0));
        assert_eq!(told, ["b-country.mmdb is gone"]);
    }

    #[test]
    fn of_two_files_that_say_the_same_the_first_by_name_counts() {
        let mut folder = Folder::new();
        folder.country("b.mmdb", "FR");
        folder.country("a.mmdb", "DE");
        let (place, told, problems) = folder.load();
        assert_eq!((place.as_str(), told.len(), problems.len()), ("DE", 2, 1));
        let why = "is not used: it says places of IPv4, as a.mmdb does";
        assert_eq!(told[1], format!("ALARM b.mmdb {why}"));
        assert_eq!(folder.load(), ("DE".into(), nothing(), vec![why.to_owned()]));
        fs::remove_file(folder.dir.path().join("a.mmdb")).unwrap();
        assert_eq!(folder.load().0, "FR");
    }

    #[test]
    fn files_of_other_formats_are_told() {
        let mut folder = Folder::new();
        folder.put("GeoLite2-City.tar.gz", b"");
        folder.put("README", b"");
        let mut problems = Problems::default();
        assert!(folder.locations.news(&mut problems).is_empty());
        let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages, ["is not read: it is no .mmdb"]);
    }
}
