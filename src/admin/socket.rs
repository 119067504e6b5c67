//! The control socket: who may open it may change the server, so it is the owner's alone.
//!
//! It is bound inside a folder nobody else can enter, given its mode there and moved into place,
//! so that it never stands anywhere with wider rights; the move also replaces what a dead
//! server left. One that still answers is left alone.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// A bound control socket; its file goes when it does.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    /// Removes the file.
    pub(super) place: Place,
}

/// Where a socket stands.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    inode: u64,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error(
        "another server answers on {0}; stop it, or give this one its own `control` under [server]"
    )]
    Live(PathBuf),
    /// Something else is there.
    #[error("{0} is in the way: it is not a socket; move it, or set `control` under [server]")]
    InTheWay(PathBuf),
    /// The system says no.
    #[error("cannot make the control socket {path}: {cause}")]
    Io {
        /// Where it was to stand.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

impl ControlSocket {
    /// Binds a socket at `path`, with the folder it stands in if that is missing. To be called
    /// in a tokio runtime.
    ///
    /// # Errors
    /// When a live server or something else is there already, or the system refuses.
    pub fn bind(path: &Path) -> Result<ControlSocket, SocketError> {
        let failed = |cause| SocketError::Io { path: path.to_owned(), cause };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(failed)?;
        check_free(path)?;
        // Short, because a socket's path has room for about a hundred bytes (unix(7)).
        let private = folder.join(format!(".{}", std::process::id()));
        let bound = bind_inside(&private, path);
        // Only an empty folder is left there, or what kept us from making one.
        let _ = fs::remove_dir_all(&private);
        bound.map_err(failed)
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.place.path
    }
}

/// Binds in the new folder `private` and moves the socket to `path`.
fn bind_inside(private: &Path, path: &Path) -> io::Result<ControlSocket> {
    // A process of our number that died here may have left one.
    let _ = fs::remove_dir_all(private);
    fs::DirBuilder::new().mode(0o700).create(private)?;
    let inside = private.join("s");
    let listener = UnixListener::bind(&inside)?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&inside)?.ino();
    fs::rename(&inside, path)?;
    Ok(ControlSocket { listener, place: Place { path: path.to_owned(), inode } })
}

/// Whether `path` is free, or holds the socket of a dead server.
fn check_free(path: &Path) -> Result<(), SocketError> {
    let failed = |cause| SocketError::Io { path: path.to_owned(), cause };
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        there => there.map_err(failed)?,
    };
    if !there.file_type().is_socket() {
        return Err(SocketError::InTheWay(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Live(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Unless another server has put its own there since.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_open_it_and_it_goes_with_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/tradewind.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("run")).unwrap().count(), 1);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_refused_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let live = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::Live(_))));
        assert!(path.exists(), "the live one still stands");
        drop(live);

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let replaced = ControlSocket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(replaced);

        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::InTheWay(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
