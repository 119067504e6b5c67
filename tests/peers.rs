//! Conformance, judged by those who have it: random static zones served by NSD, by Knot and by
//! us, and the same questions to all three.
//!
//! Compared are rcode, AA, the answer section (aliases in their order, all else as a set) and the
//! authority section; the additional section is each server's own affair, but for glue.
//!
//! # Where we differ, and why

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Record, RecordType},
};
use std::{collections::BTreeSet, fmt::Write, net::SocketAddr};
use support::{
    DEADLINE, dns,
    peers::{Authority, Program},
    scratch::Scratch,
    server::Server,
    zones::RandomZone,
};
use tradewind::{
    cli::dns::{Client, Transport},
    clock::{Dice, SystemClock},
};

/// What is compared of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gist {
    rcode: ResponseCode,
    authoritative: bool,
    /// CNAMEs and DNAMEs, which lead from one to the next.
    aliases: Vec<String>,
    answers: BTreeSet<String>,
    authority: BTreeSet<String>,
}

impl Gist {
    fn of(message: &Message) -> Self {
        let is_alias = |r: &&Record| matches!(r.record_type(), RecordType::CNAME | RecordType::DNAME);
        let answers = message.answers.iter();
        Gist {
            rcode: message.metadata.response_code,
            authoritative: message.metadata.authoritative,
            aliases: answers.clone().filter(is_alias).map(text).collect(),
            answers: answers.filter(|r| !is_alias(r)).map(text).collect(),
            authority: message.authorities.iter().map(text).collect(),
        }
    }
}

/// A record as text; case says nothing.
fn text(record: &Record) -> String {
    record.to_string().to_ascii_lowercase()
}

#[test]
fn random_zones_are_answered_as_nsd_and_knot_answer_them() {
    let seeds: u64 = std::env::var("SEEDS").map_or(4, |v| v.parse().unwrap());
    let mut dice = Dice::seeded(std::env::var("SEED").map_or(1, |v| v.parse().unwrap()));
    let origins: Vec<String> = (0..seeds).map(|n| format!("z{n}.example.test")).collect();
    let others: Vec<&str> = origins.iter().map(String::as_str).collect();
    let zones: Vec<_> = origins.iter().map(|o| RandomZone::draw(o, 60, &others, &mut dice)).collect();
    let texts: Vec<_> = zones.iter().map(|z| z.text(&mut dice)).collect();
    let served: Vec<(&str, &str)> = others.iter().copied().zip(texts.iter().map(String::as_str)).collect();

    let start = |program, ip: &str| {
        Authority::serve(program, support::free_address(ip.parse().unwrap()), &served)
    };
    let (Some(nsd), Some(knot)) = (start(Program::Nsd, "127.0.74.1"), start(Program::Knot, "127.0.74.2")) else { return };
    let folder = Scratch::with(&[("tradewind.toml", "[server]\nlisten = [\"127.0.74.3:0\"]\n[rrl]\nper_second = 0\n")]);
    for (zone, text) in &served {
        folder.write(&format!("zones/{zone}.zone"), text);
    }
    let ours = Server::start(folder);
    let clock = SystemClock::default();
    let clients = [ours.udp(), nsd.address, knot.address];
    let mut clients = clients.map(|at| Client::new(&clock, at, DEADLINE, 1));
    let mut differences = String::new();
    let mut count = 0;
    for zone in &zones {
        for _ in 0..400 {
            let (owner, rtype) = zone.question(&mut dice);
            let question = dns::question(&owner, rtype.parse().unwrap(), "");
            let [ours, nsd, knot] = clients.each_mut().map(|client| {
                let reply = client.ask(&question, Transport::Udp);
                Gist::of(&reply.unwrap_or_else(|e| panic!("{owner} {rtype}: {e}")).message)
            });
            if ours != nsd || ours != knot {
                count += 1;
                let who = match (ours == nsd, ours == knot, nsd == knot) {
                    (false, true, _) => "NSD ALONE",
                    (true, false, _) => "KNOT ALONE",
                    (_, _, true) => "WE ALONE",
                    _ => "ALL DIFFER",
                };
                writeln!(differences, "{who}: {owner} {rtype}\n  ours {ours:?}\n  nsd  {nsd:?}\n  knot {knot:?}").unwrap();
            }
        }
    }
    std::fs::write("/tmp/pw/zones.txt", texts.join("\n-----\n")).unwrap();
    std::fs::write("/tmp/pw/diff.txt", &differences).unwrap();
    assert_eq!(count, 0);
}
