//! Zones that come with signatures, judged by who validates: unbound with a trust anchor finds
//! every answer secure, or insecure where the zone says so, and never bogus.

mod support;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use std::net::IpAddr;
use support::{
    dns,
    peers::Resolver,
    scratch::Scratch,
    server::Server,
    signer::{Chain, SignedZone, Signer, sign},
    zones::RandomZone,
};
use tradewind::{
    clock::{Dice, SystemClock},
    dns::{Client, Question, Transport},
};

const CHAINS: [Chain; 3] = [Chain::Nsec, Chain::Nsec3, Chain::OptOut];

/// What a resolver makes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Secure,
    Insecure,
    /// Secure, but where the chain opted out of proving it.
    UnlessOptedOut,
}
use Sight::{Insecure, Secure, UnlessOptedOut};

/// What is asked below `example.test`.
const CASES: [(&str, &str, ResponseCode, Sight); 19] = [
    ("www", "A", ResponseCode::NoError, Secure),
    ("www", "AAAA", ResponseCode::NoError, Secure),
    ("", "DNSKEY", ResponseCode::NoError, Secure),
    ("nothing", "A", ResponseCode::NXDomain, UnlessOptedOut),
    ("x.y.www", "A", ResponseCode::NXDomain, UnlessOptedOut),
    ("any.w", "A", ResponseCode::NoError, UnlessOptedOut),
    ("any.w", "TXT", ResponseCode::NoError, UnlessOptedOut),
    ("x.any.w", "A", ResponseCode::NoError, UnlessOptedOut),
    ("b.ent", "A", ResponseCode::NoError, Secure),
    ("alias", "A", ResponseCode::NoError, Secure),
    ("any.c", "A", ResponseCode::NoError, UnlessOptedOut),
    ("loose", "A", ResponseCode::NXDomain, UnlessOptedOut),
    ("www.old", "A", ResponseCode::NoError, Secure),
    ("nothing.old", "A", ResponseCode::NXDomain, UnlessOptedOut),
    ("sub", "DS", ResponseCode::NoError, UnlessOptedOut),
    ("www.sub", "A", ResponseCode::NoError, Insecure),
    ("sec", "DS", ResponseCode::NoError, Secure),
    ("www.sec", "A", ResponseCode::NoError, Secure),
    ("nothing.sec", "A", ResponseCode::NXDomain, Secure),
];

/// A server of `zones`: origin and text.
fn serve(listen: &str, zones: &[(&str, &str)]) -> Server {
    let config = format!("[server]\nlisten = [\"{listen}\"]\nstate = \"state\"\n");
    let folder = Scratch::with(&[("tradewind.toml", &config)]);
    for (origin, text) in zones {
        folder.write(&format!("zones/{origin}.zone"), text);
    }
    Server::start(folder)
}

/// A resolver that validates `origin`, served by `server`.
fn resolver(ip: IpAddr, origin: &str, server: &Server, zone: &SignedZone) -> Option<Resolver> {
    let anchor = zone.anchor.replace(['\t', '"'], " ");
    // Nobody else is asked: not the name servers in random zones, not the root's.
    let (at_ip, at_port) = (server.udp().ip(), server.udp().port());
    let validating = format!(
        "  module-config: \"validator iterator\"\n  trust-anchor: \"{anchor}\"\n  \
         do-not-query-address: 192.0.2.0/24\n  do-not-query-address: 198.51.100.0/24\n\
         stub-zone:\n  name: \".\"\n  stub-addr: {at_ip}@{at_port}"
    );
    Resolver::start(ip, origin, server.udp(), &validating)
}

fn resolve(resolver: &Resolver, owner: &str, rtype: RecordType) -> Message {
    let question = dns::question(owner, rtype, "");
    let question = Question { dnssec: true, recurse: true, ..question };
    let reply = dns::try_ask(resolver.address, &question);
    reply.unwrap_or_else(|e| panic!("{owner}: {e}\n{}", resolver.log())).message
}

#[test]
fn unbound_finds_signed_zones_secure() {
    let ours = IpAddr::from([127, 0, 71, 53]);
    if !support::may_bind_53(ours) {
        return;
    }
    let head = "$TTL 300\n@ IN SOA ns h 1 3600 600 86400 60\n@ IN NS ns\n";
    let sub = format!("{head}ns IN A {ours}\nwww IN A 192.0.2.9\n");
    for (number, chain) in CHAINS.into_iter().enumerate() {
        let signer = [Signer::Bind, Signer::Ldns][number % 2];
        let origin = "sec.example.test";
        let Some(sec) = sign(signer, Chain::Nsec, origin, &sub, &[]) else { return };
        let text = format!(
            "{head}ns IN A {ours}\nwww IN A 192.0.2.1\na.b.ent IN A 192.0.2.2\n\
             *.w IN A 192.0.2.3\n*.c IN CNAME www\nalias IN CNAME www\nloose IN CNAME nothing\n\
             old IN DNAME new\nwww.new IN A 192.0.2.4\nsub IN NS ns.sub\nns.sub IN A {ours}\n\
             sec IN NS ns.sec\nns.sec IN A {ours}\n{}",
            sec.ds
        );
        let Some(zone) = sign(signer, chain, "example.test", &text, &[]) else { return };
        let listen = format!("{ours}:53");
        let zones = [
            ("example.test", zone.text.as_str()),
            ("sub.example.test", &sub),
            ("sec.example.test", &sec.text),
        ];
        let server = serve(&listen, &zones);
        let at = IpAddr::from([127, 0, 71, 1]);
        let Some(resolver) = resolver(at, "example.test", &server, &zone) else { return };
        for (owner, rtype, rcode, sight) in CASES {
            let owner = format!("{owner}.example.test").trim_start_matches('.').to_owned();
            let reply = resolve(&resolver, &owner, rtype.parse().unwrap());
            let is_secure = match sight {
                Secure => true,
                Insecure => false,
                UnlessOptedOut => chain != Chain::OptOut,
            };
            let got = (reply.metadata.response_code, reply.metadata.authentic_data);
            let log = || resolver.log();
            assert_eq!(got, (rcode, is_secure), "{owner} {rtype} {chain:?}: {reply}\n{}", log());
        }
    }
}

#[test]
fn signatures_that_expire_are_warned_of() {
    let text = "$TTL 300\n@ IN SOA ns h 1 3600 600 86400 60\n@ IN NS ns.elsewhere.\n";
    for (end, said) in [
        ("20200201000000", Some("signatures of this zone have expired")),
        ("now+172800", Some("signatures of this zone expire within three days")),
        ("now+864000", None),
    ] {
        let valid = ["-P", "-s", "20200101000000", "-e", end];
        let zone = sign(Signer::Bind, Chain::Nsec, "example.test", text, &valid);
        let Some(zone) = zone else { return };
        let server = serve("127.0.0.1:0", &[("example.test", &zone.text)]);
        let checked = server.cli("check", &[]);
        let checked = String::from_utf8_lossy(&checked.stderr).into_owned();
        for told in [checked, server.log()] {
            let is_told = said.is_some_and(|said| told.contains(said));
            assert_eq!(is_told, told.contains("signatures of this zone"), "{end}: {told}");
            assert_eq!(is_told, said.is_some(), "{end}: {told}");
        }
    }
}

#[test]
fn names_left_out_of_the_chain_below_a_wildcard_are_warned_of() {
    let text = "$TTL 300\n@ IN SOA ns h 1 3600 600 86400 60\n@ IN NS ns.elsewhere.\n\
                deep.ins.x IN NS ns.elsewhere.\n";
    let said = "is left out of the chain below the wildcard `*.example.test`; and 1 more";
    for (chain, wildcard, is_said) in [
        (Chain::OptOut, "* IN A 192.0.2.1\n", true),
        (Chain::Nsec3, "* IN A 192.0.2.1\n", false),
        (Chain::OptOut, "", false),
    ] {
        let text = format!("{text}{wildcard}");
        let Some(zone) = sign(Signer::Bind, chain, "example.test", &text, &[]) else { return };
        let server = serve("127.0.0.1:0", &[("example.test", &zone.text)]);
        let checked = server.cli("check", &[]);
        let told = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(told.contains(said), is_said, "{chain:?}: {told}");
    }
}

/// How many random zones of how many records, and how many questions each.
const ZONES: usize = 2;
const RECORDS: usize = 60;
const QUESTIONS: usize = 150;

#[test]
fn unbound_finds_no_answer_of_a_random_signed_zone_bogus() {
    let mut dice = Dice::seeded(51_55);
    let clock = SystemClock::default();
    for (number, chain) in (0..ZONES).flat_map(|n| CHAINS.map(|chain| (n, chain))) {
        let origin = format!("{chain:?}{number}.example.test").to_lowercase();
        let drawn = RandomZone::draw(&origin, RECORDS, &mut dice);
        let drawn = if chain == Chain::OptOut { drawn.without_wildcards() } else { drawn };
        let signer = [Signer::Ldns, Signer::Bind][number % 2];
        let Some(zone) = sign(signer, chain, &origin, &drawn.text(&mut dice), &[]) else { return };
        let server = serve("127.0.72.53:0", &[(&origin, &zone.text)]);
        let Some(resolver) = resolver([127, 0, 72, 1].into(), &origin, &server, &zone) else {
            return;
        };
        let mut client = Client::new(&clock, server.udp(), support::DEADLINE, 1);
        let (mut judged, mut wrong) = (0, Vec::new());
        for _ in 0..QUESTIONS {
            let (owner, rtype) = drawn.question(&mut dice);
            let rtype: RecordType = rtype.parse().unwrap();
            let reply = client.ask(&dns::question(&owner, rtype, ""), Transport::Udp);
            let ours = reply.unwrap().message;
            // Its DS is the zone's above.
            let is_of_parent = rtype == RecordType::DS && owner.eq_ignore_ascii_case(&origin);
            if is_of_parent || !is_whole(&ours, rtype) {
                continue;
            }
            judged += 1;
            let theirs = resolve(&resolver, &owner, rtype);
            let [ours, rcode] = [&ours, &theirs].map(|reply| reply.metadata.response_code);
            let is_proven = theirs.metadata.authentic_data || chain == Chain::OptOut;
            if rcode != ours || !is_proven {
                wrong.push(format!("{owner} {rtype}: {rcode}, not {ours}; {is_proven}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}\n{}\n{}", resolver.log(), zone.text);
        assert!(judged > QUESTIONS / 4, "{judged} answers that end in the zone");
    }
}

/// Whether a reply says the last word, in a way that unbound 1.17 can follow: it holds what was
/// asked for, or says that it is not there.
fn is_whole(reply: &Message, rtype: RecordType) -> bool {
    let is_answered = reply.answers.iter().any(|record| record.record_type() == rtype);
    let is_denied = reply.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    // Having seen the NS records, a resolver would ask those servers; a DNAME confuses it when it
    // looks for the zone that DNAME was asked in, and of a CNAME made from one it follows what was
    // asked for itself (RFC 1034 §3.6.2); and a `*` made from another `*` it takes for one
    // that is there, not for an expansion (RFC 4035 §5.3.2 leaves that out).
    let is_led = reply.answers.iter().any(|record| record.record_type() == RecordType::DNAME);
    let is_odd = match rtype {
        RecordType::NS | RecordType::DNAME => true,
        RecordType::CNAME => is_led,
        _ => false,
    };
    let is_followed = !is_odd && !reply.answers.iter().any(|record| record.name.is_wildcard());
    is_followed && reply.metadata.authoritative && (is_answered || is_denied)
}
