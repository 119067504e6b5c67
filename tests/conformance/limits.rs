//! DESIGN §5, RRL: what amplifies and what floods are made of is limited, nothing else is; and
//! who may ask at all.

use crate::desk::{Ask, Server, check, show};
use std::{ops::Range, time::Duration};
use tradewind::telemetry::{DropReason, Tally, Via};

const ZONE: &str =
    "www A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.54\n$GENERATE 1-25 many A 192.0.2.$";

fn server(told: &str) -> Server {
    Server::guarded(told, ZONE)
}

/// How often the first line of a reply was what, silence included, when `query` is asked again
/// and again.
fn outcomes(server: &mut Server, query: &str, count: usize) -> Vec<(String, usize)> {
    let mut outcomes: Vec<(String, usize)> = Vec::new();
    for _ in 0..count {
        let first = server.shown(query).first().cloned().unwrap_or("silence".into());
        match outcomes.iter_mut().find(|(seen, _)| *seen == first) {
            Some((_, n)) => *n += 1,
            None => outcomes.push((first, 1)),
        }
    }
    outcomes
}

fn first(server: &mut Server, query: &str, count: usize) -> usize {
    outcomes(server, query, count)[0].1
}

#[test]
fn each_kind_that_amplifies_has_a_limit_and_small_positive_replies_have_none() {
    let told = "[rrl]\nper_second = 20\nslip = 0";
    for (query, expected) in [
        ("nx.example A", vec![("NXDOMAIN aa", 20), ("silence", 980)]),
        ("www.example.org A", vec![("REFUSED", 20), ("silence", 980)]),
        ("www.sub.example A", vec![("NOERROR", 20), ("silence", 980)]),
        ("many.example A", vec![("NOERROR aa", 20), ("silence", 980)]),
        ("www.example A", vec![("NOERROR aa", 1_000)]),
        ("www.example A edns=1232", vec![("NOERROR aa", 1_000)]),
        ("www.example TXT", vec![("NOERROR aa", 1_000)]),
        ("nx.example A tcp", vec![("NXDOMAIN aa", 1_000)]),
        ("many.example A tcp", vec![("NOERROR aa", 1_000)]),
    ] {
        let got = outcomes(&mut server(told), query, 1_000);
        let got: Vec<_> = got.iter().map(|(first, n)| (first.as_str(), *n)).collect();
        assert_eq!(got, expected, "{query}");
    }
}

#[test]
fn by_default_two_hundred_a_second_pass_and_half_of_the_rest_slips() {
    let mut server = server("");
    let got = outcomes(&mut server, "nx.example A edns=1232", 2_200);
    assert_eq!(got[0], ("NXDOMAIN aa".into(), 200));
    let slipped = got.iter().find(|(first, _)| first == "NOERROR tc").unwrap().1;
    assert!((800..1_200).contains(&slipped), "{slipped} of 2,000");
    let slipped = slipped as u64;
    assert_eq!(server.count(Tally::Slipped), slipped);
    assert_eq!(server.count(Tally::Dropped(DropReason::RateLimited)), 2_000 - slipped);
    assert_eq!(server.count(Tally::Truncated), slipped);
    server.at(Duration::from_millis(500), 0);
    assert_eq!(first(&mut server, "nx.example A", 1_000), 100, "half a second later");
}

#[test]
fn a_slip_is_an_empty_reply_with_question_opt_and_cookie() {
    let mut server = server("[rrl]\nper_second = 1\nslip = 1");
    server.shown("nx.example A");
    let shown = server.shown("nx.example A cookie=0102030405060708 ecs=192.0.2.0/24");
    let [head, opt] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!(head, "NOERROR tc");
    // Who did ask may come back with the cookie, over UDP.
    assert!(opt.starts_with("opt 1232 ecs=192.0.2.0/24/0 cookie=0102030405060708"), "{opt}");
    let cookie = opt.split_once("cookie=").unwrap().1;
    let ask = format!("nx.example A cookie={cookie}");
    assert_eq!(outcomes(&mut server, &ask, 100), [("NXDOMAIN aa".into(), 100)]);
    let others = format!("nx.example A cookie={cookie} from=192.0.2.201");
    assert_eq!(outcomes(&mut server, &others, 100), [("NOERROR tc".into(), 100)]);
}

#[test]
fn networks_are_limited_each_by_itself_and_some_not_at_all() {
    let told = "[rrl]\nper_second = 10\nslip = 0\nexempt = ['10.0.0.0/8']";
    let mut server = server(told);
    for (from, expected) in [
        ("192.0.2.1", 10),
        ("192.0.3.1", 10),
        ("2001:db8:0:1::1", 10),
        ("2001:db8:0:100::1", 10),
        ("10.1.2.3", 100),
        // Only by default.
        ("127.0.0.1", 10),
    ] {
        let query = format!("nx.example A from={from}");
        assert_eq!(first(&mut server, &query, 100), expected, "{from}");
    }
    let again = outcomes(&mut server, "nx.example A from=192.0.2.99", 100);
    assert_eq!(again, [("silence".into(), 100)], "a neighbour of the first");
    assert_eq!(first(&mut self::server(""), "nx.example A from=127.0.0.1", 1_000), 1_000);
    let off = "[rrl]\nper_second = 0";
    assert_eq!(first(&mut self::server(off), "nx.example A", 1_000), 1_000);
}

#[test]
fn a_flood_costs_its_zone_and_its_name_only() {
    let zones = [
        (
            "zones/example.zone",
            "*.any A 192.0.2.1\n$GENERATE 1-9 *.any A 192.0.2.$\n\
            $GENERATE 1-9 a A 192.0.2.$\n$GENERATE 1-9 b A 192.0.2.$\n",
        ),
        ("zones/other.zone", ""),
    ];
    let head =
        "@ 3600 SOA ns1 host 1 2h 15m 2w 5m\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n$TTL 3600\n";
    let zones = zones.map(|(path, text)| (path.to_owned(), format!("{head}{text}")));
    let mut server = Server::told("[rrl]\nper_second = 10\nslip = 0", &zones);
    for (query, expected) in [
        ("nx.example A", 10),
        ("nx2.example A", 0),
        ("nx.other A", 10),
        ("example.org A", 10),
        ("example.net A", 0),
        ("a.example A", 10),
        ("b.example A", 10),
        ("a.example A", 0),
        // Anybody can make up more of these.
        ("x.any.example A", 10),
        ("y.any.example A", 0),
    ] {
        let outcomes = outcomes(&mut server, query, 30);
        let told = outcomes.iter().filter(|(seen, _)| seen != "silence");
        assert_eq!(told.map(|(_, n)| n).sum::<usize>(), expected, "{query}");
    }
}

#[test]
fn a_good_cookie_gets_its_error_whatever_others_sent() {
    let mut server = server("[server]\ncookies = { secret_file = 'secrets/first' }");
    server.at(Duration::ZERO, 1_559_731_985);
    let with_cookie = |cookie: &str| {
        let words = format!("www.example A from=198.51.100.100 cookie={cookie}");
        let mut packet = Ask::new(&words).packet();
        // An opcode nobody uses.
        packet[2] = 5 << 3;
        packet
    };
    let half = with_cookie("2464c4abcf10c957");
    let good = with_cookie("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    let mut told = |packet: &[u8]| {
        let from = "198.51.100.100".parse().unwrap();
        (0..50).filter(|_| !server.answer(packet, from, Via::Udp).is_empty()).count()
    };
    assert_eq!([told(&half), told(&good), told(&half)], [10, 50, 0]);
}

/// Replies to malformed packets.
fn errors(server: &mut Server, from: &str, via: Via, bytes: Range<u8>) -> usize {
    let mut packet = Ask::new("www.example A").packet();
    packet.truncate(20);
    let from = from.parse().unwrap();
    bytes.filter(|_| !show(server.answer(&packet, from, via)).is_empty()).count()
}

#[test]
fn malformed_packets_get_a_hundred_errors_a_second_from_all_together() {
    let mut server = server("");
    // A tenth of them each.
    for net in 0..10 {
        assert_eq!(errors(&mut server, &format!("198.51.{net}.1"), Via::Udp, 0..14), 10, "{net}");
    }
    assert_eq!(errors(&mut server, "203.0.113.1", Via::Udp, 0..70), 0);
    assert_eq!(server.count(Tally::Dropped(DropReason::ErrorLimited)), 110);
    assert_eq!(errors(&mut server, "203.0.113.1", Via::Tcp, 0..70), 70);
    assert_eq!(errors(&mut server, "127.0.0.1", Via::Udp, 0..70), 70);
    server.at(Duration::from_secs(1), 0);
    assert_eq!(errors(&mut server, "203.0.113.2", Via::Udp, 0..200), 10);
    let mut off = self::server("[rrl]\nerrors_per_second = 0");
    assert_eq!(errors(&mut off, "192.0.2.1", Via::Udp, 0..200), 200);
}

#[test]
fn a_slip_says_no_more_than_come_back() {
    let mut server = server("[server]\nnsid = 'here'\n[rrl]\nper_second = 1\nslip = 1");
    let [told, slipped] = [0; 2].map(|_| server.shown("nx.example A nsid"));
    assert_eq!(told[0], "NXDOMAIN aa");
    assert!(told.last().unwrap().contains("nsid"), "{told:?}");
    assert_eq!(slipped, ["NOERROR tc", "opt 1232"]);
}

#[test]
fn who_is_denied_is_refused_whatever_he_sends() {
    let mut server = server("[access]\ndeny = ['10.0.0.0/8']");
    let mut packet = Ask::new("www.example A").packet();
    packet.truncate(20);
    for via in [Via::Udp, Via::Tcp] {
        let mut told = |from: &str| show(server.answer(&packet, from.parse().unwrap(), via));
        assert_eq!(told("10.0.0.1"), ["REFUSED"]);
        assert_eq!(told("192.0.2.1"), ["FORMERR"]);
    }
}

#[test]
fn who_may_ask_is_said_by_the_longest_network() {
    let told = "[access]\nallow = ['10.0.0.0/8', '2001:db8::/32']\n\
                deny = ['10.1.0.0/16']\ndrop = ['10.1.2.0/24']";
    let mut server = server(told);
    check(
        &mut server,
        "
        ? www.example A from=10.2.0.1
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? www.example A from=2001:db8::1
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? www.example A from=10.1.0.1 edns=1232
          REFUSED
          opt 1232 ede=18
        ? www.example A from=192.0.2.1 edns=1232
          REFUSED
          opt 1232 ede=18
        ? version.bind TXT class=CH from=192.0.2.1
          REFUSED
        ? www.example A from=10.1.2.3
        ? www.example A from=10.1.2.3 tcp
        ",
    );
    assert_eq!(server.count(Tally::Dropped(DropReason::Access)), 2);
    let mut open = self::server("[access]\ndeny = ['10.0.0.0/8']");
    assert_eq!(open.shown("www.example A from=10.0.0.1"), ["REFUSED"]);
    assert_eq!(open.shown("www.example A from=11.0.0.1")[0], "NOERROR aa");
}
