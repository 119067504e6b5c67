//! `delegation --verify` against real servers: NSD as parent and as the zone's own server.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};
use support::peers::{Authority, Program};
use tradewind::{
    cli::{
        Exit,
        delegation::{DelegationArgs, DelegationFacts, run},
        output::Out,
    },
    clock::SystemClock,
};

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    delegation: DelegationArgs,
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What `delegation gtm.example.test --verify` finds wrong, when our files list `servers`.
fn verify(parent: SocketAddr, port: u16, servers: &[(&str, &str)]) -> (Exit, Vec<String>) {
    let parent = format!("--parent={parent}");
    let port = format!("--port={port}");
    let argv = ["delegation", "gtm.example.test", "--verify", &parent, &port, "--timeout=5"];
    let args = <Cli as clap::Parser>::parse_from(argv).delegation;
    let listed = servers.iter().map(|(name, address)| (*name, vec![ip(address)]));
    let facts = DelegationFacts::new("gtm.example.test", listed).unwrap();
    let page = Page::default();
    let mut out = Out::into_writers(true, page.clone(), io::sink());
    let exit = run(&args, &facts, &SystemClock::default(), &mut out);
    let report: Value = serde_json::from_slice(&page.0.lock().unwrap()).unwrap();
    assert_eq!(report["verified"], true);
    let wrong = report["wrong"].as_array().unwrap().iter();
    let wrong = wrong
        .map(|f| format!("{}: {}", f["about"].as_str().unwrap(), f["problem"].as_str().unwrap()));
    (exit, wrong.collect())
}

#[test]
fn verify_is_silent_about_a_right_delegation_and_names_what_is_wrong_with_another() {
    let child_zone = "$TTL 5\n@ IN SOA ns1 h 7 1 1 1 5\n@ IN NS ns1\nns1 IN A 127.0.73.2\n";
    let parent_zone = "$TTL 300\n@ IN SOA ns h 42 1 1 1 60\n@ IN NS ns\nns IN A 127.0.73.1\n\
                       gtm IN NS ns1.gtm\nns1.gtm IN A 127.0.73.2\n";
    let parent = support::free_address(ip("127.0.73.1"));
    let child = support::free_address(ip("127.0.73.2"));
    let start = |address, zone, text: &str| Authority::start(Program::Nsd, address, zone, text);
    let (Some(_parent), Some(_child)) =
        (start(parent, "example.test", parent_zone), start(child, "gtm.example.test", child_zone))
    else {
        return;
    };
    let ns1 = ("ns1.gtm.example.test", "127.0.73.2");
    assert_eq!(verify(parent, child.port(), &[ns1]), (Exit::Well, vec![]));

    // Nobody listens at the second server's address, and the parent knows nothing of it.
    let ns2 = ("ns2.gtm.example.test", "127.0.73.3");
    let (exit, wrong) = verify(parent, child.port(), &[ns1, ns2]);
    assert_eq!(exit, Exit::Failed);
    let at = format!("ns2.gtm.example.test. (127.0.73.3:{})", child.port());
    let served = format!("ns1.gtm.example.test. ({child})");
    let expected = [
        format!("parent {parent}: lacks NS ns2.gtm.example.test."),
        format!("{served}: serves NS ns1.gtm.example.test., our files list others"),
        format!("{at}: does not answer: UDP: Connection refused (os error 111)"),
        format!("{at}: does not answer: TCP: Connection refused (os error 111)"),
    ];
    assert_eq!(wrong, expected);

    // The parent's glue is of another day, and its own server is taken for ours: lame.
    let (exit, wrong) = verify(parent, parent.port(), &[("ns1.gtm.example.test", "127.0.73.1")]);
    assert_eq!(exit, Exit::Failed);
    let expected = [
        format!(
            "parent {parent}: has glue 127.0.73.2 for ns1.gtm.example.test., our files say 127.0.73.1"
        ),
        format!("ns1.gtm.example.test. ({parent}): is lame: NOERROR, no AA for the zone's SOA"),
    ];
    assert_eq!(wrong, expected);

    // Somebody who is not the parent's server.
    let (_, wrong) = verify(child, child.port(), &[ns1]);
    let expected = format!("parent {child}: serves the zone itself and none above it");
    assert_eq!(wrong, [expected]);
}
