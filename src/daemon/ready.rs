//! The ready file: says where the server can be reached, once it can.

use anyhow::Context;
use serde::Serialize;
use std::{fs, io::ErrorKind, net::SocketAddr, path::Path};

#[derive(Serialize)]
struct Ready<'a> {
    udp: &'a [SocketAddr],
    tcp: &'a [SocketAddr],
    admin: Option<SocketAddr>,
    control: &'a Path,
    pid: u32,
}

/// Removes what a server that was killed left there.
pub(super) fn withdraw(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the old {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes it beside its place and renames it, so that whoever waits sees all of it.
pub(super) fn write(
    path: &Path,
    addresses: &[SocketAddr],
    admin: Option<SocketAddr>,
    control: &Path,
) -> anyhow::Result<()> {
    let pid = std::process::id();
    let ready = Ready { udp: addresses, tcp: addresses, admin, control, pid };
    let text = serde_json::to_vec(&ready).context("writing the ready file")?;
    let beside = path.with_extension("part");
    let cannot = || format!("cannot write the ready file {}", path.display());
    fs::write(&beside, text).with_context(cannot)?;
    fs::rename(&beside, path).with_context(cannot)
}
