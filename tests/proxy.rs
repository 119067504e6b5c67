//! Behind a load balancer: the source in a PROXY header decides what is answered, and only a
//! trusted proxy may send one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "desk/mod.rs"]
mod desk;
mod support;

use desk::{Ask, show};
use std::{
    net::{Ipv4Addr, UdpSocket},
    process::Command,
};
use support::{
    DEADLINE, await_some,
    scratch::Scratch,
    server::Server,
    stream::{Stream, frame},
    tool,
};

const SERVER: &str = r#"
[server]
listen = ["127.0.0.1:0"]
admin  = "127.0.0.1:0"
proxy  = { trusted = ["127.0.8.0/24"] }
"#;

const ZONE: &str = r#"
zone   = "example"
ns     = ["ns1.example"]
check  = "none"
static = "ns1 60 IN A 127.0.0.53"
[pools.near]
endpoints = [{ name = "n", ipv4 = "192.0.2.1" }]
[pools.far]
endpoints = [{ name = "f", ipv4 = "192.0.2.2" }]
[records.www]
policy = "geo"
rules = [
  { match = ["subnet:203.0.113.0/24", "subnet:2001:db8:1::/48"], use = ["near"] },
  { match = ["*"], use = ["far"] },
]
"#;

const NEAR: &str = "192.0.2.1";
const FAR: &str = "192.0.2.2";
/// An address of a trusted proxy, and one of somebody else.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 1);

fn serve() -> Server {
    Server::start(Scratch::with(&[("tradewind.toml", SERVER), ("zones/example.toml", ZONE)]))
}

/// A header of version 2 by command, family and transport, and what follows.
fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

/// Headers and the answer they lead to.
fn headers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let v4 = |last| [203, 0, last, 7, 127, 0, 0, 1, 0x30, 0x39, 0, 53];
    let mut v6 = [0; 36];
    v6[..6].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 1]);
    let with_tlvs = [&v4(113)[..], &[4, 0, 3, 0, 0, 0, 0xe0, 0, 1, 9]].concat();
    vec![
        ("a near client", header(0x21, 0x12, &v4(113)), NEAR),
        ("a far client", header(0x21, 0x12, &v4(114)), FAR),
        ("a near client over TCP", header(0x21, 0x11, &v4(113)), NEAR),
        ("a near client over IPv6", header(0x21, 0x22, &v6), NEAR),
        ("with TLVs", header(0x21, 0x11, &with_tlvs), NEAR),
        ("the proxy itself", header(0x20, 0x00, &[]), FAR),
        ("the proxy itself, with addresses", header(0x20, 0x12, &v4(113)), FAR),
    ]
}

/// What no trusted proxy may begin with.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no header", Vec::new()),
        ("another version", header(0x31, 0x12, &[0; 12])),
        ("another command", header(0x22, 0x12, &[0; 12])),
        ("half an address", header(0x21, 0x12, &[0; 11])),
        ("version 1", b"PROXY TCP4 203.0.113.7 127.0.0.1 12345 53\r\n".to_vec()),
    ]
}

fn query() -> Vec<u8> {
    Ask::new("www.example A").packet()
}

fn answers(reply: &[u8], with: &str) -> bool {
    show(reply).iter().any(|line| line.ends_with(with))
}

fn udp(source: Ipv4Addr, server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(server.udp()).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 1_232];
    let len = socket.recv(&mut reply).unwrap();
    reply.truncate(len);
    reply
}

#[test]
fn over_udp_the_source_in_the_header_decides() {
    let server = serve();
    let proxy = udp(PROXY, &server);
    for (what, header, answer) in headers() {
        proxy.send(&[header, query()].concat()).unwrap();
        assert!(answers(&receive(&proxy), answer), "{what}");
    }
}

#[test]
fn over_tcp_the_header_holds_for_the_connection() {
    let server = serve();
    for (what, header, answer) in headers() {
        let mut stream = Stream::connect_from(PROXY.into(), server.tcp());
        stream.send(&[header, frame(&query()), frame(&query())].concat());
        assert!(answers(&stream.next().unwrap(), answer), "{what}");
        assert!(answers(&stream.next().unwrap(), answer), "{what}");
        assert!(answers(&stream.ask(&query()).unwrap(), answer), "{what}");
    }
}

#[test]
fn a_trusted_proxy_that_sends_no_header_gets_no_answer() {
    let server = serve();
    let proxy = udp(PROXY, &server);
    for (what, bytes) in broken() {
        proxy.send(&[&bytes[..], &query()].concat()).unwrap();
        let mut stream = Stream::connect_from(PROXY.into(), server.tcp());
        stream.send(&[bytes, frame(&query())].concat());
        assert_eq!(stream.next(), None, "{what}");
    }
    // What is answered next is not one of them: the replies of a socket keep their order.
    let (_, header, answer) = headers().swap_remove(0);
    proxy.send(&[header, query()].concat()).unwrap();
    assert!(answers(&receive(&proxy), answer));
    let dropped = server.metric("tradewind_dns_dropped_total{reason=\"bad_proxy_header\"}");
    assert_eq!(dropped as usize, broken().len());
}

#[test]
fn from_anybody_else_a_header_is_nothing_but_a_malformed_query() {
    let server = serve();
    let other = udp(OTHER, &server);
    let (_, header, _) = headers().swap_remove(0);
    other.send(&[header.clone(), query()].concat()).unwrap();
    let reply = receive(&other);
    assert_eq!((&reply[..2], show(&reply)[0].split(' ').next()), (&header[..2], Some("NOTIMP")));
    other.send(&query()).unwrap();
    assert!(answers(&receive(&other), FAR));
    // Over TCP its first two bytes are a length, of a message that never comes.
    let mut stream = Stream::connect_from(OTHER.into(), server.tcp());
    stream.send(&[header, frame(&query())].concat());
    assert_eq!(stream.next(), None);
}

#[test]
fn lists_are_about_the_client_whatever_the_proxy_calls_it() {
    let told = "[access]\ndeny = ['203.0.113.0/24']\ndrop = ['203.0.114.0/24']";
    let files = [("tradewind.toml", &*format!("{SERVER}{told}")), ("zones/example.toml", ZONE)];
    let server = Server::start(Scratch::with(&files));
    let proxy = udp(PROXY, &server);
    let client = |net| Ipv4Addr::new(203, 0, net, 7);
    let v4 = |net| {
        header(0x21, 0x12, &[&client(net).octets()[..], &[127, 0, 0, 1, 1, 1, 0, 53]].concat())
    };
    let mapped = |net| {
        let mut body = [0; 36];
        body[..16].copy_from_slice(&client(net).to_ipv6_mapped().octets());
        header(0x21, 0x22, &body)
    };
    let denied = |reply: &[u8]| show(reply)[0].starts_with("REFUSED");
    for (what, [deny, drop, allow]) in
        [("IPv4", [113, 114, 115].map(v4)), ("mapped", [113, 114, 115].map(mapped))]
    {
        // What is dropped is not what is answered next: the replies of a socket keep their order.
        proxy.send(&[drop, query()].concat()).unwrap();
        proxy.send(&[&deny[..], &query()].concat()).unwrap();
        assert!(denied(&receive(&proxy)), "{what}");
        proxy.send(&[allow, query()].concat()).unwrap();
        assert!(answers(&receive(&proxy), FAR), "{what}");
        let mut stream = Stream::connect_from(PROXY.into(), server.tcp());
        stream.send(&[deny, frame(&query())].concat());
        assert!(denied(&stream.next().unwrap()), "{what}");
    }
    assert_eq!(server.metric("tradewind_dns_dropped_total{reason=\"access\"}"), 2.0);
}

#[test]
fn kdig_behind_a_proxy_gets_its_clients_answer() {
    let Some(kdig) = tool("kdig") else { return };
    let server = serve();
    for over in ["+notcp", "+tcp"] {
        for (client, answer) in [("203.0.113.9", NEAR), ("203.0.114.9", FAR)] {
            let output = Command::new(&kdig)
                .args(["-b", &PROXY.to_string(), "-p", &server.udp().port().to_string()])
                .arg(format!("+proxy={client}-127.0.0.1"))
                .args(["@127.0.0.1", over, "+short", "+retry=2", "www.example", "A"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(said.trim(), answer, "{client} {over}: {output:?}");
        }
    }
}

#[test]
fn a_header_has_the_time_of_a_message() {
    let server = serve();
    let mut stream = Stream::connect_from(PROXY.into(), server.tcp());
    for byte in &headers().swap_remove(0).1[..20] {
        stream.send(&[*byte]);
    }
    assert_eq!(stream.next(), None);
    // It is counted once the connection is gone, which its client sees first.
    await_some("the count", || {
        let closed = server.metric("tradewind_dns_tcp_closed_total{reason=\"slow_message\"}");
        (closed == 1.0).then_some(())
    });
}
