//! A debug bundle has what others need to see, with a server and without, and no secret in it,
//! wherever somebody put one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fs, path::Path, process::Command};
use support::{
    scratch::Scratch,
    server::{Server, cli},
};

/// What must not be found anywhere.
const PLANTED: &str = "s3cr3tPlant";

fn folder() -> Scratch {
    let server = format!(
        "# the old token = \"{PLANTED}0\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n\
         tokens_file = \"secrets/tokens\"\nadmin = \"127.0.0.1:0\"\n\
         [[hooks]]\nname = \"chat\"\non = [\"alarm\"]\n\
         url = \"https://hooks.invalid/services/{PLANTED}1\"\ntoken_file = \"secrets/hook\"\n"
    );
    let check = format!(
        "# Authorization: Bearer {PLANTED}2\n[web]\ntype = \"http\"\n\
         path = \"/healthz?token={PLANTED}3&full=1\"\ntarget = \"127.0.0.1:9\"\n"
    );
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\n# password: {PLANTED}4\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n"
    );
    let folder = Scratch::with(&[
        ("tradewind.toml", &server),
        ("healthchecks/web.toml", &check),
        ("zones/gtm.example.toml", &zone),
        ("secrets/tokens", &format!("# {PLANTED}5\n")),
        ("secrets/hook", &format!("{PLANTED}6\n")),
        ("state/notes", &format!("{PLANTED}7\n")),
    ]);
    for secret in ["secrets/tokens", "secrets/hook"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.path().join(secret), mode).unwrap();
    }
    folder
}

/// Every file below `dir`, by name and text.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut left = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            found.push((name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    found
}

#[track_caller]
fn bundle(folder: &Path, to: &Path) -> Vec<(String, String)> {
    let done =
        cli(&["debug", "bundle", "-C", folder.to_str().unwrap(), "-o", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    if to.is_dir() {
        return files(to);
    }
    let unpacked = to.with_extension("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(to).arg("-C").arg(&unpacked).output().unwrap();
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    files(&unpacked)
}

#[track_caller]
fn check(files: &[(String, String)], wanted: &[&str]) {
    for name in wanted {
        let found = files.iter().find(|(file, _)| file == name);
        assert!(found.is_some_and(|(_, text)| !text.is_empty()), "{name} in {files:?}");
    }
    for (name, text) in files {
        assert!(!text.contains(PLANTED), "{name}: {text}");
    }
}

#[test]
fn a_bundle_has_what_is_needed_and_no_secret_with_a_server_and_without() {
    let (server, out) = (Server::start(folder()), Scratch::new());
    cli(&["reload", "-C", server.folder.path().to_str().unwrap(), "--reason", "for the bundle"]);
    let always = ["version.txt", "files/tradewind.toml", "files/list.txt", "state/list.txt"];
    let alive = bundle(server.folder.path(), &out.path().join("alive.tar.gz"));
    check(&alive, &always);
    let live = ["status.json", "events.json", "audit.json", "metrics.txt", "proc/threads.txt"];
    check(&alive, &live);
    check(&alive, &["proc/fds.txt", "proc/net-udp.txt", "revisions.json", "targets.json"]);
    let server_file = &alive.iter().find(|(name, _)| name == "files/tradewind.toml").unwrap().1;
    assert!(server_file.contains("https://hooks.invalid/[redacted]"), "{server_file}");
    assert!(server_file.contains("token_file = \"secrets/hook\""), "{server_file}");

    let folder = server.kill();
    let dead = bundle(folder.path(), &out.path().join("dead"));
    check(&dead, &always);
    check(&dead, &["state/audit.txt"]);
    // What is there may be open to others, or lead elsewhere.
    let (taken, target) = (out.path().join("taken.tar.gz"), out.path().join("target"));
    std::os::unix::fs::symlink(&target, &taken).unwrap();
    let dir = folder.path().to_str().unwrap();
    let done = cli(&["debug", "bundle", "-C", dir, "-o", taken.to_str().unwrap()]);
    assert!(!done.status.success() && !target.exists());
    let missing = &dead.iter().find(|(name, _)| name == "missing.txt").unwrap().1;
    assert!(missing.contains("no server answers"), "{missing}");
}
