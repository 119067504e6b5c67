//! A thousand changes of verdict a second, and what they cost those who ask meanwhile.
//!
//! A server with one UDP thread, whose verdicts are made here: the admin API takes no thousand
//! orders a second from one address. `verdicts PORT` answers on that port, waits for a line with
//! the seconds to publish for, answers on until its input ends, and prints what it did and what it
//! lost; so `benches/peers.sh` runs it, beside its generator. Without a port it publishes for a
//! second, asked by nobody.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and speaks")]

use std::{
    collections::{BTreeMap, HashMap},
    env, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};
use tradewind::{
    clock::{Clock, SystemClock, Timekeeper},
    compile::{Input, Memory, compile},
    config::{Progress, Sources},
    control::publish::{Control, TargetVerdict},
    daemon::answerer::WorldAnswerer,
    engine::Desk,
    ids::CounterSlot,
    snapshot::Snapshot,
    telemetry::{DropReason, Family, Sampling, Tally, Telemetry, Totals, Via},
    transport::{Sockets, UdpServer, UdpSettings},
    verdict::{Sight, Standing},
};

/// DESIGN §6: during so many publishes a second nothing is lost.
const A_SECOND: u32 = 1_000;
/// Publishes from one look at the passing of time to the next: it is a second, as in the daemon.
const TICK: u32 = A_SECOND;

const POOLS: [&str; 4] = ["a", "b", "c", "d"];
const ZONE: &str = r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "web"
static = "ns1 60 IN A 127.0.0.53"
[pools.a]
endpoints = [{ name = "a1", ipv4 = "192.0.2.1" }, { name = "a2", ipv4 = "192.0.2.2" }]
[pools.b]
endpoints = [{ name = "b1", ipv4 = "192.0.2.11" }, { name = "b2", ipv4 = "192.0.2.12" }]
[pools.c]
endpoints = [{ name = "c1", ipv4 = "192.0.2.21" }, { name = "c2", ipv4 = "192.0.2.22" }]
[pools.d]
endpoints = [{ name = "d1", ipv4 = "192.0.2.31" }, { name = "d2", ipv4 = "192.0.2.32" }]
[records.all]
policy = "multivalue"
members = ["a", "b", "c", "d"]
[records.first]
policy = "failover"
failback = "auto"
members = ["a", "b", "c", "d"]
[records.split]
policy = "weighted"
members = [{ pool = "a", weight = 4 }, { pool = "b", weight = 3 }, { pool = "c", weight = 2 }, "d"]
"#;

fn snapshot() -> Snapshot {
    let sources = Sources::in_memory([
        ("tradewind.toml", "schema = 1\n"),
        ("healthchecks/web.toml", "[web]\ntype = \"tcp\"\nport = 80\n"),
        ("zones/gtm.example.toml", ZONE),
    ]);
    let input = Input {
        sources: &sources,
        last_good: &BTreeMap::new(),
        locations: None,
        serials: &HashMap::new(),
        progress: &Progress::default(),
        counter: &mut |_| CounterSlot(0),
        secret: &|_| Err("there are no secrets here".into()),
    };
    let compiled = compile(input, &mut Memory::default()).unwrap();
    assert!(!compiled.problems.has_errors(), "the bench's own files are right");
    compiled.snapshot
}

/// Each time the next pool has failed, and the one before is back.
struct Changes {
    clock: SystemClock,
    /// The keys of the targets of each pool.
    pools: [Vec<Arc<str>>; POOLS.len()],
}

impl Changes {
    fn new(snapshot: &Snapshot, clock: SystemClock) -> Self {
        let pools = POOLS.map(|pool| {
            let part = format!("/{pool}/");
            let slots = snapshot.slots.iter().filter(|slot| slot.name.contains(&part));
            slots.map(|slot| slot.target.clone().unwrap()).collect::<Vec<_>>()
        });
        assert!(pools.iter().all(|keys| keys.len() == 2), "two endpoints each, all checked");
        Changes { clock, pools }
    }

    /// All pools stand like this.
    fn all(&self, standing: Standing) -> Vec<TargetVerdict> {
        (0..POOLS.len()).flat_map(|pool| self.of(pool, standing)).collect()
    }

    /// The change number `turn`.
    fn change(&self, turn: u32) -> Vec<TargetVerdict> {
        let pool = turn as usize % POOLS.len();
        let before = (pool + POOLS.len() - 1) % POOLS.len();
        self.of(pool, Standing::Down).chain(self.of(before, Standing::Up)).collect()
    }

    fn of(&self, pool: usize, standing: Standing) -> impl Iterator<Item = TargetVerdict> {
        let at = self.clock.now();
        self.pools[pool].iter().map(move |key| TargetVerdict {
            key: Arc::clone(key),
            sight: Sight { standing, failing: !standing.is_up() },
            reason: standing.word().into(),
            at,
            first_failure: None,
            answered: false,
            observed: false,
            gate: None,
            damped: None,
        })
    }
}

/// Publishes for so many seconds: how often that changed the World, and the longest from when a
/// change was due to when it was in force. One that is late is followed by the next at once.
fn publish(control: &mut Control, changes: &Changes, seconds: u32) -> (u64, Duration) {
    let clock = changes.clock;
    let begun = clock.now();
    let (mut published, mut slowest) = (0, Duration::ZERO);
    for turn in 0..seconds * A_SECOND {
        let due = begun.after(Duration::from_secs(1) / A_SECOND * turn);
        thread::sleep(due.since(clock.now()));
        if clock.now().since(begun) >= Duration::from_secs(seconds.into()) {
            break;
        }
        let before = control.world().swap;
        control.observe(changes.change(turn));
        published += control.world().swap - before;
        slowest = slowest.max(clock.now().since(due));
        if turn % TICK == 0 {
            control.tick();
        }
    }
    (published, slowest)
}

/// The seconds that whoever started us says, once all is ready for it.
fn seconds_told() -> u32 {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    line.trim().parse().unwrap_or_else(|_| panic!("not a number of seconds: {line:?}"))
}

fn told(published: u64, slowest: Duration, totals: &Totals) -> serde_json::Value {
    let dropped = DropReason::ALL.iter().map(|reason| totals.of(Tally::Dropped(*reason)));
    serde_json::json!({
        "publishes": published,
        "slowest_ms": slowest.as_secs_f64() * 1e3,
        "queries": totals.of(Tally::Query(Via::Udp, Family::V4)),
        "drops": {
            "kernel": totals.of(Tally::KernelDrop),
            "send": totals.of(Tally::SendDrop),
            "silent": dropped.sum::<u64>(),
            "panics": totals.of(Tally::Panic),
        },
    })
}

fn main() {
    // Cargo passes an option of its own.
    let port: Option<u16> = env::args().find_map(|arg| arg.parse().ok());
    let clock = SystemClock::default();
    let snapshot = snapshot();
    let changes = Changes::new(&snapshot, clock);
    let mut control = Control::new(Arc::new(clock));
    control.install(snapshot.into(), 1);
    control.observe(changes.all(Standing::Up));
    control.warm();

    let telemetry = Telemetry::default();
    // Nothing is sampled.
    let (sampling, _) = Sampling::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_default()));
    let sockets = Sockets::bind(&[address], 1, 1).unwrap();
    let udp = UdpServer::start(sockets.udp, &UdpSettings::default(), &telemetry, |counters| {
        let (reader, time) = (control.reader(), Timekeeper::new(Arc::new(clock)));
        let (sampler, desk) = (sampling.sampler(1, counters.clone()), Desk::new(1, counters));
        WorldAnswerer::new(reader, time, desk, sampler)
    })
    .unwrap();
    let seconds = if port.is_some() { seconds_told() } else { 1 };
    let (published, slowest) = publish(&mut control, &changes, seconds);
    if port.is_some() {
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
    }
    udp.stop();
    println!("{}", told(published, slowest, &telemetry.totals()));
}
