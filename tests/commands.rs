//! What holds of all commands alike: JSON says its version, colour goes where it is wanted, what
//! changes something says what it made and how to undo it, states can be watched, and every command
//! has a manual page.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};
use support::{
    await_some,
    plain::{ZONE, serve, text},
    scratch::Scratch,
    server::{BINARY, Server, cli},
    tool,
};

/// The command line `line` against `server`.
fn run(server: &Server, line: &str) -> Output {
    let dir = server.folder.path().to_str().unwrap().to_owned();
    let words: Vec<&str> = line.split(' ').collect();
    // `geoip lookup -C DIR`: options stand behind the last of the command's own words.
    let mut words = words;
    words.extend(["-C", &dir]);
    cli(&words)
}

#[test]
fn whatever_is_told_as_json_says_its_version_first_of_all() {
    let server = serve("");
    let query = format!("query www.gtm.example A -s {} --json", server.udp());
    let lines = [
        "approve",
        "audit",
        "audit verify",
        "check",
        "delegation gtm.example",
        "events",
        "explain www.gtm.example --client 192.0.2.9",
        "geoip lookup 192.0.2.9",
        "health",
        "overrides",
        "reload --dry-run",
        "rollback",
        "rollback 1 --dry-run",
        "status",
        "drain region:eu --dry-run",
        "reload",
    ];
    for line in lines {
        let output = run(&server, &format!("{line} --json"));
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{line}: {error}: {}", text(&output)));
        assert_eq!(said["schema_version"], 1, "{line}: {said}");
    }
    let words: Vec<&str> = query.split(' ').collect();
    let said: Value = serde_json::from_slice(&cli(&words).stdout).unwrap();
    assert_eq!(
        (&said["schema_version"], said["replies"].as_array().unwrap().len()),
        (&1.into(), 1)
    );
}

#[test]
fn colour_goes_where_it_is_wanted() {
    let server = serve("");
    for line in
        ["status", "health", "audit", "rollback", "explain www.gtm.example --client 192.0.2.9"]
    {
        let colours = |line: &str| text(&run(&server, line)).contains('\x1b');
        assert!(!colours(line), "{line}: not into a pipe");
        assert!(colours(&format!("{line} --color always")), "{line}");
        assert!(!colours(&format!("{line} --color always --json")), "{line}");
        assert!(!colours(&format!("{line} --color never")), "{line}");
    }
    let dir = server.folder.path().to_str().unwrap();
    let status = |no_color: &str| {
        let line = format!("{BINARY} status -C {dir}");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("NO_COLOR", no_color).stdin(Stdio::null());
        text(&command.output().unwrap()).contains('\x1b')
    };
    if tool("script").is_some() {
        assert!(status("") && !status("1"), "to a terminal, unless NO_COLOR says no");
    }
}

#[test]
fn a_change_says_what_it_made_who_sees_it_when_and_what_undoes_it() {
    let server = serve("");
    let swap = || server.control_request("GET", "/v1/status").1["swap"].as_u64().unwrap();
    let changes = [
        "drain region:us",
        "undrain region:us",
        "force endpoint:gtm.example/iad/iad-1 down",
        "force endpoint:gtm.example/iad/iad-1 auto",
        "weight record:gtm.example/www dub=20",
        "weight record:gtm.example/www dub=reset",
        "failover record:gtm.example/app --to dub",
        "failback record:gtm.example/app",
        "hold record:gtm.example/app",
        "unhold record:gtm.example/app",
        "pin",
        "unpin",
    ];
    for line in changes {
        let before = swap();
        let dry = text(&run(&server, &format!("{line} --dry-run --reason why")));
        assert!(dry.contains("nothing was done (--dry-run)"), "{line}: {dry}");
        assert_eq!(swap(), before, "{line}");
        let said = text(&run(&server, &format!("{line} --reason why --as ana")));
        assert!(said.contains("revision 1, swap "), "{line}: {said}");
        assert!(said.contains("undo: tradewind "), "{line}: {said}");
        let moves = !line.contains("pin");
        assert_eq!(said.contains("resolvers follow within 20s (TTL)"), moves, "{line}: {said}");
    }
    server.folder.write("zones/gtm.example.toml", &ZONE.replace("20s", "5s"));
    assert!(text(&run(&server, "reload --dry-run")).contains("nothing was done (--dry-run)"));
    for (line, revision, undo) in [("reload", 2, 1), ("rollback 1", 3, 2)] {
        let said = text(&run(&server, &format!("{line} --reason why")));
        assert!(said.contains(&format!("revision {revision} is in force")), "{said}");
        assert!(said.contains("resolvers follow within "), "{said}");
        assert!(said.contains(&format!("undo: tradewind rollback {undo}")), "{said}");
    }
}

/// A command that is watched, into a pipe.
struct Watched {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watched {
    fn start(server: &Server, command: &[&str]) -> Watched {
        let mut child = Command::new(BINARY);
        child.args(command).args(["--watch", "-C"]).arg(server.folder.path());
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watched { child, lines }
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_watched_through_a_pipe_is_a_line_for_each_change() {
    let server = serve("");
    let mut status = Watched::start(&server, &["status"]);
    let mut overrides = Watched::start(&server, &["overrides"]);
    let before = status.next();
    assert_eq!((&before["schema_version"], &before["overrides"]), (&1.into(), &0.into()));
    assert_eq!(overrides.next()["overrides"], Value::Array(Vec::new()));
    run(&server, "drain region:eu");
    let after = await_some("the drain", || Some(status.next()).filter(|s| s["overrides"] == 1));
    assert!(after["swap"].as_u64() > before["swap"].as_u64());
    assert_eq!(overrides.next()["overrides"][0]["what"], "drain region:eu");
    // Whoever reads goes away: so does the one that watches.
    drop(std::mem::replace(&mut status.lines, BufReader::new(no_output()).lines()));
    await_some("the end of it", || status.child.try_wait().unwrap());
}

fn no_output() -> std::process::ChildStdout {
    Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap()
}

#[test]
fn every_command_has_a_manual_page_without_a_fault() {
    let folder = Scratch::new();
    let dir = folder.path().join("man1");
    let done = cli(&["man", dir.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done));
    let pages: BTreeSet<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["tradewind.1", "tradewind-drain.1", "tradewind-audit-verify.1"] {
        assert!(pages.contains(page), "{pages:?}");
    }
    let text = fs::read_to_string(dir.join("tradewind-drain.1")).unwrap();
    for part in [".SH NAME", ".SH OPTIONS", ".SH EXAMPLES", ".SH \"EXIT STATUS\""] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for (name, args) in [
        ("groff", &["-man", "-Kutf8", "-Tutf8", "-ww", "-z"][..]),
        ("mandoc", &["-Tlint", "-Wwarning"][..]),
    ] {
        let Some(program) = tool(name) else { continue };
        for page in &pages {
            let said = Command::new(&program).args(args).arg(dir.join(page)).output().unwrap();
            let said = self::text(&said);
            assert!(said.is_empty(), "{name} {page}: {said}");
        }
    }
}
