//! Where a server listens that was told nothing: port 53 of every address, and it answers from the
//! one that was asked. Replies that the system refuses are not lost in silence.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
};
use support::{
    DEADLINE,
    alone::is_alone,
    await_some, dns, plain,
    scratch::Scratch,
    server::{BINARY, Server},
    stream::Stream,
    tool,
};

const SERVER: &str = "[server]\nudp_threads = 1\n";
const ZONE: &str = "@ 60 IN SOA ns host 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.53\n";

fn folder(server: &str) -> Scratch {
    Scratch::with(&[("tradewind.toml", server), ("zones/example.test.zone", ZONE)])
}

/// Asks `ip` for what `folder` has, over UDP and TCP.
fn assert_answers(ip: &str) {
    let at = SocketAddr::new(ip.parse().unwrap(), 53);
    let expected: IpAddr = "192.0.2.53".parse().unwrap();
    assert_eq!(dns::addresses(&dns::ask(at, "ns.example.test", RecordType::A, "")), [expected]);
    let question = dns::message("ns.example.test", RecordType::A);
    assert!(Stream::connect(at).ask(&question).is_some(), "{ip} over TCP");
}

#[test]
fn addresses_that_are_ours_by_route_alone_are_answered_from() {
    let routes = ["-4 route add local 198.51.100.0/24", "-6 route add local 2001:db8:77::/64"];
    let prepare = routes.map(|route| format!("ip {route} dev lo"));
    if !is_alone("addresses_that_are_ours_by_route_alone_are_answered_from", &prepare) {
        return;
    }
    let _server = Server::start(folder(SERVER));
    for ip in ["127.0.0.1", "198.51.100.53", "::1", "2001:db8:77::53"] {
        assert_answers(ip);
    }
}

#[test]
fn replies_that_the_kernel_refuses_are_counted_and_told_with_the_reason() {
    if tool("strace").is_none() {
        return;
    }
    let folder =
        folder("[server]\nudp_threads = 1\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n");
    let refuse = "inject=sendmmsg:error=ENETUNREACH";
    let server = Server::under(
        &["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sendmmsg", "-e", refuse],
        folder,
    );
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&dns::message("ns.example.test", RecordType::A), server.udp()).unwrap();
    await_some("the warning", || {
        let log = server.log();
        let told = |line: &&str| line.contains("WARN the kernel refused to send replies");
        let line = log.lines().find(told)?;
        assert!(line.contains("replies=1") && line.contains("Network is unreachable"), "{line}");
        Some(())
    });
    assert_eq!(server.metric("tradewind_udp_send_drops_total"), 1.0);
}

/// The command which runs another whose socket number `turn` is one of a family that is not there.
fn without_family(turn: usize) -> Vec<String> {
    let refuse = format!("inject=socket:error=EAFNOSUPPORT:when={turn}");
    let words = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=socket", "-e", &refuse];
    words.map(str::to_owned).into()
}

#[test]
fn without_ipv6_the_default_is_ipv4_alone_and_what_is_written_an_error() {
    let name = "without_ipv6_the_default_is_ipv4_alone_and_what_is_written_an_error";
    if tool("strace").is_none() || !is_alone(name, &[]) {
        return;
    }
    // It looks at IPv4 first, then at IPv6.
    let under = without_family(2);
    let under: Vec<&str> = under.iter().map(String::as_str).collect();
    let server = Server::under(&under, folder(SERVER));
    assert_answers("127.0.0.1");
    // The log's line follows the ready file.
    let here = "INFO serving addresses=[0.0.0.0:53] ";
    await_some("IPv4 alone", || server.log().contains(here).then_some(()));
    let log = server.log();
    assert!(
        log.contains("WARN the default of `listen` is cut to what there is address=::"),
        "{log}"
    );
    server.stop();

    let written = folder("[server]\nudp_threads = 1\nlisten = [\"[::]:53\"]\n");
    let under = without_family(1);
    let mut command = Command::new("timeout");
    command.arg(DEADLINE.as_secs().to_string()).args(under).args([BINARY, "serve", "-C"]);
    let said = plain::exits(&command.arg(written.path()).output().unwrap(), 1);
    assert_eq!(said.matches("(os error 97)").count(), 1, "{said}");
    assert!(said.contains("cannot listen on [::]:53 (udp)"), "{said}");
}
