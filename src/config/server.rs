//! `tradewind.toml`: the server, its regions, and what all zones share, as written.

use super::{
    Problem, Problems, Spanned,
    guard::{self, AccessDef, CookiesDef, IdentityDef, RrlDef, networks},
    hooks::{self, HookDef},
    metrics::{self, MetricsDef},
    peers::{self, PeerDef},
    policy::{self, PolicyDef},
    pool::{self, PoolDef},
    querylog::{self, QueryLogDef},
    reader::{Reader, Table, Value},
    safety::{self, SafetyDef},
    scalar,
    settings::RecordSettings,
};
use crate::units::Coordinates;
use ipnet::IpNet;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The longest that replies may be kept back to be sent together: past this a resolver notices.
const COALESCE_MAX: Duration = Duration::from_millis(1);
/// The highest number a processor has in a set that the kernel takes (its `CPU_SETSIZE`), plus one.
const CPUS: u32 = 1_024;

/// TCP connections at once: past the limit each newcomer costs a look at all of them, here some
/// 50 us, about what the kernel takes to set it up.
const TCP_CLIENTS_MAX: u32 = 16_384;
/// A resolver that asks in bursts must find its connection again.
const TCP_IDLE_MIN: Duration = Duration::from_secs(1);
/// Longer than this nobody keeps a connection on purpose; edns-tcp-keepalive can say 1 h 49 min.
const TCP_IDLE_MAX: Duration = Duration::from_secs(3_600);
/// Networks of trusted proxies.
const PROXIES_MAX: usize = 16;

/// Each guard is a connection whenever nobody else answers.
const GUARDS_MAX: usize = 16;

/// The server file as written, with the defaults of what concerns only this process.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerFile {
    /// Its path.
    pub file: Arc<Path>,
    /// How this process runs.
    pub server: ServerSection,
    /// The regions.
    pub regions: Vec<RegionDef>,
    /// What holds for every zone.
    pub defaults: RecordSettings,
    /// How health is watched.
    pub health: HealthSection,
    /// How much a stranger is told: `[rrl]`.
    pub rrl: RrlDef,
    /// Who may ask: `[access]`.
    pub access: AccessDef,
    /// Pools that all zones see.
    pub pools: Vec<PoolDef>,
    /// Policies that all zones see.
    pub policies: Vec<PolicyDef>,
    /// What no operator's change may do.
    pub safety: Vec<SafetyDef>,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSection {
    /// Where DNS is answered, over UDP and TCP; port 53 of every address unless written.
    pub listen: Option<Vec<SocketAddr>>,
    /// Where the admin API and `/metrics` are served over TCP, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Who may use it from another machine, and how it is told there.
    pub entry: EntryDef,
    /// The folder of what must survive a restart.
    pub state: PathBuf,
    /// The socket of the command line.
    pub control: PathBuf,
    /// Threads that answer UDP for each address; one a core unless written.
    pub udp_threads: Option<usize>,
    /// The processors that those threads are bound to, in turn; wherever the kernel likes if empty.
    pub cpu_affinity: Vec<usize>,
    /// How long a thread rests once it has answered all there was, so that more comes in one go.
    pub coalesce: Option<Duration>,
    /// What TCP clients may take.
    pub tcp: TcpSection,
    /// The load balancers that say in a PROXY header where a query comes from.
    pub proxies: Vec<IpNet>,
    /// Whether changed files are loaded without being asked.
    pub watch: bool,
    /// Whom to ask for the addresses of names that are answered flattened; the system's resolvers
    /// if empty.
    pub resolvers: Vec<SocketAddr>,
    /// Whether and how cookies are made.
    pub cookies: CookiesDef,
    /// Whose word on the networks of clients is believed; everybody's when absent.
    pub ecs_trusted: Option<Vec<Spanned<IpNet>>>,
    /// What it says of itself.
    pub identity: IdentityDef,
    /// Whom to tell what happens: `[[hooks]]`.
    pub hooks: Vec<HookDef>,
    /// Who is shown answers: `[querylog]`.
    pub querylog: QueryLogDef,
    /// The other servers for the same zones.
    pub peers: Vec<PeerDef>,
    /// Which records have series of their own: `[metrics]`.
    pub metrics: MetricsDef,
}

/// `tokens_file`, `tls` and `read_without_token` of `[server]`: who may use the admin API, and by what it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryDef {
    /// The file with names, roles and hashes of tokens.
    pub tokens_file: Option<Spanned<PathBuf>>,
    /// Its certificate and key.
    pub tls: Option<TlsDef>,
    /// Whether whoever is on this machine may read without a token.
    pub read_without_token: Option<bool>,
}

/// `tls` of `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsDef {
    /// The file with the certificate and those that vouch for it (PEM).
    pub cert: Spanned<PathBuf>,
    /// The file with its key (PEM).
    pub key: Spanned<PathBuf>,
}

/// `tcp` of `[server]`: what is written of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSection {
    /// Connections at once.
    pub clients: Option<usize>,
    /// Connections at once of one client.
    pub per_source: Option<usize>,
    /// How long a connection may be idle while few are open.
    pub idle: Option<Duration>,
}

/// `[health]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthSection {
    /// Networks never probed, beside the built-in ones.
    pub deny: Vec<Spanned<IpNet>>,
    /// Who is asked whether this server is cut off, when no target answers.
    pub guards: Vec<Spanned<SocketAddr>>,
    /// The share of regions that may go at once, above 0 and at most 1.
    pub breaker_share: Option<f64>,
    /// How long a mass failure is held.
    pub breaker_hold: Option<Duration>,
}

/// A region as written.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionDef {
    /// What it is referred to by.
    pub name: Spanned<String>,
    /// Where it is; absent if it could not be read.
    pub place: Option<RegionPlace>,
}

/// Where a region is.
#[derive(Clone, Debug, PartialEq)]
pub enum RegionPlace {
    /// Where a cloud provider says: `aws:us-east-1`.
    Cloud(Spanned<String>),
    /// At these coordinates.
    At(Coordinates),
}

/// Reads the server file; nothing if it is not TOML.
pub fn read(file: &Arc<Path>, text: &str, problems: &mut Problems) -> Option<ServerFile> {
    let mut rest = Problems::default();
    let written = read_apart(file, text, problems, &mut rest);
    problems.append(rest);
    written
}

/// The same with what is wrong with `[server]`, or with the file as such, apart from what is wrong
/// with the `rest`: whoever only looks for the servers is not held up by a pool.
pub fn read_apart(
    file: &Arc<Path>,
    text: &str,
    problems: &mut Problems,
    rest: &mut Problems,
) -> Option<ServerFile> {
    let (mut reader, mut root) = Reader::open(file, text, problems)?;
    let rest = &mut reader.apart(rest);
    root.what = SERVER_FILE_NAME.into();
    root.later(rest, "mode");
    for key in ["isolation_guard", "breaker"] {
        root.elsewhere(rest, key, "write it under [health]");
    }
    let server = ServerFile {
        file: file.clone(),
        server: server(&mut reader, rest, &mut root),
        regions: regions(rest, &mut root),
        defaults: defaults(rest, &mut root),
        health: health(rest, &mut root),
        rrl: guard::rrl(rest, &mut root),
        access: guard::access(rest, &mut root),
        pools: pool::read(rest, &mut root),
        policies: policy::read(rest, &mut root),
        safety: safety::read(rest, &mut root),
    };
    // Among what nobody knows may be a `[server]` that is misspelt.
    root.finish(&mut reader);
    Some(server)
}

const SERVER_FILE_NAME: &str = super::sources::SERVER_FILE;

fn server<'i>(
    reader: &mut Reader<'i, '_>,
    rest: &mut Reader<'i, '_>,
    root: &mut Table<'i>,
) -> ServerSection {
    let mut section = ServerSection {
        listen: None,
        admin: None,
        entry: EntryDef::default(),
        state: "state".into(),
        control: "run/tradewind.sock".into(),
        udp_threads: None,
        cpu_affinity: Vec::new(),
        coalesce: None,
        tcp: TcpSection::default(),
        proxies: Vec::new(),
        watch: false,
        resolvers: Vec::new(),
        cookies: CookiesDef::default(),
        ecs_trusted: None,
        identity: IdentityDef::default(),
        hooks: hooks::read(rest, root),
        querylog: querylog::read(rest, root),
        peers: Vec::new(),
        metrics: metrics::read(rest, root),
    };
    let Some(mut table) = root.take_table(reader, "server") else {
        return section;
    };
    table.later(reader, "mode");
    section.peers = peers::read(reader, &mut table);
    for key in ["isolation_guard", "breaker"] {
        table.elsewhere(reader, key, "write it under [health]");
    }
    section.listen = table.take(reader, "listen", listen).map(Spanned::into_inner);
    let admin = table.take(reader, "admin", scalar::socket);
    section.entry = entry(reader, &mut table, admin.as_ref());
    section.admin = admin.map(Spanned::into_inner);
    if let Some(state) = table.take(reader, "state", scalar::string) {
        section.state = state.into_inner().into();
    }
    if let Some(control) = table.take(reader, "control", scalar::string) {
        section.control = control.into_inner().into();
    }
    // One a core is right; more than this is a slip.
    let threads = table.take(reader, "udp_threads", scalar::integer(1..=256));
    section.udp_threads = threads.map(|threads| threads.into_inner() as usize);
    let cpus = table.take(reader, "cpu_affinity", cpus);
    section.cpu_affinity = cpus.map(Spanned::into_inner).unwrap_or_default();
    let coalesce = table.take(reader, "coalesce", coalesce);
    section.coalesce = coalesce.map(Spanned::into_inner);
    let tcp = table.take(reader, "tcp", tcp);
    section.tcp = tcp.map(Spanned::into_inner).unwrap_or_default();
    let proxies = table.take(reader, "proxy", proxy);
    section.proxies = proxies.map(Spanned::into_inner).unwrap_or_default();
    let resolvers = table.take(reader, "resolvers", |reader, value| {
        reader.list(value, "addresses with ports", scalar::socket)
    });
    let resolvers = resolvers.map(Spanned::into_inner).unwrap_or_default();
    section.resolvers = resolvers.into_iter().map(Spanned::into_inner).collect();
    let watch = table.take(reader, "watch", scalar::boolean);
    section.watch = watch.is_some_and(Spanned::into_inner);
    if let Some(cookies) = table.take(reader, "cookies", guard::cookies) {
        section.cookies = cookies.into_inner();
    }
    section.ecs_trusted = table.take(reader, "ecs", guard::ecs).map(Spanned::into_inner);
    section.identity = guard::identity(reader, &mut table);
    table.finish(reader);
    section
}

/// Who may come in at `admin`. What is sent there in the clear can be read and changed on its way,
/// so that beyond this machine it takes tokens and TLS, both.
fn entry<'i>(
    reader: &mut Reader<'i, '_>,
    server: &mut Table<'i>,
    admin: Option<&Spanned<SocketAddr>>,
) -> EntryDef {
    let written = (server.has("tokens_file"), server.has("tls"));
    if let Some(admin) = admin.filter(|at| !at.get_ref().ip().to_canonical().is_loopback()) {
        let (lacks, remedy) = match written {
            (true, true) => ("", ""),
            (false, true) => ("tokens", "add `tokens_file = \"secrets/tokens\"`"),
            (true, false) => ("TLS", "add `tls = { cert = \"…\", key = \"…\" }`"),
            (false, false) => (
                "tokens and TLS",
                "add `tokens_file = \"secrets/tokens\"` and `tls = { cert = \"…\", key = \"…\" }`",
            ),
        };
        if !lacks.is_empty() {
            let message = format!("`admin` is open to other machines, without {lacks}");
            let help = format!(
                "{remedy} (`tradewind token new --help`), or listen on this machine only: \
                 \"127.0.0.1:8053\""
            );
            reader.report_help(admin.span(), message, help);
        }
    }
    EntryDef {
        tokens_file: server
            .take(reader, "tokens_file", |reader, value| file(reader, value, "secrets/tokens")),
        tls: server.take(reader, "tls", tls).map(Spanned::into_inner),
        read_without_token: server
            .take(reader, "read_without_token", scalar::boolean)
            .map(Spanned::into_inner),
    }
}

/// `{ cert = "…", key = "…" }`.
fn tls<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<TlsDef> {
    let mut table = reader.table("`tls`".into(), value)?;
    let mut pem = |reader: &mut Reader<'i, '_>, key, example: &'static str| {
        table.require(reader, key, example, |reader, value| {
            file(reader, value, example.trim_matches('"'))
        })
    };
    let cert = pem(reader, "cert", "\"secrets/cert.pem\"");
    let key = pem(reader, "key", "\"secrets/key.pem\"");
    table.finish(reader);
    Some(TlsDef { cert: cert?, key: key? })
}

/// The name of a file, such as `example`.
fn file<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>, example: &str) -> Option<PathBuf> {
    let span = value.span();
    let path = PathBuf::from(scalar::string(reader, value)?);
    if path.components().next().is_some() {
        return Some(path);
    }
    reader.report_help(span, "this names no file", format!("write \"{example}\""));
    None
}

fn listen<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<SocketAddr>> {
    let span = value.span();
    let listed = reader.list(value, "addresses with ports", scalar::socket)?;
    if reader.text[span.clone()].chars().all(|c| "[] \t\r\n".contains(c)) {
        let help = "name at least one address, or leave `listen` out for port 53 of all";
        reader.report_help(span, "a server without an address answers nobody", help);
    }
    let mut listen: Vec<SocketAddr> = Vec::new();
    for address in listed {
        if listen.contains(address.get_ref()) && address.get_ref().port() != 0 {
            reader.report(address.span(), format!("{address} is listed twice"));
        }
        listen.push(address.into_inner());
    }
    Some(listen)
}

fn cpus<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<usize>> {
    let cpus = reader.list(value, "numbers of processors", scalar::integer(0..=CPUS - 1))?;
    for (i, cpu) in cpus.iter().enumerate() {
        if cpus[..i].iter().any(|other| other.get_ref() == cpu.get_ref()) {
            reader.report(cpu.span(), format!("processor {} is listed twice", cpu.get_ref()));
        }
    }
    Some(cpus.into_iter().map(|cpu| cpu.into_inner() as usize).collect())
}

fn coalesce<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let span = value.span();
    let rest = scalar::micros(reader, value)?;
    if rest.is_zero() || rest > COALESCE_MAX {
        let help = "\"50us\" is what pays; leave `coalesce` out to answer at once";
        reader.report_help(span, "`coalesce` is 1us to 1ms", help);
        return None;
    }
    Some(rest)
}

/// `{ clients = 1024, per_source = 128, idle = "10s" }`, or some of it.
fn tcp<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<TcpSection> {
    let mut table = reader.table("`tcp`".into(), value)?;
    let mut count = |reader: &mut Reader<'i, '_>, key| {
        let count = table.take(reader, key, scalar::integer(1..=TCP_CLIENTS_MAX));
        count.map(|count| count.into_inner() as usize)
    };
    let (clients, per_source) = (count(reader, "clients"), count(reader, "per_source"));
    let idle = table.take(reader, "idle", tcp_idle);
    table.finish(reader);
    Some(TcpSection { clients, per_source, idle: idle.map(Spanned::into_inner) })
}

fn tcp_idle<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let span = value.span();
    let idle = scalar::duration(reader, value)?;
    if !(TCP_IDLE_MIN..=TCP_IDLE_MAX).contains(&idle) {
        let help = "\"10s\" suits resolvers, which ask for more by edns-tcp-keepalive";
        reader.report_help(span, "`idle` is 1s to 1h", help);
        return None;
    }
    Some(idle)
}

/// `{ trusted = ["192.0.2.0/28"] }`.
fn proxy<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<IpNet>> {
    let mut table = reader.table("`proxy`".into(), value)?;
    let trusted = table.require(reader, "trusted", "[\"192.0.2.0/28\"]", networks);
    table.finish(reader);
    let trusted = trusted?;
    if trusted.get_ref().len() > PROXIES_MAX {
        let message = format!("{} networks of proxies are too many", trusted.get_ref().len());
        let help = format!("each query is held against them: write at most {PROXIES_MAX}");
        reader.report_help(trusted.span(), message, help);
    }
    Some(trusted.into_inner().into_iter().map(Spanned::into_inner).collect())
}

fn regions<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> Vec<RegionDef> {
    let named = root.take_named(reader, "regions", "region");
    named.into_iter().map(|(name, table)| region(reader, name, table)).collect()
}

fn region<'i>(
    reader: &mut Reader<'i, '_>,
    name: Spanned<String>,
    mut table: Table<'i>,
) -> RegionDef {
    reader.check_name(&name);
    if table.has("cloud") == table.has("at") {
        let problem = Problem::error(
            &reader.file,
            name.span(),
            format!("{} needs exactly one of `cloud` and `at`", table.what),
        );
        reader.push(problem.help(
            "write `cloud = \"aws:eu-west-1\"` for a cloud's region, or `at = [50.11, 8.68]` for a \
             place of your own",
        ));
    }
    let cloud = table.take(reader, "cloud", scalar::string);
    let at = table.take(reader, "at", scalar::coordinates);
    table.finish(reader);
    RegionDef {
        name,
        place: match (cloud, at) {
            (Some(cloud), _) => Some(RegionPlace::Cloud(cloud)),
            (None, at) => at.map(|at| RegionPlace::At(at.into_inner())),
        },
    }
}

fn defaults<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> RecordSettings {
    let Some(mut table) = root.take_table(reader, "defaults") else {
        return RecordSettings::default();
    };
    let settings = RecordSettings::read(reader, &mut table);
    table.finish(reader);
    settings
}

fn health<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> HealthSection {
    let mut section = HealthSection::default();
    let Some(mut table) = root.take_table(reader, "health") else {
        return section;
    };
    let deny = table.take(reader, "deny", networks);
    section.deny = deny.map(Spanned::into_inner).unwrap_or_default();
    if let Some(guards) = table.take(reader, "isolation_guard", guards) {
        section.guards = guards.into_inner();
    }
    if let Some(mut breaker) = table.take_table(reader, "breaker") {
        breaker.what = "`breaker`".into();
        let share = breaker.take(reader, "share", scalar::share);
        section.breaker_share = share.map(Spanned::into_inner);
        let hold = breaker.take(reader, "hold", scalar::duration);
        section.breaker_hold = hold.map(Spanned::into_inner);
        breaker.finish(reader);
    }
    table.finish(reader);
    section
}

fn guards<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<Spanned<SocketAddr>>> {
    let span = value.span();
    let guards = reader.list(value, "addresses with ports", scalar::socket)?;
    if guards.len() > GUARDS_MAX {
        let message = format!("{} isolation guards are more than anybody needs", guards.len());
        reader.report_help(span, message, "two or three, in networks of their own, will do");
    }
    for guard in &guards {
        if guard.get_ref().port() == 0 {
            let help = "name a port that is open, or that refuses: 53 of a resolver will do";
            reader.report_help(guard.span(), "nothing can be asked on port 0", help);
        }
    }
    Some(guards)
}
