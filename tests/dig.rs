//! What an operator sees who points dig, kdig or drill at the server: every switch that asks for
//! something special gets a reply that they have nothing to complain about.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fmt::Write, process::Command};
use support::{peers::dig, scratch::Scratch, server::Server};

const ZONE: &str = r#"
zone   = "gtm.example.test"
ns     = ["ns1.gtm.example.test"]
soa    = { rname = "hostmaster.example.test", negative_ttl = "5s" }
ttl    = "30s"
static = """
ns1 3600 IN A 192.0.2.53
MiXed 300 IN TXT "text"
alias 300 IN CNAME mixed
old 300 IN DNAME mixed
*.wild 300 IN CNAME geo
cut 300 IN NS ns.cut
cut 300 IN NS ns.elsewhere.test.
cut 300 IN DS 1 13 2 abababababababababababababababababababababababababababababababab
ns.cut 300 IN A 192.0.2.54
mail 300 IN MX 10 ns1
_sip._udp 300 IN SRV 1 2 5060 ns1
web 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.80
odd\\000label 300 IN TYPE65280 \\# 3 00ff00
"""
include = ["wide.inc"]

[pools.west]
endpoints = [{ name = "west-1", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }]
[pools.east]
endpoints = [{ name = "east-1", ipv4 = "198.51.100.1" }]
[records.geo]
policy = "geo"
rules  = [
  { match = ["subnet:203.0.113.0/25"], use = ["east"] },
  { match = ["*"], use = ["west"] },
]
"#;
/// A name with so many addresses that they need TCP where 512 bytes are taken.
const WIDE: u8 = 60;

/// The server, and a dig that asks it.
struct Dig(Server);

impl Dig {
    /// `None` where dig is missing.
    fn start() -> Option<Self> {
        support::tool("dig")?;
        let mut wide = String::new();
        for host in 1..=WIDE {
            writeln!(wide, "wide 300 IN A 192.0.2.{host}").unwrap();
        }
        let config = "[server]\nlisten = [\"127.0.80.1:0\"]\nstate = \"state\"\n";
        Some(Dig(Server::start(Scratch::with(&[
            ("tradewind.toml", config),
            ("zones/gtm.example.test.toml", ZONE),
            ("zones/wide.inc", &wide),
        ]))))
    }

    /// What dig prints for `line`, `@` standing for the zone's name.
    fn ask(&self, line: &str) -> String {
        let line = line.replace('@', "gtm.example.test");
        let args: Vec<&str> = ["+norecurse"].into_iter().chain(line.split(' ')).collect();
        let text = dig(self.0.udp(), &args).unwrap();
        let complaints = ["WARNING", "mismatch", "unexpected", "malformed", "timed out", "invalid"];
        for complaint in complaints {
            assert!(!text.contains(complaint), "dig {line}:\n{text}");
        }
        text
    }

    /// Asserts that dig prints each of `expected`, runs of blanks counting as one.
    fn expect(&self, line: &str, expected: &[&str]) {
        let text = self.ask(line);
        let plain = text.replace('\t', " ");
        let plain = plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        for part in expected {
            assert!(plain.contains(part), "dig {line}: no {part:?} in\n{text}");
        }
    }
}

/// How many records dig's short form prints.
fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn a_client_subnet_decides_the_answer_and_comes_back_with_its_scope() {
    let Some(dig) = Dig::start() else { return };
    let east = "geo.gtm.example.test. 30 IN A 198.51.100.1";
    let west = "geo.gtm.example.test. 30 IN A 192.0.2.1";
    dig.expect("+subnet=203.0.113.0/25 geo.@", &[east, "CLIENT-SUBNET: 203.0.113.0/25/25"]);
    dig.expect("+subnet=203.0.113.128/25 geo.@", &[west, "CLIENT-SUBNET: 203.0.113.128/25/25"]);
    dig.expect("+subnet=198.51.100.7 geo.@", &[west, "CLIENT-SUBNET: 198.51.100.7/32/"]);
    dig.expect("+subnet=2001:db8::/56 geo.@ AAAA", &["IN AAAA 2001:db8::1", "2001:db8::/56/"]);
    // Opted out, and asked for what the client makes no difference to (RFC 7871 §7.1.2, §7.2.1).
    dig.expect("+subnet=0 geo.@", &[west, "CLIENT-SUBNET: 0.0.0.0/0/0"]);
    dig.expect("+subnet=203.0.113.0/24 @ SOA", &["IN SOA", "CLIENT-SUBNET: 203.0.113.0/24/0"]);
    dig.expect("+subnet=203.0.113.0/24 nx.@", &["NXDOMAIN", "CLIENT-SUBNET: 203.0.113.0/24/0"]);
    assert!(!dig.ask("geo.@").contains("CLIENT-SUBNET"), "nobody asked for it");
}

#[test]
fn what_does_not_fit_is_truncated_and_whole_over_tcp() {
    let Some(dig) = Dig::start() else { return };
    let wide = usize::from(WIDE);
    for small in ["+bufsize=512 +ignore wide.@", "+noedns +ignore wide.@"] {
        dig.expect(small, &["flags: qr aa tc;", "ANSWER: 0,"]);
    }
    let big = dig.ask("+bufsize=4096 +ignore wide.@");
    assert!(big.contains("(UDP)") && big.contains(&format!("ANSWER: {wide},")), "{big}");
    let retried = dig.ask("+bufsize=512 wide.@ +comments");
    assert!(
        retried.contains("(TCP)") && retried.contains(&format!("ANSWER: {wide},")),
        "{retried}"
    );
    assert_eq!(lines(&dig.ask("+tcp +short wide.@")), wide);
}

#[test]
fn edns_is_spoken_in_version_0_and_unknown_options_are_passed_over() {
    let Some(dig) = Dig::start() else { return };
    dig.expect("+dnssec @ SOA", &["EDNS: version: 0, flags: do; udp: 1232", "flags: qr aa;"]);
    dig.expect("+edns=1 +noednsneg @ SOA", &["status: BADVERS", "version: 0", "ANSWER: 0,"]);
    assert!(
        dig.ask("+edns=1 @ SOA").contains("status: NOERROR"),
        "dig falls back to what we offer"
    );
    assert!(!dig.ask("+noedns @ SOA").contains("OPT PSEUDOSECTION"));
    for option in ["+ednsopt=65001:c0ffee", "+ednsflags=0x4000", "+expire"] {
        let text = dig.ask(&format!("{option} @ SOA"));
        assert!(text.contains("status: NOERROR") && text.contains("ANSWER: 1,"), "{text}");
        // What we do not know is not echoed (RFC 6891 §6.1.2).
        for echo in ["65001", "EXPIRE", "MBZ"] {
            assert!(!text.contains(&format!("; {echo}")), "{text}");
        }
    }
    dig.expect("+cookie @ SOA", &["status: NOERROR", "(good)"]);
    assert!(!dig.ask("+nsid @ SOA").contains("; NSID"), "it has no name to tell");
}

#[test]
fn questions_nobody_should_ask_get_short_and_honest_answers() {
    let Some(dig) = Dig::start() else { return };
    // One RRset (RFC 8482 §4.1). dig asks over TCP by itself.
    dig.expect("geo.@ ANY", &["ANSWER: 1,", "IN A"]);
    dig.expect("alias.@ ANY", &["ANSWER: 1,", "IN CNAME mixed.gtm.example.test."]);
    dig.expect("version.bind CH TXT", &["status: REFUSED", "EDE: 20 (Not Authoritative)"]);
    dig.expect("example.org A", &["status: REFUSED", "EDE: 20"]);
    dig.expect("@ AXFR +noquestion", &["; Transfer failed."]);
    dig.expect("+opcode=notify @ SOA", &["status: NOTIMP", "opcode: NOTIFY"]);
    dig.expect("+nocookie +header-only @", &["status: FORMERR", "QUERY: 0,"]);
    // With a cookie it is a question for one (RFC 7873 §5.4).
    dig.expect("+cookie +header-only @", &["status: NOERROR", "QUERY: 0,", "(good)"]);
    dig.expect("@ TYPE65280", &["status: NOERROR", "ANSWER: 0, AUTHORITY: 1,", "5 IN SOA"]);
}

/// Resolvers put random capitals into questions and want them back (draft-vixie-dnsext-dns0x20).
#[test]
fn the_case_of_a_question_comes_back_with_the_answer() {
    let Some(dig) = Dig::start() else { return };
    dig.expect(
        "mIXeD.gTm.exAMPle.TEST TXT",
        &[";mIXeD.gTm.exAMPle.TEST. IN TXT", "\nmIXeD.gTm.exAMPle.TEST. 300 IN TXT \"text\""],
    );
    dig.expect("GEO.gtm.EXAMPLE.test", &["\nGEO.gtm.EXAMPLE.test. 30 IN A 192.0.2.1"]);
}

#[test]
fn one_connection_takes_many_queries() {
    let Some(dig) = Dig::start() else { return };
    // With +keepopen dig sends all it was given over the connection it has.
    let text = dig.ask("+tcp +keepopen +short geo.@ A alias.@ TXT nx.@ A wide.@ A ns1.@ A");
    let expected = ["192.0.2.1", "mixed.gtm.example.test.", "\"text\""];
    assert_eq!(text.lines().take(3).collect::<Vec<_>>(), expected);
    assert_eq!(text.lines().last(), Some("192.0.2.53"));
    assert_eq!(lines(&text), expected.len() + usize::from(WIDE) + 1);
}

/// Questions with every kind of answer.
const TOUR: [(&str, &str); 22] = [
    ("@", "SOA"),
    ("@", "NS"),
    ("@", "A"),
    ("geo.@", "A"),
    ("geo.@", "AAAA"),
    ("geo.@", "TXT"),
    ("GEO.@", "ANY"),
    ("alias.@", "TXT"),
    ("alias.@", "A"),
    ("x.old.@", "A"),
    ("old.@", "DNAME"),
    ("x.wild.@", "A"),
    ("x.cut.@", "A"),
    ("cut.@", "DS"),
    ("mail.@", "MX"),
    ("_sip._udp.@", "SRV"),
    ("web.@", "HTTPS"),
    ("odd\\000label.@", "TYPE65280"),
    ("wide.@", "A"),
    ("nx.@", "A"),
    ("example.org", "A"),
    ("@", "RRSIG"),
];

/// Asks all of the tour with `program`, a line of switches at a time; every reply must be one
/// that it prints without a complaint.
fn tour(program: &str, switches: &[&str]) {
    let Some(path) = support::tool(program) else { return };
    let Some(Dig(server)) = Dig::start() else { return };
    let (at, port) = (format!("@{}", server.udp().ip()), server.udp().port().to_string());
    for switches in switches {
        for (name, rtype) in TOUR {
            let name = name.replace('@', "gtm.example.test.");
            let mut command = Command::new(&path);
            command.args(["-p", &port]).args(switches.split_whitespace());
            let output = command.args([&name, &at, rtype]).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).unwrap().to_lowercase();
            assert!(output.status.success(), "{command:?}:\n{text}");
            assert!(text.contains(" qr"), "no reply: {command:?}:\n{text}");
            // That a reply is truncated both say as a warning.
            let rest = text.lines().filter(|line| !line.contains("truncated"));
            let rest = rest.collect::<Vec<_>>().join("\n");
            for complaint in ["warning", "error:", "malformed", "mismatch"] {
                assert!(!rest.contains(complaint), "{command:?}:\n{text}");
            }
        }
    }
}

#[test]
fn kdig_has_nothing_to_complain_about() {
    let switches = [
        "+norec",
        "+norec +noedns",
        "+norec +tcp",
        "+norec +dnssec +bufsize=512 +ignore",
        "+norec +nsid +subnet=203.0.113.0/24",
        "+norec +cookie",
        "+norec +padding +tcp +keepopen",
    ];
    tour("kdig", &switches);
}

#[test]
fn drill_has_nothing_to_complain_about() {
    let switches = ["-o rd", "-o rd -t", "-o rd -D", "-o rd -b 512", "-o rd -a -b 1232"];
    tour("drill", &switches);
}
