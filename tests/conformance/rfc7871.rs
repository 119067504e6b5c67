//! RFC 7871: the client's network, for answers that do not depend on it.

use crate::desk::{Ask, Server, check, opt, show};
use tradewind::telemetry::Via;

fn server() -> Server {
    Server::zone("example", "www A 192.0.2.1\nsub NS ns.example.org.\nalias CNAME www")
}

#[test]
fn a_static_answer_holds_for_everybody() {
    check(
        &mut server(),
        "
        ? www.example A ecs=198.51.100.0/24
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.100.0/24/0
        ? www.example A ecs=198.51.96.0/20
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.96.0/20/0
        ? www.example A ecs=2001:db8:1:200::/56
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=2001:db8:1:200::/56/0
        ? www.example AAAA ecs=198.51.100.0/24
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232 ecs=198.51.100.0/24/0
        ? alias.example A ecs=198.51.100.0/24
          NOERROR aa
          an alias.example. 3600 CNAME www.example.
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.100.0/24/0
        ? nx.example A ecs=198.51.100.0/24
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232 ecs=198.51.100.0/24/0
        ? x.sub.example A ecs=198.51.100.0/24
          NOERROR
          au sub.example. 3600 NS ns.example.org.
          opt 1232 ecs=198.51.100.0/24/0
        ? example.org A ecs=198.51.100.0/24
          REFUSED
          opt 1232 ecs=198.51.100.0/24/0 ede=20
        ? www.example A ecs=0.0.0.0/0
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=0.0.0.0/0/0
        ? www.example A ecs=::/0
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=::/0/0
        ",
    );
}

#[test]
fn a_malformed_network_is_a_format_error_without_ecs() {
    let cases: [(&str, &[u8]); 10] = [
        ("nothing", &[]),
        ("no prefixes", &[0, 1]),
        ("IPv4 longer than 32", &[0, 1, 33, 0, 192, 0, 2, 1, 0]),
        ("IPv6 longer than 128", &[[0, 2, 129, 0].as_slice(), &[0x20; 17]].concat()),
        ("too few bytes", &[0, 1, 24, 0, 192, 0]),
        ("too many bytes", &[0, 1, 24, 0, 192, 0, 2, 0]),
        ("bits behind the prefix", &[0, 1, 20, 0, 192, 0, 0xff]),
        ("a scope", &[0, 1, 24, 24, 192, 0, 2]),
        ("an unknown family", &[0, 3, 8, 0, 192]),
        ("family 0 with an address", &[0, 0, 8, 0, 192]),
    ];
    for (what, data) in cases {
        let option = [&[0, 8, 0, data.len() as u8], data].concat();
        let mut packet = Ask::new("www.example A").packet();
        packet[11] = 1;
        packet.extend(opt(1232, 0, &option));
        let reply = server().answer(&packet, Ask::new("a A").from, Via::Udp).to_vec();
        assert_eq!(show(&reply), ["FORMERR", "opt 1232"], "{what}");
    }
}
