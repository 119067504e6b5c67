//! The road of a real client: unbound, told only of a parent zone at NSD or Knot, follows the
//! delegation to our server on port 53 and resolves steered names there.

mod support;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use std::{net::IpAddr, time::Duration};
use support::{
    await_some_for,
    backend::Backend,
    dns,
    peers::{Authority, Program, Resolver},
    scratch::Scratch,
    server::Server,
};

/// The check of [`files`], as the numbers below.
const CHECK: &str = "[web]
type = \"http\"
interval = \"1s\"
timeout = \"500ms\"
fall = 2
rise = 2
";
/// interval × fall + timeout (DESIGN §5, Health), and what the machine may take on top.
const DETECTION: Duration = Duration::from_millis(2 * 1000 + 500 + 250);
/// The record's TTL, and the second by which unbound, counting in whole ones, may exceed it.
const CACHED: Duration = Duration::from_secs(1 + 1);
const WEST: &str = "192.0.2.1";
const EAST: &str = "198.51.100.1";

/// A parent zone that delegates `gtm` to us, we, and a resolver.
struct Road {
    server: Server,
    parent: Authority,
    resolver: Resolver,
}

impl Road {
    /// Builds it on `127.0.net.*`, to a server of the folder `files`; `None` where a program is
    /// missing or port 53 is not to be had.
    fn build(net: u8, program: Program, zone: &str, unbound: &str) -> Option<Self> {
        let [resolver, parent, ours] = [1, 2, 53].map(|host| IpAddr::from([127, 0, net, host]));
        if !support::may_bind_53(ours) {
            return None;
        }
        let parent_zone = format!(
            "$TTL 300\n@ IN SOA ns h 1 3600 600 86400 60\n@ IN NS ns\nns IN A {parent}\n\
             gtm IN NS ns1.gtm\nns1.gtm IN A {ours}\n"
        );
        let parent = support::free_address(parent);
        let parent = Authority::start(program, parent, "example.test", &parent_zone)?;
        let server = format!("[server]\nlisten = [\"{ours}:53\"]\nstate = \"state\"\n");
        let zone = format!(
            "zone = \"gtm.example.test\"\nns = [\"ns1.gtm.example.test\"]\nttl = \"1s\"\n\
             soa = {{ rname = \"hostmaster.example.test\", negative_ttl = \"1s\" }}\n\
             static = \"ns1 3600 IN A {ours}\"\n{zone}"
        );
        let server = Server::start(Scratch::with(&[
            ("tradewind.toml", &server),
            ("healthchecks/web.toml", CHECK),
            ("zones/gtm.example.test.toml", &zone),
        ]));
        let resolver = Resolver::start(resolver, "example.test", parent.address, unbound)?;
        Some(Road { server, parent, resolver })
    }

    /// What a client gets for a name below `gtm`: always a good reply, never an empty one.
    fn resolve(&self, name: &str, client: &str) -> Message {
        let owner = format!("{name}.gtm.example.test");
        let mut question = dns::question(&owner, RecordType::A, client);
        question.recurse = true;
        let reply = dns::try_ask(self.resolver.address, &question);
        let message = reply.unwrap_or_else(|e| panic!("{owner}: {e}\n{}", self.logs())).message;
        let rcode = message.metadata.response_code;
        assert_eq!(rcode, ResponseCode::NoError, "{owner}\n{}", self.logs());
        assert!(!dns::addresses(&message).is_empty(), "{owner}: {message}\n{}", self.logs());
        message
    }

    /// The one address of a name.
    fn address(&self, name: &str, client: &str) -> String {
        let addresses = dns::addresses(&self.resolve(name, client));
        let [address] = addresses[..] else { panic!("{name}: {addresses:?}") };
        address.to_string()
    }

    /// Resolves the names until all have `address`; every reply on the way is looked at.
    fn await_address(&self, deadline: Duration, names: &[&str], address: &str) {
        let what = format!("{address} for all of {names:?}");
        await_some_for(deadline, &what, || {
            let now: Vec<String> = names.iter().map(|name| self.address(name, "")).collect();
            now.iter().all(|now| now == address).then_some(())
        });
    }

    fn logs(&self) -> String {
        let logs = [self.resolver.log(), self.server.log(), self.parent.log()];
        logs.join("\n---\n")
    }
}

/// A region is lost and comes back, under the eyes of a resolver that never stops asking.
fn a_region_fails_over_behind(program: Program, net: u8) {
    let mut west = Backend::start(net);
    let east = Backend::start(net);
    let zone = format!(
        r#"check = "web"
[pools.west]
endpoints = [{{ name = "west-1", ipv4 = "{WEST}", probe = "{}" }}]
[pools.east]
endpoints = [{{ name = "east-1", ipv4 = "{EAST}", probe = "{}" }}]
[records.app]
policy   = "failover"
members  = ["west", "east"]
failback = "auto"
[records."*.all"]
policy  = "weighted"
members = [{{ pool = "west", weight = 999999 }}, {{ pool = "east", weight = 1 }}]
"#,
        west.address(),
        east.address(),
    );
    let Some(road) = Road::build(net, program, &zone, "") else { return };
    // The rare draw of the other pool is gone with the next second.
    let names = ["app", "www.all"];
    road.await_address(CACHED * 2, &names, WEST);

    west.stop();
    road.await_address(DETECTION + CACHED, &names, EAST);

    // `rise` and `fall` are the same here.
    west.restart();
    road.await_address(DETECTION + CACHED, &names, WEST);
}

#[test]
fn unbound_sees_a_region_fail_over_behind_a_delegation_of_nsd() {
    a_region_fails_over_behind(Program::Nsd, 77);
}

#[test]
fn unbound_sees_a_region_fail_over_behind_a_delegation_of_knot() {
    a_region_fails_over_behind(Program::Knot, 78);
}

#[test]
fn clients_of_two_continents_get_their_own_answers_through_one_cache() {
    let zone = format!(
        r#"[pools.west]
endpoints = [{{ name = "west-1", ipv4 = "{WEST}" }}]
[pools.east]
endpoints = [{{ name = "east-1", ipv4 = "{EAST}" }}]
[records.geo]
policy = "geo"
ttl    = "1h"
rules  = [{{ match = ["continent:EU"], use = ["east"] }}, {{ match = ["*"], use = ["west"] }}]
"#
    );
    let unbound = "  module-config: \"subnetcache iterator\"\n  send-client-subnet: 127.0.79.53";
    let Some(road) = Road::build(79, Program::Nsd, &zone, unbound) else { return };
    let (london, new_york) = ("81.2.69.0/24", "8.8.8.0/24");
    for _ in 0..2 {
        assert_eq!(road.address("geo", london), EAST);
        assert_eq!(road.address("geo", new_york), WEST);
    }
    let scope = dns::scope(&road.resolve("geo", london)).unwrap();
    assert!((1..24).contains(&scope), "one entry for more than London, not for all: {scope}");

    // With nobody to ask, what is in the cache is all there is: for them and their neighbours.
    road.server.signal("STOP");
    assert_eq!(road.address("geo", london), EAST);
    assert_eq!(road.address("geo", "81.2.70.0/24"), EAST);
    assert_eq!(road.address("geo", new_york), WEST);
    assert_eq!(road.address("geo", "8.8.4.0/24"), WEST);
}

/// What unbound checks only if told to: the case of names (0x20), glue and the path of referrals,
/// names shown one label at a time and nothing else, NXDOMAIN for all that is below.
const STRICT: &str = "  use-caps-for-id: yes
  qname-minimisation-strict: yes
  harden-referral-path: yes
  harden-below-nxdomain: yes
  harden-large-queries: yes
  verbosity: 2";

#[test]
fn unbound_at_its_strictest_has_nothing_to_complain_about() {
    let zone = format!(
        r#"[pools.west]
endpoints = [{{ name = "west-1", ipv4 = "{WEST}" }}]
[pools.alias]
endpoints = [{{ name = "alias-1", cname = "app.gtm.example.test" }}]
[records.app]
policy  = "weighted"
members = ["west"]
[records."deep.er.name"]
policy  = "weighted"
members = ["west"]
[records.alias]
policy  = "weighted"
members = ["alias"]
[records."*.all"]
policy  = "weighted"
members = ["alias"]
"#
    );
    let Some(road) = Road::build(81, Program::Nsd, &zone, STRICT) else { return };
    for name in ["app", "deep.er.name", "alias", "x.all", "x.y.all", "ns1"] {
        road.resolve(name, "");
    }
    for (name, rtype, rcode, answers) in [
        ("app.", RecordType::AAAA, ResponseCode::NoError, 0),
        ("er.name.", RecordType::A, ResponseCode::NoError, 0),
        ("none.", RecordType::A, ResponseCode::NXDomain, 0),
        ("x.none.", RecordType::A, ResponseCode::NXDomain, 0),
        ("alias.", RecordType::TXT, ResponseCode::NoError, 1),
        ("", RecordType::SOA, ResponseCode::NoError, 1),
        ("", RecordType::NS, ResponseCode::NoError, 1),
    ] {
        let owner = format!("{name}gtm.example.test");
        let reply = dns::resolve(road.resolver.address, &owner, rtype);
        let found = (reply.metadata.response_code, reply.answers.len());
        assert_eq!(found, (rcode, answers), "{owner} {rtype}\n{}", road.logs());
    }
    let log = road.resolver.log().to_lowercase();
    assert!(log.contains("response for"), "it says what it does: {log}");
    for complaint in ["error", "servfail", "lame", "sanitize", "malformed", "mismatch", "caps"] {
        assert!(!log.contains(complaint), "{complaint}: {log}");
    }
}
