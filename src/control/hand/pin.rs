//! `state/PIN`: freezes all automation, even when nothing else works.
//!
//! A file, so that it can be made with `touch` and taken away with `rm` while the server does not
//! answer, or is not there. Its text is the reason. A server looks once a second.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// More of a reason nobody reads; and the file may be anything.
const REASON_BYTES: usize = 500;

/// The file, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinFile {
    /// Its first line, if it has one.
    pub reason: Option<String>,
    /// When it was made, for people.
    pub since: Option<SystemTime>,
}

/// Where it stands.
pub fn path(state: &Path) -> PathBuf {
    state.join("PIN")
}

/// The file, if it is there. One that cannot be read is there.
pub fn pinned(state: &Path) -> Option<PinFile> {
    let path = path(state);
    let since = match fs::symlink_metadata(&path) {
        Ok(found) => found.modified().ok(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return None;
        }
        Err(_) => None,
    };
    let text = read_start(&path).unwrap_or_default();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    Some(PinFile { reason: line.map(str::to_owned), since })
}

fn read_start(path: &Path) -> io::Result<String> {
    use io::Read;
    // A pipe in its place would keep us waiting.
    if !fs::metadata(path)?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(REASON_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Makes the file; one that is there is replaced.
///
/// # Errors
/// When it cannot be written.
pub fn pin(state: &Path, who: &str, reason: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(state)?;
    let text = match reason {
        Some(reason) => format!("{who}: {reason}\n"),
        None => format!("{who}\n"),
    };
    fs::write(path(state), text)
}

/// Takes it away; whether it was there.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn unpin(state: &Path) -> io::Result<bool> {
    match fs::remove_file(path(state)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_pins_whatever_is_in_it_and_its_first_line_is_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert_eq!(pinned(&state), None);
        assert!(!unpin(&state).unwrap());
        pin(&state, "alice", Some("storm")).unwrap();
        let found = pinned(&state).unwrap();
        assert_eq!(found.reason.as_deref(), Some("alice: storm"));
        assert!(found.since.is_some());
        assert!(unpin(&state).unwrap() && pinned(&state).is_none());
        fs::write(path(&state), "").unwrap();
        assert_eq!(pinned(&state).unwrap().reason, None);
        fs::write(path(&state), [0xff; 1000]).unwrap();
        assert!(pinned(&state).unwrap().reason.unwrap().len() <= 3 * REASON_BYTES);
        unpin(&state).unwrap();
        fs::create_dir(path(&state)).unwrap();
        assert!(pinned(&state).is_some(), "a folder of that name pins as well");
    }
}
