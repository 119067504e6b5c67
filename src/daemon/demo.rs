//! `tradewind demo`: the repository's example files, three regions as tiny HTTP backends on
//! loopback addresses, and a server that steers between them.

use super::{ServeOptions, backends::Addresses, run};
use crate::cli::Exit;
use anyhow::Context;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

/// The example files, as they are in the repository.
const FILES: [(&str, &str); 11] = [
    ("drills/all-down.toml", include_str!("../../drills/all-down.toml")),
    ("drills/broken-reload.toml", include_str!("../../drills/broken-reload.toml")),
    ("drills/checker-cut-off.toml", include_str!("../../drills/checker-cut-off.toml")),
    ("drills/flap.toml", include_str!("../../drills/flap.toml")),
    ("drills/hang.toml", include_str!("../../drills/hang.toml")),
    ("drills/region-loss.toml", include_str!("../../drills/region-loss.toml")),
    ("tradewind.toml", include_str!("../../tradewind.toml")),
    ("healthchecks/web.toml", include_str!("../../healthchecks/web.toml")),
    ("rollouts/www.toml", include_str!("../../rollouts/www.toml")),
    ("zones/gtm.example.com.toml", include_str!("../../zones/gtm.example.com.toml")),
    ("zones/static.example.com.zone", include_str!("../../zones/static.example.com.zone")),
];

/// What to try on the example files.
const TOUR: &str = "  The nearest region, for clients on three continents (ECS):
    dig @127.0.0.1 -p 5300 api.gtm.example.com +short +subnet=18.7.22.0/24   # US: 192.0.2.30
    dig @127.0.0.1 -p 5300 api.gtm.example.com +short +subnet=193.0.6.0/24   # Europe: 198.51.100.10
    dig @127.0.0.1 -p 5300 api.gtm.example.com +short +subnet=133.11.0.0/24  # Japan: 203.0.113.20

  The canary split, 90 to 10, over a thousand queries; the same by client:
    $T query www.gtm.example.com --count 1000 --tally
    $T query beta.gtm.example.com --count 1000 --tally --clients

  Why a client gets what it gets:
    $T explain api.gtm.example.com --client 133.11.0.1

  Who answers `app` now, and once its region is lost (below):
    dig @127.0.0.1 -p 5300 app.gtm.example.com +short

  The canary from 10 % to all clients, step by step and judged by its health; takes a minute:
    $T rollout start www
    $T rollout status www --watch

  A game day: lose a region on purpose, with a verdict at the end:
    $T drill list
    $T drill run region-loss --yes

";

/// Where the example files let probes connect to.
const REGIONS: [(&str, u8); 3] = [("us-east-1", 11), ("eu-west-1", 12), ("ap-northeast-1", 13)];
const PORT: u16 = 8080;

/// What the daemon runs beside the server.
pub(super) struct Demo {
    pub(super) backends: Addresses,
}

/// Unpacks the examples, or copies what is in `files`, into a scratch folder and serves that
/// until Ctrl-C.
///
/// # Errors
/// When the folder cannot be written or the server cannot start.
pub fn demo(files: Option<&Path>) -> anyhow::Result<Exit> {
    let dir = std::env::temp_dir().join(format!("tradewind-demo-{}", std::process::id()));
    let filled = match files {
        None => unpack(&dir).map_err(anyhow::Error::from),
        Some(files) => copy(files, &dir),
    };
    filled.with_context(|| format!("cannot write the demo's files to {}", dir.display()))?;
    let address = |host| SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), PORT));
    let backends = REGIONS.into_iter().map(|(region, host)| (region, address(host))).collect();
    let tour = if files.is_none() { TOUR } else { "" };
    say(&introduction(&dir, tour));
    let options = ServeOptions { dir: dir.clone(), ready_file: None };
    let outcome = run(&options, Some(Demo { backends }));
    // A folder that cannot be removed is left behind in the scratch space; nothing depends on it.
    let _ = fs::remove_dir_all(&dir);
    outcome
}

fn say(text: &str) {
    use std::io::Write;
    // The demo runs as well when nobody reads what it says.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn unpack(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir.join("geoip"))?;
    for (path, text) in FILES {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

/// Copies what an operator writes; what a server of that folder left there stays behind.
fn copy(files: &Path, dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        files.join("tradewind.toml").is_file(),
        "{} has no tradewind.toml",
        files.display()
    );
    copy_folder(files, dir, &["state", "run"]).map_err(Into::into)
}

fn copy_folder(from: &Path, to: &Path, but: &[&str]) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let to = to.join(&name);
        if kind.is_dir() && !but.iter().any(|but| name == *but) {
            copy_folder(&entry.path(), &to, &[])?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn introduction(dir: &Path, tour: &str) -> String {
    let dir = dir.display();
    // As it was called, so that the lines below can be copied whether it is installed or not.
    let exe = std::env::current_exe().unwrap_or_else(|_| "tradewind".into());
    let exe = exe.display();
    format!(
        "\
Tradewind demo: three regions on 127.0.0.11-13, a name server on 127.0.0.1:5300.
The files are in {dir}; edit them, then `tradewind reload` (or wait a second, with `watch = true`).

In another terminal:

  T={exe}
  cd {dir}

{tour}  Lose a region, see its clients move within seconds, and bring it back:
    $T demo kill us-east-1
    $T status
    $T demo restore us-east-1

Ctrl-C stops it all.

"
    )
}
