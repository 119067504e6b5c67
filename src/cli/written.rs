//! What the files of a folder say of the servers for its zones: where the folder's own hears
//! commands, where its state is, and who its peers are.
//!
//! A change for all of them is refused where that is not known for sure, since a peer that nobody
//! can read of would be left out without a word. What is for one server only goes on by what can be
//! read, with a warning.

use super::{output::Out, server::ServerError};
use crate::config::{
    Problem, Problems,
    server::{self as server_file, ServerSection},
    sources::{SERVER_FILE, Sources},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is written, as far as it can be read.
pub(super) struct Written {
    /// With what holds by default in the place of what cannot be read.
    pub section: ServerSection,
    /// What is wrong with it, drawn.
    wrong: Option<Unread>,
}

/// `tradewind.toml` does not say for sure which servers there are.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} does not say which server is meant: it cannot be read", file.display())]
pub struct Unread {
    /// The file.
    file: PathBuf,
    /// What is wrong with it, drawn, with lines.
    pub drawn: String,
}

impl Unread {
    /// What to do about it.
    pub const HINT: &'static str =
        "mend it (`tradewind check`), or say which is meant: --node here, --node NAME";
}

impl Written {
    /// What the files in `dir` say. A folder without a server file says nothing, and all defaults.
    pub fn of(dir: &Path) -> Written {
        let file: Arc<Path> = Path::new(SERVER_FILE).into();
        let mut problems = Problems::default();
        let text = std::fs::read_to_string(dir.join(SERVER_FILE)).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                problems.push(Problem::of_file(&file, format!("it cannot be read: {error}")));
            }
            String::new()
        });
        let mut read = |text: &str| {
            server_file::read_apart(&file, text, &mut problems, &mut Problems::default())
        };
        let written = read(&text).or_else(|| read(""));
        let section = written.map(|file| file.server).expect("an empty file is TOML");
        let wrong = problems.has_errors().then(|| Unread {
            file: dir.join(SERVER_FILE),
            drawn: problems.render(&Sources::in_memory([(SERVER_FILE, &*text)]), false),
        });
        Written { section, wrong }
    }

    /// Whether nothing is wrong with it.
    pub fn is_sound(&self) -> bool {
        self.wrong.is_none()
    }

    /// All of it, where nothing is wrong with it.
    pub fn sound(self) -> Result<ServerSection, ServerError> {
        match self.wrong {
            None => Ok(self.section),
            Some(wrong) => Err(ServerError::Unread(wrong)),
        }
    }

    /// What can be read of it, with a warning where that is not all.
    pub fn warned(self, out: &mut Out) -> ServerSection {
        if let Some(wrong) = &self.wrong {
            out.complain(&wrong.drawn);
            out.complain(&format!("warning: {wrong}; asked is what could be read\n"));
        }
        self.section
    }
}

/// `[server] state` of the files in `dir`.
///
/// # Errors
/// When it may be elsewhere than what can be read of them says.
pub(super) fn state_folder(dir: &Path) -> Result<PathBuf, ServerError> {
    Ok(dir.join(Written::of(dir).sound()?.state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Exit, output::tests::Page};

    fn folder(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SERVER_FILE), text).unwrap();
        dir
    }

    #[test]
    fn a_folder_without_the_file_has_a_server_where_it_is_by_default() {
        let dir = tempfile::tempdir().unwrap();
        let section = Written::of(dir.path()).sound().unwrap();
        assert_eq!(section.control, Path::new("run/tradewind.sock"));
        assert_eq!(state_folder(dir.path()).unwrap(), dir.path().join("state"));
    }

    #[test]
    fn what_may_hide_a_server_is_refused_with_its_line() {
        let cases = [
            ("[server]\nstate = \"s\"\npeers = [\n", "tradewind.toml:3"),
            ("[server]\npeers = [{ name = \"ns2\" }]\n", "tradewind.toml:2"),
            ("[server]\ncontrol = \"c\"\npeer = []\n", "tradewind.toml:3"),
            ("schema = 1\n[servers]\ncontrol = \"c\"\n", "tradewind.toml:2"),
        ];
        for (text, place) in cases {
            let dir = folder(text);
            let error = state_folder(dir.path()).unwrap_err();
            let errors = Page::default();
            let mut out = Out::into_writers(false, Page::default(), errors.clone());
            assert_eq!(error.tell(&mut out), Exit::FilesInvalid, "{text}");
            assert!(errors.text().contains(place), "{text}: {}", errors.text());
            assert!(errors.text().contains("hint: mend it"), "{}", errors.text());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(SERVER_FILE)).unwrap();
        let error = state_folder(dir.path()).unwrap_err();
        assert!(matches!(error, ServerError::Unread(_)), "{error}");
    }

    #[test]
    fn what_is_wrong_elsewhere_in_the_file_hides_no_server() {
        let dir = folder("[server]\ncontrol = \"c\"\n[pools.a]\nmembrs = 3\n[safety.x]\ny = 1\n");
        assert_eq!(Written::of(dir.path()).sound().unwrap().control, Path::new("c"));
    }

    #[test]
    fn who_goes_on_by_what_can_be_read_is_warned() {
        let dir = folder("[server]\ncontrol = \"c\"\npeer = []\n");
        let errors = Page::default();
        let mut out = Out::into_writers(false, Page::default(), errors.clone());
        assert_eq!(Written::of(dir.path()).warned(&mut out).control, Path::new("c"));
        assert!(errors.text().contains("warning: "), "{}", errors.text());
    }
}
