//! CNAMEs that are answered as addresses: looked up by the server itself, kept current, and kept
//! whatever becomes of those who were asked.

mod support;

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{RData, Record, RecordType},
};
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
};
use support::{
    dns, free_address,
    peers::{Authority, Program, Resolver},
    scratch::Scratch,
    server::{BINARY, Server},
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server of `gtm.example` that asks `resolver` for what is not its own.
fn folder(resolver: SocketAddr, zone: &str) -> Scratch {
    let zone = format!(
        "zone = \"gtm.example\"\nns = [\"ns1.gtm.example\"]\ncheck = \"none\"\nttl = \"20s\"\n\
         soa = {{ rname = \"h.example\", negative_ttl = \"5s\" }}\n{zone}"
    );
    let server = format!("[server]\nlisten = [\"127.0.0.1:0\"]\nresolvers = [\"{resolver}\"]\n");
    Scratch::with(&[("tradewind.toml", &server), ("zones/gtm.example.toml", &zone)])
}

/// The apex and `www` are what `www.cdn.test` is.
const OUT: &str = r#"
static = """
ns1 A 127.0.0.53
@ MX 10 mail.example.
"""
[pools.cdn]
endpoints = [{ name = "cdn", cname = "www.cdn.test" }]
extra = '@ TXT "cdn"'
[pools.own]
endpoints = [{ name = "own", ipv4 = "203.0.113.9" }]
extra = '@ TXT "own"'
[records."@"]
policy = "failover"
members = ["cdn"]
[records.www]
policy = "failover"
members = ["cdn", "own"]
flatten = true
[records.alias]
policy = "failover"
members = [{ cname = "www.cdn.test" }]
"#;

fn target(text: &str) -> String {
    format!("$TTL 1\n@ SOA ns h 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n{text}\n")
}

/// The zone of the target, where only it is asked for.
fn authority(address: SocketAddr, text: &str) -> Option<Authority> {
    Authority::start(Program::Nsd, address, "cdn.test", &target(text))
}

/// The addresses of a name, sorted: none but with SOA, never an error.
fn addresses(server: &Server, owner: &str, rtype: RecordType) -> Vec<String> {
    shown(&dns::ask(server.udp(), owner, rtype, ""))
}

fn shown(message: &Message) -> Vec<String> {
    assert_eq!(message.metadata.response_code, ResponseCode::NoError, "{message}");
    let mut shown: Vec<_> = dns::addresses(message).iter().map(ToString::to_string).collect();
    shown.sort();
    shown
}

fn await_address(server: &Server, owner: &str, address: &str) -> Message {
    let question = dns::question(owner, RecordType::A, "");
    dns::ask_until(server.udp(), &question, |message| {
        message.metadata.response_code == ResponseCode::NoError && shown(message) == [address]
    })
}

fn await_lookup(server: &Server, since: u64, well: bool) -> Value {
    server.await_event("a lookup", since, |event| {
        event["event"] == "lookup" && event["alarm"] != well
    })
}

#[test]
fn a_flattened_name_follows_its_target_and_keeps_what_was_found_last() {
    let at = free_address(LOCAL);
    let Some(first) = authority(at, "www A 192.0.2.1\nwww AAAA 2001:db8::1") else { return };
    let server = Server::start(folder(at, OUT));
    let reply = await_address(&server, "gtm.example", "192.0.2.1");
    assert!(
        reply.answers.iter().all(|record| record.ttl == 1),
        "theirs is less than ours: {reply}"
    );
    assert_eq!(addresses(&server, "gtm.example", RecordType::AAAA), ["2001:db8::1"]);
    assert_eq!(addresses(&server, "www.gtm.example", RecordType::A), ["192.0.2.1"]);
    for (owner, rtype, records) in [
        ("gtm.example", RecordType::SOA, 1),
        ("gtm.example", RecordType::MX, 1),
        ("gtm.example", RecordType::TXT, 1),
        ("gtm.example", RecordType::CNAME, 0),
        ("alias.gtm.example", RecordType::CNAME, 1),
        ("alias.gtm.example", RecordType::A, 1),
    ] {
        let reply = dns::ask(server.udp(), owner, rtype, "");
        assert_eq!(reply.answers.len(), records, "{owner} {rtype} {reply}");
    }

    // It moves, and loses a family.
    drop(first);
    let since = server.last_event();
    let moved = authority(at, "www A 192.0.2.2").unwrap();
    await_address(&server, "gtm.example", "192.0.2.2");
    assert_eq!(addresses(&server, "gtm.example", RecordType::AAAA), [""; 0]);
    let event = server.await_event("new addresses", since, |event| {
        let what = event["cause"].as_str().unwrap_or_default();
        event["event"] == "lookup" && what.contains("192.0.2.2")
    });
    assert_eq!(event["subject"], "www.cdn.test");

    // Nothing takes the last good ones away: a name that is gone, a resolver that is gone, a
    // restart meanwhile.
    drop(moved);
    let since = server.last_event();
    let gone = authority(at, "").unwrap();
    await_lookup(&server, since, false);
    assert_eq!(addresses(&server, "gtm.example", RecordType::A), ["192.0.2.2"]);
    drop(gone);
    assert_eq!(addresses(&server, "www.gtm.example", RecordType::A), ["192.0.2.2"]);
    let server = Server::start(server.kill());
    await_lookup(&server, 0, false);
    assert_eq!(addresses(&server, "gtm.example", RecordType::A), ["192.0.2.2"]);

    // And back.
    let _back = authority(at, "www A 192.0.2.3").unwrap();
    await_address(&server, "gtm.example", "192.0.2.3");
    await_address(&server, "www.gtm.example", "192.0.2.3");
}

#[test]
fn what_nobody_has_found_yet_is_no_empty_answer() {
    let at = free_address(LOCAL);
    let server = Server::start(folder(at, OUT));
    let reply = dns::ask(server.udp(), "gtm.example", RecordType::A, "");
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{reply}");
    assert!(!reply.metadata.truncation && reply.answers.is_empty(), "{reply}");
    // Where there is another member, clients get that.
    await_address(&server, "www.gtm.example", "203.0.113.9");
    // What is static beside it is answered all the same.
    assert_eq!(dns::ask(server.udp(), "gtm.example", RecordType::MX, "").answers.len(), 1);
    await_lookup(&server, 0, false);
    let said = server.cli("explain", &["gtm.example", "A", "--client", "192.0.2.1"]);
    let said = String::from_utf8(said.stdout).unwrap();
    for told in ["were not found yet: SERVFAIL", "nobody has found www.cdn.test yet"] {
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_resolver_that_follows_aliases_is_followed() {
    let many: String = (1..=10).map(|n| format!("far A 192.0.2.{n}\n")).collect();
    let text = format!("www CNAME mid\nmid CNAME far\n{many}");
    let Some(authority) = authority(free_address(LOCAL), &text) else { return };
    let Some(resolver) = Resolver::start(LOCAL, "cdn.test", authority.address, "") else { return };
    let server = Server::start(folder(resolver.address, OUT));
    let question = dns::question("gtm.example", RecordType::A, "");
    let reply = dns::ask_until(server.udp(), &question, |reply| !reply.answers.is_empty());
    let mut lowest: Vec<_> = (1..=8).map(|n| format!("192.0.2.{n}")).collect();
    lowest.sort();
    assert_eq!(shown(&reply), lowest, "at most eight");
}

#[test]
fn what_is_ours_is_looked_up_without_anybody_and_a_loop_is_told() {
    let zone = r#"
static = """
ns1 A 127.0.0.53
deep CNAME deeper
deeper 7 A 192.0.2.7
back CNAME round
"""
[pools.us]
endpoints = [{ name = "us", ipv4 = "192.0.2.30" }]
[records.steered]
policy = "failover"
members = ["us"]
[records."@"]
policy = "failover"
members = [{ cname = "deep.gtm.example" }]
[records.also]
policy = "failover"
members = [{ cname = "steered.gtm.example" }]
flatten = true
[records.round]
policy = "failover"
members = [{ cname = "back.gtm.example" }]
flatten = true
"#;
    let server = Server::start(folder(free_address(LOCAL), zone));
    let reply = await_address(&server, "gtm.example", "192.0.2.7");
    assert_eq!(reply.answers[0].ttl, 7);
    await_address(&server, "also.gtm.example", "192.0.2.30");
    let event = await_lookup(&server, 0, false);
    assert_eq!(event["subject"], "back.gtm.example");
    let what = event["cause"].as_str().unwrap();
    assert!(what.contains("leads back"), "{what}");
    let reply = dns::ask(server.udp(), "round.gtm.example", RecordType::A, "");
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{reply}");
}

/// One member that answers, and before it one for whom a resolver has to be asked.
fn members(list: &str) -> String {
    OUT.replace("[\"cdn\", \"own\"]\nflatten = true", &format!("{list}\nflatten = true"))
}

#[test]
fn a_member_that_is_added_answers_nobody_before_it_is_found() {
    // It takes every question and says nothing.
    let silent = UdpSocket::bind((LOCAL, 0)).unwrap();
    let folder = folder(silent.local_addr().unwrap(), &members("[\"own\"]"));
    let server = Server::start(folder);
    assert_eq!(addresses(&server, "www.gtm.example", RecordType::A), ["203.0.113.9"]);
    let zone = server.folder.read("zones/gtm.example.toml");
    let zone = zone.replace("www.cdn.test", "new.cdn.test");
    let zone = zone.replace("[\"own\"]\nflatten", "[\"cdn\", \"own\"]\nflatten");
    server.folder.write("zones/gtm.example.toml", &zone);
    let since = server.last_event();
    server.reload();
    let is_over = || server.events(since).iter().any(|e| e["subject"] == "new.cdn.test");
    let mut asked = 0;
    while !is_over() {
        assert_eq!(addresses(&server, "www.gtm.example", RecordType::A), ["203.0.113.9"]);
        asked += 1;
    }
    assert!(asked > 0, "the lookup takes three seconds");
    assert_eq!(addresses(&server, "www.gtm.example", RecordType::A), ["203.0.113.9"]);
}

#[test]
fn a_family_that_was_never_found_is_not_said_to_be_empty() {
    let resolver = UdpSocket::bind((LOCAL, 0)).unwrap();
    let at = resolver.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buf = [0; 512];
        while let Ok((len, from)) = resolver.recv_from(&mut buf) {
            let query = Message::from_vec(&buf[..len]).unwrap();
            let asked = query.queries[0].clone();
            let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            match asked.query_type {
                RecordType::A => {
                    let data = RData::A(Ipv4Addr::new(192, 0, 2, 1).into());
                    reply.answers.push(Record::from_rdata(asked.name.clone(), 60, data));
                }
                _ => reply.metadata.response_code = ResponseCode::ServFail,
            }
            reply.add_query(asked);
            resolver.send_to(&reply.to_vec().unwrap(), from).unwrap();
        }
    });
    let server = Server::start(folder(at, OUT));
    await_address(&server, "gtm.example", "192.0.2.1");
    let reply = dns::ask(server.udp(), "gtm.example", RecordType::AAAA, "");
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{reply}");
    let event = await_lookup(&server, 0, false);
    assert!(event["cause"].as_str().unwrap().contains("Server Failure"), "{event}");
}

#[test]
fn who_may_ask_us_is_no_matter_of_our_own_lookups() {
    let zone = "static = \"ns1 A 127.0.0.53\\ndeep 7 A 192.0.2.7\"\n[records.\"@\"]\n\
                policy = \"failover\"\nmembers = [{ cname = \"deep.gtm.example\" }]\n";
    for access in ["drop = [\"127.0.0.0/8\"]", "allow = [\"192.0.2.0/24\"]"] {
        let folder = folder(free_address(LOCAL), zone);
        let server = folder.read("tradewind.toml");
        folder.write("tradewind.toml", &format!("{server}[access]\n{access}\n"));
        let server = Server::start(folder);
        let event = server.await_event("a lookup", 0, |event| event["event"] == "lookup");
        assert!(event["cause"].as_str().unwrap().contains("192.0.2.7"), "{event}");
    }
}

/// Asks for `www` while its other member is forced down, which moves nobody.
const DRILL: &str = r#"
[drill]
name = "flat"
mode = "live"
max_duration = "1m"
before = "1s"
min_regions = 0
[[steady]]
name = "www"
query = { name = "www.gtm.example", rate = "100/s" }
[[step]]
id = "force"
action = "health.force"
target = "pool:gtm.example/own"
params = { state = "down" }
for = "1s"
[expect]
wrong_answers = 0
lost_queries = 0
"#;

#[test]
fn a_drill_can_ask_for_a_flattened_name() {
    let at = free_address(LOCAL);
    let Some(_authority) = authority(at, "www A 192.0.2.1") else { return };
    let folder = folder(at, OUT);
    folder.write("drills/flat.toml", DRILL);
    let server = Server::start(folder);
    await_address(&server, "www.gtm.example", "192.0.2.1");
    let run = ["drill", "run", "flat", "--yes", "--json", "-C"];
    let done = Command::new(BINARY).args(run).arg(server.folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let report: Value = serde_json::from_slice(&done.stdout).expect(&said);
    assert_eq!(report["verdict"], "PASS", "{report:#}");
    let seconds = report["seconds"].as_array().unwrap();
    let regions = seconds.iter().filter_map(|row| row["regions"].as_object());
    assert!(regions.flatten().all(|(region, _)| region == "(no region)"), "{report:#}");
}
