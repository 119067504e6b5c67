//! The rights of the process: what `packaging/systemd/tradewind.service` allows is tight, and enough
//! for all that a server does.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use rustix::thread::{CpuSet, sched_getaffinity};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
};
use support::{
    DEADLINE, await_some,
    backend::Backend,
    dns, may_bind_53, plain,
    scratch::Scratch,
    server::{BINARY, Server},
    site, skip,
    stream::Stream,
    tool,
};

/// Nobody, who owns nothing.
const NOBODY: &str = "65534";
/// `CAP_NET_BIND_SERVICE`, as /proc shows sets of capabilities.
const BIND_ALONE: &str = "0000000000000400";

fn unit() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd/tradewind.service");
    fs::read_to_string(path).unwrap()
}

/// What the unit says of `key`, line by line.
fn said(key: &str) -> Vec<String> {
    let unit = unit();
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

/// A check of the systemd that is here.
fn analyze(args: &[&str]) -> Option<String> {
    let done = Command::new(tool("systemd-analyze")?).args(args).output().unwrap();
    let text = plain::exits(&done, 0);
    Some(text)
}

#[test]
fn systemd_takes_the_unit_and_finds_it_tight() {
    let folder = Scratch::new();
    let file = folder.write("tradewind.service", &unit().replace("/usr/bin/tradewind", BINARY));
    let file = file.to_str().unwrap();
    let Some(said) = analyze(&["verify", "--man=no", file]) else { return };
    assert!(said.is_empty(), "{said}");
    // In tenths; 1.5 when this was written.
    let args = ["security", "--offline=true", "--no-pager", "--threshold=20", file];
    let said = analyze(&args).unwrap();
    assert!(said.contains("Overall exposure level for tradewind.service"), "{said}");
    assert_eq!(self::said("LimitCORE"), ["0"]);
    for key in ["MemoryMax", "TasksMax", "LimitNOFILE"] {
        assert_eq!(self::said(key).len(), 1, "{key}");
    }
    // What a server needs grows with its zones: no number is right for all machines.
    assert!(self::said("MemoryMax")[0].ends_with('%'));
    assert!(self::said("TasksMax")[0].parse::<u32>().unwrap() >= TASKS);
}

/// Threads of a server with 128 cores and eight addresses: one for UDP on each core and address, one
/// for TCP on each core, as many for a load and for a plan, and what tokio has for calls that wait.
const TASKS: u32 = 128 * 8 + 128 + 2 * 128 + 512;
/// What a server asks for to receive and to send (`transport/udp/socket.rs`).
const BUFFERS: [(&str, u32); 2] = [("net.core.rmem_max", 4 << 20), ("net.core.wmem_max", 1 << 20)];

#[test]
fn the_limits_that_come_with_the_unit_let_a_server_have_its_buffers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sysctl.d/tradewind.conf");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let set: BTreeMap<&str, &str> = lines.map(|line| line.split_once(" = ").unwrap()).collect();
    assert_eq!(set.len(), BUFFERS.len());
    for (key, bytes) in BUFFERS {
        let file = format!("/proc/sys/{}", key.replace('.', "/"));
        assert!(Path::new(&file).exists(), "{key} is no setting");
        assert!(set[key].parse::<u32>().unwrap() >= bytes, "{key}");
    }
}

fn give_away(folder: &Path) {
    let owner = format!("{NOBODY}:{NOBODY}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(folder).status().unwrap().success());
}

#[test]
fn nobody_with_the_right_to_bind_serves_port_53_and_tells_its_manager() {
    let address: IpAddr = "127.0.73.53".parse().unwrap();
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        return skip("only root can give its rights away");
    }
    if !may_bind_53(address) {
        return;
    }
    let folder = plain::folder("");
    let text = folder.read("tradewind.toml").replace("127.0.0.1:0", "127.0.73.53:53");
    folder.write("tradewind.toml", &text);
    let at = folder.path().join("manager");
    let manager = UnixDatagram::bind(&at).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    // Nobody may not look into every folder that programs are built in.
    let program = folder.path().join("program");
    fs::copy(BINARY, &program).unwrap();
    give_away(folder.path());
    let notify = format!("NOTIFY_SOCKET={}", at.display());
    let right = "-all,+net_bind_service";
    let server = Server::under(
        &[
            "env",
            &notify,
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set",
            right,
            "--inh-caps",
            right,
            "--ambient-caps",
            right,
            "sh",
            "-c",
            "shift; exec \"$0\" \"$@\"",
            program.to_str().unwrap(),
        ],
        folder,
    );
    assert_eq!(heard(), "READY=1");
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let fact = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {key} in {status}")).to_owned()
    };
    assert_eq!(fact("Uid"), [NOBODY; 4].join("\t"));
    assert_eq!((fact("CapEff"), fact("CapBnd")), (BIND_ALONE.into(), BIND_ALONE.into()));
    assert_eq!(fact("NoNewPrivs"), "1");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "no core dump: {core}");

    let message = dns::ask(server.udp(), "app.gtm.example", RecordType::A, "");
    assert_eq!(dns::addresses(&message).len(), 1);
    // What it keeps, it keeps where it may write, and over a stop.
    plain::exits(&server.cli("drain", &["region:us"]), 0);
    plain::exits(&server.cli("reload", &["--node", "here"]), 0);
    server.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
}

/// The system calls of each set that systemd knows, sets within sets unpacked.
fn sets(listed: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut set = String::new();
    for line in listed.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            set = word.to_owned();
        } else if !word.is_empty() && !word.starts_with('#') {
            sets.entry(set.clone()).or_default().insert(word.to_owned());
        }
    }
    sets
}

/// All that `word` stands for.
fn calls(sets: &BTreeMap<String, BTreeSet<String>>, word: &str) -> BTreeSet<String> {
    match sets.get(word) {
        Some(inside) => inside.iter().flat_map(|word| calls(sets, word)).collect(),
        None => BTreeSet::from([word.to_owned()]),
    }
}

/// The calls that the unit allows.
fn allowed(sets: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in said("SystemCallFilter") {
        let (words, takes) = match line.strip_prefix('~') {
            Some(words) => (words, true),
            None => (&*line, false),
        };
        let named: BTreeSet<String> = words.split(' ').flat_map(|word| calls(sets, word)).collect();
        match takes {
            true => allowed.retain(|call| !named.contains(call)),
            false => allowed.extend(named),
        }
    }
    allowed
}

#[test]
fn whatever_a_server_asks_of_the_kernel_the_unit_allows() {
    let Some(listed) = analyze(&["syscall-filter"]) else { return };
    if tool("strace").is_none() {
        return;
    }
    let allowed = allowed(&sets(&listed));
    assert!(
        allowed.contains("recvmmsg") && !allowed.contains("mount") && !allowed.contains("chroot")
    );

    let (iad, dub) = (Backend::start(74), Backend::start(75));
    let folder = site::files(&iad, &dub, site::CHECK, "\"20s\"", site::BOTH);
    // Elsewhere: the server watches its folder, and would see itself being watched.
    let traced = Scratch::new();
    let trace = traced.path().join("trace");
    let cpu = sched_getaffinity(None).unwrap();
    let cpu = (0..CpuSet::MAX_CPU).find(|&i| cpu.is_set(i)).unwrap();
    let more =
        format!("[server]\nadmin = \"127.0.0.1:0\"\ncpu_affinity = [{cpu}]\ncoalesce = \"50us\"\n");
    let log = "[querylog]\nsample = \"1/1\"\nfile = \"run/queries.jsonl\"\n";
    folder.write("tradewind.toml", &(site::SERVER.replace("[server]\n", &more) + log));
    let server = Server::under(
        // -D: the server stays our child, and is who is signalled.
        &["strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", trace.to_str().unwrap()],
        folder,
    );
    await_some("both up", || {
        let status = server.control_request("GET", "/v1/status").1;
        let up = status["endpoints"].as_array()?.iter().filter(|e| e["verdict"] == "up").count();
        (up == 2).then_some(())
    });
    let question = dns::message("app.gtm.example", RecordType::A);
    let _ = dns::ask(server.udp(), "app.gtm.example", RecordType::A, "");
    assert!(Stream::connect(server.tcp()).ask(&question).is_some());
    server.metric("tradewind_store_up");
    plain::exits(&server.cli("drain", &["region:us", "--for", "1h"]), 0);
    plain::exits(&server.cli("plan", &[]), 0);
    plain::exits(&server.cli("reload", &[]), 0);
    plain::exits(&server.cli("audit", &[]), 0);
    server.folder_after_stop();
    // The tracer ends after the one it watches.
    let text = await_some("the last call", || {
        let text = traced.read("trace");
        text.contains(" exit_group(").then_some(text)
    });
    let families = said("RestrictAddressFamilies").concat();
    let mut called = BTreeSet::new();
    for line in text.lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            called.insert(name.to_owned());
        }
        let family = arguments.split([',', '|', ' ']).next().unwrap_or_default();
        if name == "socket" {
            assert!(families.split(' ').any(|one| one == family), "{line}");
        }
        if name == "mmap" || name == "mprotect" {
            let both = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
            assert!(!both, "MemoryDenyWriteExecute: {line}");
        }
    }
    for call in ["recvmmsg", "sched_setaffinity", "setpriority"] {
        assert!(called.contains(call), "the trace is of the server: {called:?}");
    }
    let forbidden: Vec<_> = called.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}
