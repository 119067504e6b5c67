//! `peers` of `[server]`: the other servers for the same zones, as written.

use super::{
    Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use std::{net::IpAddr, path::PathBuf};

/// Servers beside this one. Every change is told to each in turn.
const PEERS_MAX: usize = 16;

/// Another server for the same zones.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerDef {
    /// What it is called: `--node NAME`.
    pub name: Spanned<String>,
    /// Where its `[server] admin` is: `https://ns2.example.net:8053`.
    pub admin: String,
    /// The file with the token it is to be asked with; without one it is only looked at.
    pub token_file: Option<PathBuf>,
    /// The file with the certificates that vouch for it, beside those of the machine.
    pub ca_file: Option<PathBuf>,
}

/// Reads `peers`.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, server: &mut Table<'i>) -> Vec<PeerDef> {
    let list = server.take(reader, "peers", |reader, value| {
        reader.list(value, "tables such as { name = \"ns2\", admin = \"https://…\" }", peer)
    });
    let mut peers: Vec<PeerDef> = Vec::new();
    for def in list.map(Spanned::into_inner).unwrap_or_default() {
        let def = def.into_inner();
        let name = def.name.get_ref();
        let same = peers.iter().any(|known| known.name.get_ref() == name);
        if same || name == HERE {
            let help = "`--node` must tell them from each other and from `here`";
            reader.report_help(def.name.span(), "this name is taken", help);
        } else if peers.len() == PEERS_MAX {
            reader.report(def.name.span(), format!("there are more than {PEERS_MAX} peers"));
            break;
        } else {
            peers.push(def);
        }
    }
    peers
}

/// What `--node` calls the server of the folder itself.
pub const HERE: &str = "here";

fn peer<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<PeerDef> {
    let mut table = reader.table("a peer".into(), value)?;
    let name = table.require(reader, "name", "\"ns2\"", |reader, value| {
        let span = value.span();
        let name = scalar::string(reader, value)?;
        match scalar::check_name(&name) {
            Ok(()) => Some(name),
            Err(why) => {
                reader.report(span, why);
                None
            }
        }
    });
    let admin = table.require(reader, "admin", "\"https://ns2.example.net:8053\"", admin);
    let token_file = table.take(reader, "token_file", scalar::string);
    let ca_file = table.take(reader, "ca_file", scalar::string);
    table.finish(reader);
    Some(PeerDef {
        name: name?,
        admin: admin?.into_inner(),
        token_file: token_file.map(|file| file.into_inner().into()),
        ca_file: ca_file.map(|file| file.into_inner().into()),
    })
}

/// `https://HOST:PORT`, or `http://` to this machine itself: a token that goes in the clear is
/// everybody's.
fn admin<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let url = scalar::string(reader, value)?;
    let bare = url.trim_end_matches('/').to_owned();
    let help = "write \"https://ns2.example.net:8053\"";
    let (scheme, host) = bare.split_once("://").unwrap_or(("", &bare));
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
        reader.report_help(span, "this is no address of a server", help);
        return None;
    }
    match scheme {
        "https" => Some(bare),
        "http" if is_loopback(host) => Some(bare),
        "http" => {
            let why = "only this machine itself may be asked without TLS: the token would be seen";
            reader.report_help(span, why, help);
            None
        }
        _ => {
            reader.report_help(span, "this is no https:// address", help);
            None
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
