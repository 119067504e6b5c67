//! Servers of others: NSD, Knot or BIND for zones, unbound as the resolver of the world.

use super::{DEADLINE, dns, free_address, process::Process, scratch::Scratch, tool};
use hickory_proto::rr::RecordType;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
};
use tradewind::clock::SystemClock;
use tradewind::dns::{Client, Transport};

/// Which program serves a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// NLnet Labs' NSD.
    Nsd,
    /// CZ.NIC's Knot DNS.
    Knot,
    /// ISC's BIND.
    Bind,
    /// The gdnsd of the Wikimedia Foundation; it serves what lies in its folder of zones.
    Gdnsd,
}

impl Program {
    /// The lines of its configuration for one zone.
    fn zone(self, zone: &str) -> String {
        let file = self.file(zone);
        match self {
            Program::Nsd => format!("zone:\n  name: \"{zone}\"\n  zonefile: \"{file}\"\n"),
            Program::Knot => format!("- domain: {zone}\n  file: \"{file}\"\n"),
            Program::Bind => format!("zone \"{zone}\" {{ type primary; file \"{file}\"; }};\n"),
            Program::Gdnsd => String::new(),
        }
    }

    /// Where it looks for the text of a zone.
    fn file(self, zone: &str) -> String {
        let name = if zone == "." { "root" } else { zone };
        match self {
            Program::Gdnsd => format!("zones/{zone}"),
            Program::Nsd | Program::Knot | Program::Bind => format!("{name}.zone"),
        }
    }
}

/// A running authoritative server of somebody else's.
pub struct Authority {
    /// Where it answers, over UDP and TCP.
    pub address: SocketAddr,
    process: Process,
    folder: Scratch,
}

impl Authority {
    /// Its process id, for /proc.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Serves `zone` with `text` as RFC 1035 says; `None` where the program is missing.
    pub fn start(program: Program, address: SocketAddr, zone: &str, text: &str) -> Option<Self> {
        Self::serve(program, address, &[(zone, text)])
    }

    /// Serves several zones.
    pub fn serve(program: Program, address: SocketAddr, zones: &[(&str, &str)]) -> Option<Self> {
        let folder = Scratch::new();
        for (zone, text) in zones {
            folder.write(&program.file(zone), text);
        }
        let (mut command, mut config) = match program {
            Program::Nsd => nsd(folder.path(), address)?,
            Program::Knot => knot(folder.path(), address)?,
            Program::Bind => bind(folder.path(), address)?,
            Program::Gdnsd => gdnsd(folder.path(), address)?,
        };
        for (zone, _) in zones {
            config += &program.zone(zone);
        }
        let config = folder.write("config", &config);
        match program {
            Program::Gdnsd => command.arg("-c").arg(folder.path()).arg("start"),
            _ => command.arg("-c").arg(config),
        };
        let mut process = Process::start(&command, &folder.path().join("log"));
        for (zone, _) in zones {
            await_answer(&mut process, address, zone, false);
        }
        Some(Authority { address, process, folder })
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn nsd(folder: &Path, address: SocketAddr) -> Option<(Command, String)> {
    let mut command = Command::new(tool("nsd")?);
    command.arg("-d");
    let (folder, ip, port) = (folder.display(), address.ip(), address.port());
    let config = format!(
        "server:
  ip-address: {ip}@{port}
  username: \"\"
  zonesdir: \"{folder}\"
  database: \"\"
  zonelistfile: \"{folder}/zone.list\"
  xfrdfile: \"{folder}/xfrd.state\"
  xfrdir: \"{folder}\"
  pidfile: \"{folder}/nsd.pid\"
  server-count: 1
  minimal-responses: yes
remote-control:
  control-enable: no
"
    );
    Some((command, config))
}

fn knot(folder: &Path, address: SocketAddr) -> Option<(Command, String)> {
    let command = Command::new(tool("knotd")?);
    let (folder, ip, port) = (folder.display(), address.ip(), address.port());
    let config = format!(
        "server:
  listen: {ip}@{port}
  rundir: {folder}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
- target: stderr
  any: info
database:
  storage: {folder}
template:
- id: default
  storage: {folder}
  zonefile-sync: -1
zone:
"
    );
    Some((command, config))
}

/// Of what is not asked for it sends addresses only, like the others; and it takes any letter in
/// the name of a host, like the others. It knows the addresses of interfaces only: of loopback
/// that is 127.0.0.1.
fn bind(folder: &Path, address: SocketAddr) -> Option<(Command, String)> {
    let mut command = Command::new(tool("named")?);
    command.args(["-g", "-n", "1"]);
    let (folder, ip, port) = (folder.display(), address.ip(), address.port());
    let config = format!(
        "options {{
  directory \"{folder}\";
  pid-file \"{folder}/named.pid\";
  lock-file none;
  session-keyfile \"{folder}/session.key\";
  listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }};
  recursion no;
  notify no;
  dnssec-validation no;
  empty-zones-enable no;
  minimal-responses no-auth;
  minimal-any yes;
  zero-no-soa-ttl no;
  check-names primary ignore;
}};
controls {{ }};
"
    );
    Some((command, config))
}

fn gdnsd(folder: &Path, address: SocketAddr) -> Option<(Command, String)> {
    let command = Command::new(tool("gdnsd")?);
    for part in ["run", "state"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let (folder, ip, port) = (folder.display(), address.ip(), address.port());
    let config = format!(
        "options => {{
  listen => {ip}:{port}
  udp_threads = 1
  tcp_threads = 1
  run_dir = {folder}/run
  state_dir = {folder}/state
}}
"
    );
    Some((command, config))
}

/// A running unbound.
pub struct Resolver {
    /// Where it answers.
    pub address: SocketAddr,
    process: Process,
    folder: Scratch,
}

impl Resolver {
    /// A resolver that knows of the world only that `zone` is served at `authority`, and finds
    /// what lies below by following delegations. `extra` are more lines of its `server:` clause,
    /// such as `send-client-subnet:` or `cache-max-ttl:`. `None` where unbound is missing.
    pub fn start(ip: IpAddr, zone: &str, authority: SocketAddr, extra: &str) -> Option<Self> {
        let mut command = Command::new(tool("unbound")?);
        let folder = Scratch::new();
        let address = free_address(ip);
        let config = unbound_config(folder.path(), address, zone, authority, extra);
        command.arg("-d").arg("-p").arg("-c").arg(folder.write("config", &config));
        let mut process = Process::start(&command, &folder.path().join("log"));
        await_answer(&mut process, address, zone, true);
        Some(Resolver { address, process, folder })
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// `.test` is answered by unbound itself unless told otherwise (RFC 6761 §6.2), and loopback
/// servers are not asked unless allowed.
fn unbound_config(
    folder: &Path,
    address: SocketAddr,
    zone: &str,
    authority: SocketAddr,
    extra: &str,
) -> String {
    let (folder, ip, port) = (folder.display(), address.ip(), address.port());
    let (at_ip, at_port) = (authority.ip(), authority.port());
    format!(
        "server:
  directory: \"{folder}\"
  chroot: \"\"
  username: \"\"
  pidfile: \"\"
  interface: {ip}@{port}
  do-daemonize: no
  use-syslog: no
  log-servfail: yes
  num-threads: 1
  module-config: \"iterator\"
  do-not-query-localhost: no
  local-zone: \"test.\" nodefault
{extra}
remote-control:
  control-enable: no
stub-zone:
  name: \"{zone}\"
  stub-addr: {at_ip}@{at_port}
  stub-no-cache: no
"
    )
}

/// Waits until the zone's SOA comes back; a server that is still starting refuses or is silent.
fn await_answer(process: &mut Process, address: SocketAddr, zone: &str, recurse: bool) {
    let clock = SystemClock::default();
    let mut question = dns::question(zone, RecordType::SOA, "");
    question.recurse = recurse;
    let each = DEADLINE / 100;
    process.await_some(&format!("SOA of {zone} at {address}"), || {
        let mut client = Client::new(&clock, address, each, 1);
        let reply = client.ask(&question, Transport::Udp).ok()?;
        dns::serial(&reply.message)
    });
}

/// Runs dig with `args` at `server`; what it printed, or `None` where it is missing.
pub fn dig(server: SocketAddr, args: &[&str]) -> Option<String> {
    let output = Command::new(tool("dig")?)
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string(), "+tries=2", "+timeout=5"])
        .args(args)
        .output()
        .unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}
