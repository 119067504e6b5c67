//! The operator's files as they stood at one moment.
//!
//! Plain data: path → text (in memory, or known by its hash) and time of last change, kept apart by what fails together. A zone
//! is the unit of failure on reload, so each has its own files, includes and all; everything
//! else (server file, checks, tables) holds everything back. A set can be written down file by
//! file and put together again, so that an accepted revision can be kept and gone back to.
//! Nothing here knows what is in a file; [`super::discover`] finds them.

use super::{
    Problem, Problems, Progress,
    content::{Content, is_zone_text},
    discover::{self, Folder, InMemory, OnDisk},
};
use crate::spread;
use ring::digest;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::SystemTime,
};

/// The server's own file, in the operator's folder.
pub const SERVER_FILE: &str = "tradewind.toml";

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// When it was last changed.
    pub modified: SystemTime,
    /// Its text, or why there is none: it cannot be read or is not UTF-8.
    pub content: Result<Content, Arc<str>>,
}

/// Files which stand or fall together, by path relative to the operator's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<Arc<Path>, SourceFile>);

/// Everything the operator wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// `tradewind.toml`, `healthchecks/*.toml` and `geoip/*.csv`: an error in them holds
    /// everything back.
    pub server: Files,
    /// `drills/*.toml`, `rollouts/*.toml`: what operators do with it all. An error in one holds back that one.
    pub operations: Files,
    /// The zones, each by its main file: `zones/*.toml` or `zones/*.zone`.
    pub zones: BTreeMap<Arc<Path>, ZoneSources>,
}

/// The files of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSources {
    /// The file in `zones/` which makes it a zone.
    pub main: Arc<Path>,
    /// That file and all it includes.
    pub files: Files,
}

/// SHA-256 of a text, or over the paths and contents of some files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// The tables of the server file that are each server's own: where it listens, whom it tells.
const OWN: [&str; 2] = ["server", "hooks"];

/// Why the operator's folder could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// It has no server file.
    #[error(
        "there is no {SERVER_FILE} in {dir}; make one (an empty file will do: it listens on port \
         53 of all addresses) or name another folder with -C DIR"
    )]
    NoServerFile {
        /// The folder.
        dir: PathBuf,
    },
    /// One of its folders cannot be listed.
    #[error("cannot list {path}: {cause}")]
    Unlisted {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

impl Sources {
    /// Reads everything under `dir`; tells `progress` how much text of zones there is.
    ///
    /// # Errors
    /// When there is no server file or a folder cannot be listed. A single file that cannot be
    /// read is a [`Problem`] of that file: see [`Files::problems`].
    pub fn read(dir: &Path, progress: &Progress) -> Result<Self, SourcesError> {
        let sources = Self::gather(&OnDisk(dir))?;
        let files = sources.zones.values().flat_map(|zone| &zone.files.0);
        let texts = files.filter(|(path, _)| is_zone_text(path));
        let texts = texts.filter_map(|(_, file)| file.content.as_ref().ok());
        progress.found(texts.map(Content::bytes).sum());
        match sources.server.0.contains_key(Path::new(SERVER_FILE)) {
            true => Ok(sources),
            false => Err(SourcesError::NoServerFile { dir: dir.to_owned() }),
        }
    }

    /// Puts a set together from files kept elsewhere, by their paths.
    pub fn restore(files: BTreeMap<PathBuf, SourceFile>) -> Self {
        Self::gather(&InMemory(files)).expect("a map can always be listed")
    }

    /// A set of texts that stand nowhere on disk, unchanged since the epoch.
    pub fn in_memory<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let modified = SystemTime::UNIX_EPOCH;
        let file = |text: &str| SourceFile { modified, content: Ok(Content::held(text)) };
        let files = files.into_iter();
        Self::restore(files.map(|(path, text)| (path.into(), file(text))).collect())
    }

    fn gather(folder: &dyn Folder) -> Result<Self, SourcesError> {
        let mut server = Files::default();
        if let Some(file) = folder.load(Path::new(SERVER_FILE)) {
            server.0.insert(Path::new(SERVER_FILE).into(), file);
        }
        server.add(folder, "healthchecks", "toml")?;
        server.add(folder, "geoip", "csv")?;
        let mut operations = Files::default();
        operations.add(folder, "drills", "toml")?;
        operations.add(folder, "rollouts", "toml")?;
        let mains = discover::listed(folder, "zones", &["toml", "zone"])?;
        let zones = spread::map(&mains, |main| discover::zone(folder, main));
        let zones = zones.into_iter().flatten().map(|zone| (zone.main.clone(), zone));
        Ok(Sources { server, operations, zones: zones.collect() })
    }

    /// The same with the texts of `paths` in memory, as far as they still are what they were.
    pub fn with_texts<'p>(&self, paths: impl IntoIterator<Item = &'p Path>) -> Cow<'_, Self> {
        let mut with = Cow::Borrowed(self);
        for path in paths {
            let zones = with.zones.iter();
            let in_zones = zones.filter(|(_, zone)| zone.files.is_elsewhere(path));
            let in_zones: Vec<_> = in_zones.map(|(main, _)| main.clone()).collect();
            for main in in_zones {
                if let Some(zone) = with.to_mut().zones.get_mut(&main) {
                    zone.files.hold(path);
                }
            }
        }
        with
    }

    /// The text of `path`, wherever it belongs, if it is in memory.
    pub fn text(&self, path: &Path) -> Option<&str> {
        let zones = self.zones.values();
        let included = || zones.clone().find_map(|zone| zone.files.text(path));
        let shared = self.server.text(path).or_else(|| self.operations.text(path));
        shared.or_else(|| self.zones.get(path)?.files.text(path)).or_else(included)
    }

    /// All files, each once.
    pub fn files(&self) -> BTreeMap<&Path, &SourceFile> {
        let zones = self.zones.values().flat_map(|zone| &zone.files.0);
        let all = self.server.0.iter().chain(&self.operations.0).chain(zones);
        all.map(|(path, file)| (&**path, file)).collect()
    }

    /// The texts of zones, to be found elsewhere.
    pub fn zone_contents_mut(&mut self) -> impl Iterator<Item = &mut Content> {
        let files = self.zones.values_mut().flat_map(|zone| zone.files.0.values_mut());
        files.filter_map(|file| file.content.as_mut().ok())
    }

    /// The hash of everything: equal for equal contents, whenever they were written.
    pub fn hash(&self) -> ContentHash {
        hash(self.files().into_iter())
    }

    /// The hash of what two servers for the same zones must have in common: of everything but
    /// what the server file says of its own process ([`OWN`]). Comments and the order of keys in
    /// that file do not count.
    pub fn shared_hash(&self) -> ContentHash {
        let mut files = self.files();
        let path = Path::new(SERVER_FILE);
        let shared = files.get(path).and_then(|file| {
            let table: toml::Table = file.content.as_ref().ok()?.text()?.parse().ok()?;
            let shared = table.into_iter().filter(|(key, _)| !OWN.contains(&&**key));
            let text = shared.collect::<toml::Table>().to_string();
            let content = Ok(Content::held(text.as_str()));
            Some(SourceFile { modified: file.modified, content })
        });
        if let Some(shared) = &shared {
            files.insert(path, shared);
        }
        hash(files.into_iter())
    }
}

impl Files {
    /// Adds the files in `sub` that end in `.extension`.
    fn add(&mut self, folder: &dyn Folder, sub: &str, extension: &str) -> Result<(), SourcesError> {
        for path in discover::listed(folder, sub, &[extension])? {
            if let Some(file) = folder.load(&path) {
                self.0.insert(path.into(), file);
            }
        }
        Ok(())
    }

    /// What `path` holds, if it is one of these and can be read.
    pub fn content(&self, path: &Path) -> Option<&Content> {
        self.0.get(path)?.content.as_ref().ok()
    }

    /// The text of `path`, if it is one of these and in memory.
    pub fn text(&self, path: &Path) -> Option<&str> {
        self.content(path)?.text()
    }

    /// Whether `path` is one of these and its text is not in memory.
    fn is_elsewhere(&self, path: &Path) -> bool {
        self.content(path).is_some_and(|content| content.text().is_none())
    }

    fn hold(&mut self, path: &Path) {
        let content = self.0.get_mut(path).and_then(|file| file.content.as_mut().ok());
        if let Some((content, held)) = content.and_then(|content| content.hold().zip(Some(content)))
        {
            *held = content;
        }
    }

    /// The file an include names: relative to the operator's folder, else beside the file
    /// `from` it is named in.
    pub fn find(&self, written: &str, from: &Path) -> Option<(&Arc<Path>, &SourceFile)> {
        discover::candidates(written, from).find_map(|path| self.0.get_key_value(path.as_path()))
    }

    /// The file at `path`, or at the longest end of it that is one of these: whoever joins an
    /// include to the folder of the file that names it finds it here wherever it stands.
    pub fn resolve(&self, path: &Path) -> Option<(&Arc<Path>, &SourceFile)> {
        let mut rest = path.components();
        loop {
            if let Some(found) = self.0.get_key_value(rest.as_path()) {
                return Some(found);
            }
            rest.next()?;
        }
    }

    /// The files directly in `folder` which end in `.extension`.
    pub fn in_folder<'f>(
        &'f self,
        folder: &'f str,
        extension: &'f str,
    ) -> impl Iterator<Item = (&'f Arc<Path>, &'f SourceFile)> {
        self.0.iter().filter(move |(path, _)| {
            path.parent() == Some(Path::new(folder))
                && path.extension().is_some_and(|e| e == extension)
        })
    }

    /// What is wrong with files that could not be read.
    pub fn problems(&self, problems: &mut Problems) {
        for (path, file) in &self.0 {
            if let Err(why) = &file.content {
                problems.push(Problem::of_file(path, &**why));
            }
        }
    }

    /// When the newest of them was changed.
    pub fn newest(&self) -> Option<SystemTime> {
        self.0.values().map(|file| file.modified).max()
    }

    /// The hash of their contents.
    pub fn hash(&self) -> ContentHash {
        hash(self.0.iter().map(|(path, file)| (&**path, file)))
    }
}

impl ZoneSources {
    /// The name of its main file without folder and ending: the origin of a `.zone`.
    pub fn stem(&self) -> String {
        let stem = self.main.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }
    /// Whether it is plain RFC 1035 text.
    pub fn is_plain(&self) -> bool {
        self.main.extension().is_some_and(|extension| extension == "zone")
    }
}

fn hash<'f>(files: impl Iterator<Item = (&'f Path, &'f SourceFile)>) -> ContentHash {
    let mut context = digest::Context::new(&digest::SHA256);
    for (path, file) in files {
        let content = match &file.content {
            Ok(content) => &content.hash().0,
            Err(why) => why.as_bytes(),
        };
        for part in [path.as_os_str().as_encoded_bytes(), content] {
            // Each part with its length, so that no two sets run together to the same bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    ContentHash::of(context)
}

impl ContentHash {
    /// The hash of what `context` has seen.
    pub(super) fn of(context: digest::Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        ContentHash(bytes)
    }
}

/// That a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct NoHash;

impl FromStr for ContentHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoHash);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| NoHash)?;
        }
        Ok(ContentHash(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    fn paths(files: &Files) -> Vec<&str> {
        files.0.keys().map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn each_file_goes_where_it_fails() {
        let dir = folder(&[
            ("tradewind.toml", b""),
            ("README.md", b"no file of ours"),
            ("healthchecks/web.toml", b""),
            ("healthchecks/.web.toml.swp", b""),
            ("geoip/table.csv", b""),
            ("geoip/GeoLite2-City.mmdb", b""),
            ("zones/a.example.toml", b"zone = 'a.example'\ninclude = ['a.inc']\n"),
            ("zones/a.inc", b"  $include \"deep/b.inc\" ; not\n"),
            ("deep/b.inc", b"$INCLUDE a.inc\n$INCLUDE nowhere.inc\n"),
            ("zones/b.example.zone", b"@ IN NS ns1\n"),
        ]);
        let sources = Sources::read(dir.path(), &Progress::default()).unwrap();
        assert_eq!(
            paths(&sources.server),
            ["geoip/table.csv", "healthchecks/web.toml", "tradewind.toml"]
        );
        let a = &sources.zones[Path::new("zones/a.example.toml")];
        assert_eq!(paths(&a.files), ["deep/b.inc", "zones/a.example.toml", "zones/a.inc"]);
        assert!(a.files.find("a.inc", &a.main).is_some());
        assert!(!a.is_plain());
        let b = &sources.zones[Path::new("zones/b.example.zone")];
        assert_eq!((paths(&b.files), b.is_plain()), (vec!["zones/b.example.zone"], true));
        assert_eq!(b.stem(), "b.example");
        assert_eq!(sources.text(Path::new("zones/a.inc")).map(str::len), Some(30));
    }

    #[test]
    fn a_folder_without_server_file_says_how_to_make_one() {
        let dir = folder(&[]);
        let error = Sources::read(dir.path(), &Progress::default()).unwrap_err().to_string();
        assert!(error.contains("there is no tradewind.toml in "), "{error}");
        assert!(error.contains("an empty file will do"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_text_is_a_problem_with_its_place() {
        let dir =
            folder(&[("tradewind.toml", b"# fine\n# \xff\n"), ("healthchecks/dir.toml/x", b"")]);
        let sources = Sources::read(dir.path(), &Progress::default()).unwrap();
        let mut problems = Problems::default();
        sources.server.problems(&mut problems);
        let lines: Vec<String> = problems.iter().map(|p| p.line(&sources)).collect();
        assert_eq!(
            lines,
            [
                "healthchecks/dir.toml: is not a regular file",
                "tradewind.toml: is not UTF-8 text: line 2 has a byte that belongs to no character",
            ]
        );
    }

    #[test]
    fn the_hash_is_of_contents_and_survives_being_kept() {
        let files = [("tradewind.toml", "a"), ("zones/b.zone", "b")];
        let sources = Sources::in_memory(files);
        let kept = sources.files();
        let kept = kept.into_iter().map(|(path, file)| (path.to_owned(), file.clone()));
        let mut kept: BTreeMap<PathBuf, SourceFile> = kept.collect();
        assert_eq!(Sources::restore(kept.clone()), sources);
        let server = kept.get_mut(Path::new(SERVER_FILE)).unwrap();
        server.modified += std::time::Duration::from_secs(1);
        assert_eq!(Sources::restore(kept.clone()).hash(), sources.hash());
        kept.get_mut(Path::new(SERVER_FILE)).unwrap().content = Ok(Content::held("c"));
        let changed = Sources::restore(kept);
        assert_ne!(changed.hash(), sources.hash());
        let zone = Path::new("zones/b.zone");
        assert_eq!(changed.zones[zone].files.hash(), sources.zones[zone].files.hash());
        assert_eq!(sources.hash().to_string().parse(), Ok(sources.hash()));
        assert_eq!("é".repeat(32).parse::<ContentHash>(), Err(NoHash));
    }

    #[test]
    fn long_texts_of_zones_are_read_when_they_are_wanted() {
        let long = format!("{}bad\n", "n IN A 192.0.2.1\n".repeat(5_000));
        let dir = folder(&[
            ("tradewind.toml", b""),
            ("zones/a.example.zone", long.as_bytes()),
            ("zones/b.example.toml", b"zone = 'b.example'\ninclude = ['b.inc']\n"),
            ("zones/b.inc", long.as_bytes()),
        ]);
        let progress = Progress::default();
        let sources = Sources::read(dir.path(), &progress).unwrap();
        assert_eq!(progress.now().bytes, 2 * long.len() as u64);
        let plain = Path::new("zones/a.example.zone");
        assert_eq!(sources.text(plain), None);
        let with = sources.with_texts([plain, Path::new("zones/b.example.toml")]);
        assert_eq!(with.text(plain), Some(&*long));
        assert_eq!(with.text(Path::new("zones/b.inc")), None);
        assert_eq!((with.hash(), &*with), (sources.hash(), &sources));
    }
}
