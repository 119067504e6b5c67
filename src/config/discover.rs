//! Which files belong to a set: those in the known folders, and what a zone's text includes.
//!
//! Only *finds* includes, as [`Content`] noted them and by one key; what they mean, and that one is
//! missing, is for those who parse the text to say.

use super::{
    content::{Content, is_zone_text},
    sources::{Files, SourceFile, SourcesError, ZoneSources},
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};
use toml::de::DeTable;

/// A zone of more files than this includes itself in some way nobody meant.
const ZONE_FILES_MAX: usize = 1_000;
/// Ten million names of fifty bytes; more is a mistake, such as a database under a wrong name.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Where files come from.
pub(super) trait Folder: Sync {
    /// The files directly in `sub`; none if there is no such folder.
    fn list(&self, sub: &str) -> io::Result<Vec<PathBuf>>;
    /// The file at `path`, if there is one.
    fn load(&self, path: &Path) -> Option<SourceFile>;
}

/// A folder of the machine.
pub(super) struct OnDisk<'d>(pub &'d Path);

impl Folder for OnDisk<'_> {
    fn list(&self, sub: &str) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.0.join(sub)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(Path::new(sub).join(entry?.file_name()))).collect()
    }

    fn load(&self, path: &Path) -> Option<SourceFile> {
        let full = self.0.join(path);
        let (modified, content) = match fs::metadata(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => (SystemTime::UNIX_EPOCH, Err(error.to_string())),
            Ok(meta) => (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), content(&full, &meta)),
        };
        Some(SourceFile { modified, content: content.map_err(Into::into) })
    }
}

/// What the file at `path` holds, or why that cannot be known.
fn content(path: &Path, meta: &fs::Metadata) -> Result<Content, String> {
    if !meta.is_file() {
        return Err("is not a regular file".into());
    }
    if meta.len() > FILE_BYTES_MAX {
        let (has, may) = (meta.len() >> 20, FILE_BYTES_MAX >> 20);
        return Err(format!("has {has} MiB; {may} MiB is the most a file may have"));
    }
    Content::read(path, meta.len(), path)
}

/// Files kept elsewhere.
pub(super) struct InMemory(pub BTreeMap<PathBuf, SourceFile>);

impl Folder for InMemory {
    fn list(&self, sub: &str) -> io::Result<Vec<PathBuf>> {
        let paths = self.0.keys();
        Ok(paths.filter(|path| path.parent() == Some(Path::new(sub))).cloned().collect())
    }
    fn load(&self, path: &Path) -> Option<SourceFile> {
        self.0.get(path).cloned()
    }
}

/// The files in `sub` with one of `extensions`, in order; those that begin with a dot belong to
/// editors and deployment tools.
pub(super) fn listed(
    folder: &dyn Folder,
    sub: &str,
    extensions: &[&str],
) -> Result<Vec<PathBuf>, SourcesError> {
    let paths =
        folder.list(sub).map_err(|cause| SourcesError::Unlisted { path: sub.into(), cause })?;
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && extensions.contains(&&*ending)
    };
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(ours).collect();
    paths.sort();
    Ok(paths)
}

/// The zone whose main file is `main`, with everything it includes.
pub(super) fn zone(folder: &dyn Folder, main: &Path) -> Option<ZoneSources> {
    let main: Arc<Path> = main.into();
    let mut files = BTreeMap::from([(main.clone(), folder.load(&main)?)]);
    let mut unread: Vec<Arc<Path>> = vec![main.clone()];
    while let Some(path) = unread.pop() {
        let Ok(content) = files[&path].content.clone() else {
            continue;
        };
        for written in includes(&content, &path) {
            let mut candidates = candidates(&written, &path);
            let known = |path: &PathBuf| files.contains_key(path.as_path());
            if files.len() >= ZONE_FILES_MAX || candidates.clone().any(|path| known(&path)) {
                continue;
            }
            let found = candidates.find_map(|path| Some((folder.load(&path)?, path)));
            if let Some((file, path)) = found {
                let path: Arc<Path> = path.into();
                files.insert(path.clone(), file);
                unread.push(path);
            }
        }
    }
    Some(ZoneSources { main, files: Files(files) })
}

/// Where an include may stand, best first: relative to the operator's folder, as every path in a
/// file is; else beside the file that names it, as in other servers' zone files.
pub(super) fn candidates(
    written: &str,
    from: &Path,
) -> impl Iterator<Item = PathBuf> + Clone + use<> {
    let beside = from.parent().unwrap_or(Path::new("")).join(written);
    [plain(Path::new(written)), plain(&beside)].into_iter()
}

/// The path without `.` parts, so that a file has one name.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The files `content` includes: by `$INCLUDE` lines, and by a zone file's `include` key.
fn includes(content: &Content, path: &Path) -> Vec<String> {
    let mut written: Vec<String> = content.includes().iter().map(ToString::to_string).collect();
    let text = content.text().filter(|text| !is_zone_text(path) && text.contains("include"));
    if let Some(text) = text {
        let table = DeTable::parse_recoverable(text).0.into_inner();
        let values = table.get("include").and_then(|v| v.get_ref().as_array());
        let paths = values.into_iter().flat_map(|array| array.iter());
        written.extend(paths.filter_map(|path| Some(path.get_ref().as_str()?.to_owned())));
    }
    written
}
