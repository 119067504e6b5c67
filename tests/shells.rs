//! What is typed in a shell completes, commands and the names of the running server: taught as
//! `tradewind completions --help` says, to the real bash, zsh and fish.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};
use support::{
    plain,
    server::{BINARY, cli},
    tool,
};

/// A shell to be started in `folder`, where `tradewind` is a command, and whose home is.
fn at_home(program: &str, folder: &Path) -> Command {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let link = bin.join("tradewind");
    if !link.exists() {
        symlink(BINARY, link).unwrap();
    }
    let mut command = Command::new(program);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.current_dir(folder).env("PATH", path).env("TERM", "dumb");
    command
        .env("HOME", folder)
        .env("ZDOTDIR", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"));
    command
}

/// What the interactive `shell` makes of `keys`, typed at a terminal in `folder`.
fn typed(shell: &str, folder: &Path, keys: &str) -> String {
    let mut child = at_home("script", folder)
        .args(["-qec", shell, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{keys}\nexit\n").as_bytes()).unwrap();
    // Held until the end: a shell takes the end of its input for the end of everything.
    let output = child.wait_with_output().unwrap();
    drop(input);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `shell` completes commands, live names whole and in part, and says nothing without a server.
fn completes_at_a_terminal(shell: &str, taught: &str) {
    let server = plain::serve("");
    let typed = |folder: &Path, keys: &str| typed(shell, folder, &format!("{taught}{keys}"));
    let folder = server.folder.path();
    let said = typed(folder, "tradewind drain region:u\t --dry-run");
    assert!(said.contains("would do: drains 2 endpoints of 1 pool"), "{said}");
    let said = typed(folder, "tradewind drain endpoint:gtm.example/d\t --dry-run");
    assert!(said.contains("would do: drains 1 endpoint"), "{said}");
    let said = typed(folder, "tradewind stat\t --json | head -c 1");
    assert!(said.contains('{'), "{said}");
    let folder = server.kill();
    let said = typed(folder.path(), "tradewind drain region:u\t --dry-run");
    assert!(!said.contains("region:us") && said.contains("no server answers"), "{said}");
}

#[test]
fn names_of_the_running_server_complete_in_bash() {
    if tool("script").is_some() && tool("bash").is_some() {
        let taught = "source <(tradewind completions bash)\n";
        completes_at_a_terminal("bash --norc --noprofile -i", taught);
    }
}

#[test]
fn names_of_the_running_server_complete_in_zsh() {
    if tool("script").is_some() && tool("zsh").is_some() {
        // What lies in folders of this machine is no part of it.
        let taught =
            "autoload -Uz compinit && compinit -u -D\nsource <(tradewind completions zsh)\n";
        completes_at_a_terminal("zsh -f -i", taught);
    }
}

/// It can be asked what it would complete, and so needs no terminal.
#[test]
fn names_of_the_running_server_complete_in_fish() {
    if tool("fish").is_none() {
        return;
    }
    let server = plain::serve("");
    let script = cli(&["completions", "fish"]).stdout;
    let script = String::from_utf8(script).unwrap();
    server.folder.write("config/fish/completions/tradewind.fish", &script);
    let offered = |folder: &Path, line: &str| -> Vec<String> {
        let mut fish = at_home("fish", folder);
        fish.args(["-c", &format!("complete -C '{line}'")]).stdin(Stdio::null());
        let said = String::from_utf8(fish.output().unwrap().stdout).unwrap();
        // What stands behind a tab explains.
        let offered = said.lines().filter_map(|line| line.split('\t').next());
        offered.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    for (line, names) in [
        ("tradewind stat", &["status"][..]),
        ("tradewind drain region:", &["region:eu", "region:us"]),
        ("tradewind drain endpoint:gtm.example/d", &["endpoint:gtm.example/dub/dub-1"]),
        ("tradewind explain ww", &["www.gtm.example"]),
    ] {
        assert_eq!(offered(server.folder.path(), line), names, "{line}");
    }
    let folder = server.kill();
    assert_eq!(offered(folder.path(), "tradewind drain region:"), [""; 0]);
}
