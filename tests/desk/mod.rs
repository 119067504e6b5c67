//! What tests and benches of answers share: a World made from an operator's files, queries
//! written as text, and replies read by hickory-proto, which shares no code with ours.

#![allow(dead_code, reason = "each test target uses its own part of it")]

pub mod ask;
pub mod medley;
mod shown;
pub mod signed;

pub use ask::Ask;
pub use shown::show;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tradewind::{
    clock::{Moment, Reading},
    compile::{Input, Memory, compile},
    config::{Progress, Sources},
    engine::Desk,
    ids::CounterSlot,
    place::LazyTable,
    steering::Steering,
    telemetry::{Tally, Telemetry, Totals, Via},
    verdict::{Sight, Standing, Standings},
    world::{State, World},
};

/// What every zone made by [`Server::zone`] begins with: the SOA lives for an hour, what it
/// denies for five minutes.
const HEAD: &str = "\
$TTL 1h
@   SOA ns1 host 1 2h 15m 2w 5m
@   NS  ns1
ns1 A   192.0.2.53
";

/// The server file of every server made here.
pub const SERVER: &str = r#"
[regions.us-east-1]
cloud = "aws:us-east-1"
[regions.eu-west-1]
cloud = "aws:eu-west-1"
[regions.ap-northeast-1]
cloud = "aws:ap-northeast-1"
[defaults]
check = "none"
"#;

/// The file of the zone `example` with `toml` and, beside it, the `fixed` records.
pub fn steered_zone(fixed: &str, toml: &str) -> String {
    format!(
        "zone = 'example'\nns = ['ns1.example']\n\
         soa = {{ rname = 'host.example', negative_ttl = '5s', serial = 1 }}\n\
         static = '''\nns1 A 192.0.2.53\n{fixed}\n'''\n{toml}"
    )
}

/// Nothing is kept back from whoever asks a desk thousands of times within no time at all.
pub const UNLIMITED: &str = "[rrl]\nper_second = 0\nerrors_per_second = 0\n";

/// A World and a desk to answer from it.
pub struct Server {
    world: World,
    desk: Desk,
    telemetry: Telemetry,
    buf: Vec<u8>,
}

impl Server {
    /// A server of one static zone: `text` behind an SOA, an NS and its address.
    pub fn zone(apex: &str, text: &str) -> Server {
        Server::zones(&[(apex, text)])
    }

    /// A server of several such zones.
    pub fn zones(zones: &[(&str, &str)]) -> Server {
        Server::of(&zones.iter().map(|(apex, text)| zone(apex, text)).collect::<Vec<_>>())
    }

    /// A server of one static zone `example` whose own file says `told`.
    pub fn guarded(told: &str, text: &str) -> Server {
        Server::told(told, &[zone("example", text)])
    }

    /// A server of the zone `example` with `toml` and, beside it, the `fixed` records; what it
    /// denies lives for five seconds.
    pub fn steered(fixed: &str, toml: &str) -> Server {
        Server::steered_and_told(UNLIMITED, fixed, toml)
    }

    /// The same, whose own file says `told` (see [`Server::told`]).
    pub fn steered_and_told(told: &str, fixed: &str, toml: &str) -> Server {
        Server::told(told, &[("zones/example.toml".to_owned(), steered_zone(fixed, toml))])
    }

    /// A server of an operator's `files` beside the server's own, with everything up. All zones
    /// must compile, but for one called `never.example`.
    pub fn of(files: &[(String, String)]) -> Server {
        Server::told(UNLIMITED, files)
    }

    /// The same, whose own file says `told` too. It may name the cookie secrets of RFC 9018,
    /// appendix A: `secrets/first` and, of A.4, `secrets/rolled`.
    pub fn told(told: &str, files: &[(String, String)]) -> Server {
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let server = format!("{SERVER}{told}");
        let sources = Sources::in_memory(files.chain([("tradewind.toml", &*server)]));
        let telemetry = Telemetry::default();
        let input = Input {
            sources: &sources,
            last_good: &BTreeMap::new(),
            locations: Some(&LazyTable::embedded()),
            serials: &HashMap::new(),
            secret: &|path| match path.to_str() {
                Some("secrets/first") => Ok(Some("e5e973e5a6b2a43f48e7dc849e37bfcf".into())),
                Some("secrets/rolled") => {
                    let rolled = "445536bcd2513298075a5d379663c962\n\
                                  dd3bdf9344b678b185a6f5cb60fca715\n";
                    Ok(Some(rolled.into()))
                }
                _ => Err("there is no such secret here".into()),
            },
            progress: &Progress::default(),
            counter: &mut |_| CounterSlot(0),
        };
        let compiled = match compile(input, &mut Memory::default()) {
            Ok(compiled) => compiled,
            Err(problems) => panic!("{}", problems.render(&sources, false)),
        };
        if compiled.held.iter().any(|path| !path.ends_with("never.example.zone")) {
            panic!("{}", compiled.problems.render(&sources, false));
        }
        let snapshot = Arc::new(compiled.snapshot);
        let state = State::default();
        let steering = Steering::build(&snapshot, state.moved());
        let world = World { snapshot, steering, state: Arc::new(state), ..World::default() };
        let desk = Desk::new(1, telemetry.thread());
        Server { world, desk, telemetry, buf: vec![0; 65_535] }
    }

    /// Makes a World in which the endpoints in `down` (`zone/pool/endpoint`) are down and all
    /// others up.
    pub fn fell(&mut self, down: &[&str]) {
        let standing = |name: &str| match down.contains(&name) {
            true => Standing::Down,
            false => Standing::Up,
        };
        let slots = self.world.snapshot.slots.iter();
        let sights = slots.map(|slot| Sight { standing: standing(&slot.name), failing: false });
        let state = State { standings: Standings(sights.collect()), ..State::default() };
        self.world.steering = Steering::build(&self.world.snapshot, state.moved());
        self.world.state = Arc::new(state);
    }

    /// The World alone.
    pub fn into_world(self) -> World {
        self.world
    }

    /// Says what time it is: so long after the server began, and by its clock on the wall.
    pub fn at(&mut self, since: Duration, wall: u32) {
        self.desk.set_time(Reading { now: Moment::default().after(since), wall });
    }

    /// What was counted.
    pub fn count(&self, tally: Tally) -> u64 {
        self.totals().of(tally)
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        self.telemetry.totals()
    }

    /// Whether the first results of health checks are still awaited.
    pub fn warming(&mut self, warming: bool) {
        self.world.warming = warming;
    }

    /// The reply to `packet`, empty for silence. What stood behind the packet is trodden on
    /// first, so that a reply which relies on it shows.
    pub fn answer(&mut self, packet: &[u8], from: IpAddr, via: Via) -> &[u8] {
        self.buf[..packet.len()].copy_from_slice(packet);
        self.buf[packet.len()..].fill(0xee);
        let len = self.desk.answer(&self.world, &mut self.buf, packet.len(), from, via);
        &self.buf[..len]
    }

    /// The replies to packets that came in together, as [`Server::answer`] gives them.
    pub fn answer_together(&mut self, packets: &[Vec<u8>], from: IpAddr, via: Via) -> Vec<Vec<u8>> {
        packets.iter().for_each(|packet| self.desk.foresee(&self.world, packet));
        self.desk.prepare(&self.world);
        packets.iter().map(|packet| self.answer(packet, from, via).to_vec()).collect()
    }

    /// The reply to a query written as text (see [`Ask`]). Whatever it says, it belongs to the
    /// query: id, opcode, RD and the question to its letters (RFC 1035 §4.1.1); OPT if and only
    /// if the query had one (RFC 6891 §6.1.1); no longer than the client takes.
    pub fn ask(&mut self, query: &str) -> Vec<u8> {
        let ask = Ask::new(query);
        let (packet, head) = (ask.packet(), ask.name.len() + 16);
        let reply = self.answer(&packet, ask.from, ask.via).to_vec();
        if !reply.is_empty() {
            assert_eq!(reply[..2], packet[..2], "{query}");
            assert_eq!(reply[2] & 0x79, packet[2] & 0x79, "{query}");
            assert_eq!(reply[4..6], packet[4..6], "{query}");
            assert_eq!(reply[12..head], packet[12..head], "{query}");
            let has_opt = show(&reply).last().is_some_and(|line| line.starts_with("opt"));
            assert_eq!(has_opt, ask.edns.is_some(), "{query}");
            assert!(reply.len() <= ask.limit(), "{query}: {} bytes", reply.len());
        }
        reply
    }

    /// The same as it is shown (see [`show`]).
    pub fn shown(&mut self, query: &str) -> Vec<String> {
        show(&self.ask(query))
    }
}

/// The file of a static zone.
fn zone(apex: &str, text: &str) -> (String, String) {
    // Lines are indented as the code around them, not to continue the owner above.
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    (format!("zones/{apex}.zone"), HEAD.to_owned() + &lines.join("\n"))
}

/// Asks each query of `cases` and compares the whole reply with what is written below it:
///
/// ```text
/// ? nx.example A edns=1232
///   NXDOMAIN aa
///   au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
///   opt 1232
/// ```
///
/// Reports all that differ, as they would have to be written.
#[track_caller]
pub fn check(server: &mut Server, cases: &str) {
    let mut wrong = String::new();
    for case in cases.split('?').map(str::trim).filter(|case| !case.is_empty()) {
        let mut lines = case.lines().map(str::trim).filter(|line| !line.is_empty());
        let query = lines.next().unwrap();
        let (expected, shown) = (lines.collect::<Vec<_>>(), server.shown(query));
        if shown != expected {
            let shown = shown.join("\n  ");
            wrong += &format!("? {query}\n  {shown}\n");
        }
    }
    assert!(wrong.is_empty(), "these got other replies than expected, namely:\n{wrong}");
}
