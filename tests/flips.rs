//! H-2: ten thousand changes of verdict under load; every answer is of one World.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use support::{
    figure,
    load::{Ask, Stream},
};
use tradewind::{
    clock::{Clock, SystemClock},
    compile::{Input, Memory, compile},
    config::{Progress, Sources},
    control::publish::{Control, TargetVerdict},
    engine::Desk,
    ids::CounterSlot,
    telemetry::{Telemetry, Via},
    transport::{Answerer, Sockets, UdpServer},
    verdict::{Sight, Standing},
    world::Reader,
};

const FLIPS: u32 = 10_000;
const FLIPS_PER_SECOND: u32 = 2_000;
const QUERIES_PER_SECOND: u32 = 20_000;

const ZONE: &str = r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "web"
static = "ns1 60 IN A 127.0.0.53"
[pools.a]
endpoints = [{ name = "a1", ipv4 = "192.0.2.1" }, { name = "a2", ipv4 = "192.0.2.2" }]
[pools.b]
endpoints = [{ name = "b1", ipv4 = "192.0.2.11" }, { name = "b2", ipv4 = "192.0.2.12" }]
[records.both]
policy = "multivalue"
members = ["a", "b"]
[records.first]
policy = "failover"
failback = "auto"
members = ["a", "b"]
[records.half]
policy = "weighted"
members = [{ pool = "a", weight = 1 }, { pool = "b", weight = 1 }]
"#;

struct FromWorld(Reader, Desk);

impl Answerer for FromWorld {
    fn refresh(&mut self) {
        self.0.refresh();
    }
    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, via: Via) -> usize {
        self.1.answer(self.0.held(), buf, len, from.ip(), via)
    }
}

#[test]
fn ten_thousand_flips_under_load_lose_mix_and_empty_no_answer() {
    let clock = SystemClock::default();
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
        token: &|_| Err("there are no tokens here".into()),
    };
    let compiled = compile(input, &mut Memory::default()).unwrap();
    assert!(!compiled.problems.has_errors());
    let keys = |pool: &str| -> Vec<Arc<str>> {
        let slots = compiled.snapshot.slots.iter();
        slots.filter(|slot| slot.name.contains(pool)).map(|s| s.target.clone().unwrap()).collect()
    };
    let (a, b) = (keys("/a/"), keys("/b/"));
    let mut control = Control::new(Arc::new(clock));
    control.install(compiled.snapshot.into(), 1);
    let flip = |a_is_up: bool| {
        let verdict = |key: &Arc<str>, up: bool| TargetVerdict {
            key: Arc::clone(key),
            sight: Sight { standing: if up { Standing::Up } else { Standing::Down }, failing: !up },
            reason: "flipped".into(),
            at: clock.now(),
            first_failure: None,
            answered: false,
            observed: false,
        };
        let a = a.iter().map(|key| verdict(key, a_is_up));
        a.chain(b.iter().map(|key| verdict(key, !a_is_up))).collect::<Vec<_>>()
    };
    control.observe(flip(true));
    control.warm();

    let telemetry = Telemetry::default();
    let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], 2, 1).unwrap();
    let reader = control.reader();
    let udp = UdpServer::start(sockets.udp, &telemetry, |counters| {
        FromWorld(reader.clone(), Desk::new(1, counters))
    })
    .unwrap();
    let names = ["both", "first", "half"];
    let asks = names.map(|name| Ask::a(&format!("{name}.gtm.example"))).into();
    let stream = Stream::start(sockets.addresses[0], clock, asks, QUERIES_PER_SECOND);
    let begun = clock.now();
    let (mut flips, mut slowest) = (0, Duration::ZERO);
    while flips < FLIPS {
        let due = clock.now().since(begun).as_secs_f64() * f64::from(FLIPS_PER_SECOND);
        if f64::from(flips) >= due {
            std::thread::yield_now();
            continue;
        }
        flips += 1;
        let asked = clock.now();
        control.observe(flip(flips % 2 == 0));
        slowest = slowest.max(clock.now().since(asked));
    }
    let took = clock.now().since(begun);
    let exchanges = stream.stop();
    udp.stop();

    let set = |last: [u8; 2]| last.map(|last| IpAddr::from([192, 0, 2, last])).into();
    let (all_of_a, all_of_b): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = (set([1, 2]), set([11, 12]));
    let mut seen = [0_u32; 2];
    for exchange in &exchanges {
        let addresses: BTreeSet<IpAddr> = exchange.answer.addresses.iter().copied().collect();
        let of_a = addresses.is_subset(&all_of_a);
        assert!(of_a || addresses.is_subset(&all_of_b), "mixed: {:?}", exchange.answer);
        match names[exchange.ask] {
            "both" => assert_eq!(addresses.len(), 2, "{:?}", exchange.answer),
            _ => assert_eq!(addresses.len(), 1, "{:?}", exchange.answer),
        }
        seen[usize::from(of_a)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 100), "both sides were answered: {seen:?}");
    let rate = exchanges.len() as f64 / took.as_secs_f64();
    figure(
        "H-2",
        format_args!(
            "{flips} flips in {took:.1?} under {rate:.0} queries/s: {} answers, 0 lost, 0 mixed, \
             0 empty; slowest publish {slowest:.1?}",
            exchanges.len()
        ),
    );
}
