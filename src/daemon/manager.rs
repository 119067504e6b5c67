//! Tells the service manager that started us how far we are (sd_notify(3), `Type=notify`).

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Where it listens, if it does.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Queries are answered.
pub(super) const READY: &str = "READY=1";
/// They soon are no longer.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Says `what` to whoever waits for it. A manager that hears nothing stops us in its own time, which
/// is no reason to stop before.
pub(super) fn tell(what: &str) {
    let Some(at) = env::var_os(VARIABLE).filter(|at| !at.is_empty()) else { return };
    if let Err(error) = send(&at, what) {
        tracing::warn!(%error, what, "the service manager could not be told");
    }
}

fn send(at: &OsStr, what: &str) -> io::Result<()> {
    // A name that begins with `@` stands in no folder (unix(7), abstract sockets).
    let address = match at.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(at)?,
    };
    UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address).map(|_| ())
}
