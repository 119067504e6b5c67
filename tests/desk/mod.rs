//! What tests and benches of answers share: a World made from an operator's files, queries
//! written as text, and replies read by hickory-proto, which shares no code with ours.

#![allow(dead_code, reason = "each test target uses its own part of it")]

mod ask;
mod shown;

pub use ask::{Ask, opt, wire_name};
pub use shown::show;

use std::{net::IpAddr, path::Path, sync::Arc};
use tradewind::{
    engine::Desk,
    snapshot::{Snapshot, ZoneEntry},
    telemetry::{Telemetry, Via},
    wire::Name,
    world::World,
    zone::{At, Severity, Source, Zone, ZoneBuilder, Zones, read},
};

/// What every zone made by [`Server::zone`] begins with: the SOA lives for an hour, what it
/// denies for five minutes.
pub const HEAD: &str = "\
$TTL 1h
@   SOA ns1 host 1 2h 15m 2w 5m
@   NS  ns1
ns1 A   192.0.2.53
";

/// A World and a desk to answer from it.
pub struct Server {
    pub world: Arc<World>,
    desk: Desk,
    buf: Vec<u8>,
}

impl Server {
    /// A server of one zone: `text` behind [`HEAD`].
    pub fn zone(apex: &str, text: &str) -> Server {
        Server::zones(&[(apex, text)])
    }

    /// A server of several such zones; one whose text is empty never compiled.
    pub fn zones(zones: &[(&str, &str)]) -> Server {
        let entries: Vec<_> = zones
            .iter()
            .map(|(apex, text)| ZoneEntry {
                apex: Name::parse(apex).unwrap(),
                zone: (!text.is_empty()).then(|| Arc::new(build(apex, text))),
                records: 0..0,
            })
            .collect();
        let apexes = Zones::new(entries.iter().map(|entry| &entry.apex)).unwrap();
        let snapshot = Snapshot { apexes, zones: entries.into(), ..Snapshot::default() };
        Server::new(World { snapshot: Arc::new(snapshot), ..World::default() })
    }

    pub fn new(world: World) -> Server {
        let desk = Desk::new(1, Telemetry::default().thread());
        Server { world: Arc::new(world), desk, buf: vec![0; 65_535] }
    }

    /// The reply to `packet`, empty for silence. What stood behind the packet is trodden on
    /// first, so that a reply which relies on it shows.
    pub fn answer(&mut self, packet: &[u8], from: IpAddr, via: Via) -> &[u8] {
        self.buf[..packet.len()].copy_from_slice(packet);
        self.buf[packet.len()..].fill(0xee);
        let len = self.desk.answer(&self.world, &mut self.buf, packet.len(), from, via);
        &self.buf[..len]
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

fn build(apex: &str, text: &str) -> Zone {
    // Indented as the code around it, not to continue the owner above.
    let text: Vec<_> = text.lines().map(str::trim_start).collect();
    let (path, text) = (Arc::from(Path::new("test.zone")), HEAD.to_owned() + &text.join("\n"));
    let apex = Name::parse(apex).unwrap();
    let mut builder =
        ZoneBuilder::new(apex.clone(), At { file: Arc::clone(&path), line: 1 });
    let source = Source { path, first_line: 1, text: &text };
    let load = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let problems = read(&source, &load, &apex, None, &mut |record| builder.add(record));
    assert!(problems.is_empty(), "{problems:?}");
    let (zone, problems) = builder.build();
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    zone.unwrap_or_else(|| panic!("{:?}", errors.collect::<Vec<_>>()))
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
