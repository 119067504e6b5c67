//! The test support itself: what stands in for the world must behave like it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use std::{net::IpAddr, time::Duration};
use support::{
    backend::{Backend, Mood, get},
    dns,
    peers::{Authority, Program, Resolver, dig},
};

const ZONE: &str = "$TTL 300
@    IN SOA ns.example.test. hostmaster.example.test. 42 3600 600 86400 60
@    IN NS  ns
ns   IN A   127.0.0.1
www  IN A   192.0.2.80
";

fn loopback(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn resolves_through(program: Program, host: &str) {
    let address = support::free_address(loopback(host));
    let Some(parent) = Authority::start(program, address, "example.test", ZONE) else {
        return;
    };
    let direct = dns::ask(parent.address, "www.example.test", RecordType::A, "");
    assert!(direct.metadata.authoritative, "{}", parent.log());
    let Some(resolver) = Resolver::start(loopback(host), "example.test", address, "") else {
        return;
    };
    let resolved = dns::resolve(resolver.address, "www.example.test", RecordType::A);
    assert_eq!(dns::addresses(&resolved), [loopback("192.0.2.80")], "{}", resolver.log());
    assert!(resolved.metadata.recursion_available);
    if let Some(text) = dig(resolver.address, &["+short", "www.example.test"]) {
        assert_eq!(text, "192.0.2.80\n");
    }
}

#[test]
fn unbound_resolves_a_name_in_a_zone_of_nsd() {
    resolves_through(Program::Nsd, "127.0.71.1");
}

#[test]
fn unbound_resolves_a_name_in_a_zone_of_knot() {
    resolves_through(Program::Knot, "127.0.71.2");
}

/// The road a steered name will take: parent, delegation with glue, child on port 53.
#[test]
fn unbound_follows_a_delegation_to_a_server_on_port_53() {
    let (parent_ip, child_ip) = (loopback("127.0.71.3"), loopback("127.0.71.53"));
    if !support::may_bind_53(child_ip) {
        return;
    }
    let parent_zone = format!("{ZONE}gtm IN NS ns1.gtm\nns1.gtm IN A {child_ip}\n");
    let child_zone = format!(
        "$TTL 5\n@ IN SOA ns1 h 7 1 1 1 5\n@ IN NS ns1\nns1 IN A {child_ip}\napp IN A 192.0.2.7\n"
    );
    let start = |address, zone, text: &str| Authority::start(Program::Nsd, address, zone, text);
    let parent_address = support::free_address(parent_ip);
    let (Some(parent), Some(_child)) = (
        start(parent_address, "example.test", &parent_zone),
        start((child_ip, 53).into(), "gtm.example.test", &child_zone),
    ) else {
        return;
    };
    let Some(resolver) = Resolver::start(parent_ip, "example.test", parent.address, "") else {
        return;
    };
    let resolved = dns::resolve(resolver.address, "app.gtm.example.test", RecordType::A);
    assert_eq!(dns::addresses(&resolved), [loopback("192.0.2.7")], "{}", resolver.log());
}

#[test]
fn a_backend_answers_fails_hangs_dies_and_comes_back() {
    let mut backend = Backend::start(72);
    let address = backend.address();
    assert_eq!(get(address, "/healthz").unwrap(), (200, "ok\n".to_owned()));
    backend.set(Mood::ill());
    assert_eq!(get(address, "/healthz").unwrap().0, 503);

    backend.set(Mood::Hang);
    let asked = std::thread::spawn(move || get(address, "/healthz"));
    backend.await_hits(3, Duration::from_secs(10));
    assert!(!asked.is_finished());
    backend.stop();
    assert!(asked.join().unwrap().is_err(), "its connection is cut");
    assert!(get(address, "/healthz").is_err(), "and new ones are refused");

    backend.set(Mood::well());
    backend.restart();
    assert_eq!(get(address, "/healthz").unwrap().0, 200);
    assert_eq!((backend.hits(), backend.connections()), (4, 4));
}
