//! Which zones are refused at load, by us and by the checkers of NSD, Knot and BIND; and why,
//! where those do not agree with us.

use crate::support::{
    self,
    peers::Program::{self, Bind, Knot, Nsd},
    scratch::Scratch,
    server::cli,
};
use std::{
    path::Path,
    process::{Command, Output},
};

/// Stands in front of every text below that does not begin with a directive or an SOA.
const HEAD: &str = "$TTL 300
@ IN SOA ns h 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
www IN A 192.0.2.1
";

/// A zone, whether we take it, and who does not agree; on what ground we do.
struct Zone(&'static str, bool, &'static [Program], &'static str);

/// What we take, and what we do not.
const TAKEN: bool = true;
const REFUSED: bool = false;

/// `LABEL` stands for 63 letters, `STRING` for 256.
const ZONES: &[Zone] = &[
    Zone("www IN TXT x", TAKEN, &[], ""),
    Zone("a IN CNAME www\na IN TXT x", REFUSED, &[], "RFC 1034 §3.6.2"),
    Zone("a IN CNAME www\na IN CNAME ns", REFUSED, &[], "RFC 2181 §10.1"),
    Zone("@ IN CNAME www", REFUSED, &[], "RFC 1912 §2.4"),
    Zone("a IN CNAME www\na IN NSEC ns CNAME NSEC", TAKEN, &[], "RFC 4034 §4"),
    Zone("a IN CNAME b\nb IN CNAME a\nc IN CNAME c", TAKEN, &[], "RFC 1034 §3.6.2"),
    Zone("a IN DNAME www\na IN DNAME ns", REFUSED, &[], "RFC 6672 §2.4"),
    Zone("a IN DNAME www\na IN CNAME ns", REFUSED, &[], "RFC 6672 §2.4"),
    Zone("a IN DNAME b\nb IN DNAME a\nc IN DNAME d.c", TAKEN, &[], "RFC 6672 §5.1"),
    Zone("*.a IN DNAME www", TAKEN, &[], "RFC 4592 §4.4"),
    Zone(
        "a IN DNAME www\nb.a IN A 192.0.2.1",
        REFUSED,
        &[Bind],
        "what lies below a DNAME could never be answered (RFC 6672 §2.4: MUST NOT)",
    ),
    Zone(
        "a IN DNAME www\na IN NS ns.else.",
        REFUSED,
        &[Nsd, Bind],
        "one says that this zone has the names below, the other that it has not (RFC 6672 §2.3)",
    ),
    Zone(
        "a IN NS ns.else.\na IN MX 1 www",
        REFUSED,
        &[Nsd, Knot, Bind],
        "authoritative data at a cut is the child's (RFC 1034 §4.2.1); it would never be answered",
    ),
    Zone("a IN NS ns.else.\nb.a IN TXT x", TAKEN, &[], "hidden; a warning"),
    Zone(
        "a IN NS ns.a",
        REFUSED,
        &[Nsd, Bind],
        "a server below the cut without an address can never be reached (RFC 1034 §4.2.1)",
    ),
    Zone("*.a IN NS ns", TAKEN, &[Bind], "discouraged, not forbidden (RFC 4592 §4.2)"),
    Zone(
        "a IN DS 1 13 1 abababababababababababababababababababab",
        TAKEN,
        &[],
        "useless; not wrong",
    ),
    Zone(
        "@ IN SOA ns h 2 3600 600 86400 60",
        REFUSED,
        &[Knot],
        "which of two SOAs would it be? (RFC 1035 §5.2)",
    ),
    Zone("a IN SOA ns h 1 2 3 4 5", REFUSED, &[Knot], "a zone has one SOA (RFC 1035 §5.2)"),
    Zone("$TTL 1\n@ IN NS ns\nns IN A 127.0.0.1", REFUSED, &[], "RFC 1035 §5.2"),
    Zone(
        "$TTL 1\n@ IN SOA ns h 1 2 3 4 5\nns IN A 127.0.0.1",
        REFUSED,
        &[Nsd],
        "a zone has name servers (RFC 1034 §4.2.1)",
    ),
    Zone(
        "@ IN NS nowhere",
        REFUSED,
        &[Nsd],
        "its address would have to be in this zone (RFC 1035 §3.3.11)",
    ),
    Zone(
        "@ IN NS alias\nalias IN CNAME ns",
        TAKEN,
        &[Knot, Bind],
        "forbidden (RFC 2181 §10.3), but resolvable by many: we warn, rather than lose a zone",
    ),
    Zone("@ IN MX 1 alias\nalias IN CNAME ns", TAKEN, &[], "RFC 2181 §10.3; a warning"),
    Zone(
        "www.other. IN A 192.0.2.1",
        REFUSED,
        &[Knot, Bind],
        "a record of another zone is a mistake (RFC 1035 §5.2); they drop it with a warning",
    ),
    Zone("a CH A 192.0.2.1", REFUSED, &[], "RFC 1035 §5.2"),
    Zone("a 1 IN A 192.0.2.1\na 2 IN A 192.0.2.2", TAKEN, &[], "RFC 2181 §5.2"),
    Zone("a IN A 192.0.2.1\na IN A 192.0.2.1", TAKEN, &[], "RFC 2181 §5"),
    Zone("a_b IN A 192.0.2.1", TAKEN, &[], "RFC 2181 §11"),
    Zone("LABEL.LABEL.LABEL IN A 192.0.2.1", TAKEN, &[], "RFC 1035 §2.3.4"),
    Zone("lLABEL IN A 192.0.2.1", REFUSED, &[], "RFC 1035 §2.3.4"),
    Zone("LABEL.LABEL.LABEL.LABEL IN A 192.0.2.1", REFUSED, &[], "RFC 1035 §2.3.4"),
    Zone("a..b IN A 192.0.2.1", REFUSED, &[], "RFC 1035 §3.1"),
    Zone("a\\256 IN A 192.0.2.1", REFUSED, &[Nsd, Knot], "no octet (RFC 1035 §5.1)"),
    Zone("a IN A 192.0.2.256", REFUSED, &[], "RFC 1035 §3.4.1"),
    Zone("@ IN MX 65536 www", REFUSED, &[Nsd], "16 bits (RFC 1035 §3.3.9)"),
    Zone(
        "a 2147483648 IN A 192.0.2.1",
        REFUSED,
        &[Nsd, Knot, Bind],
        "it would mean 0 to who receives it (RFC 2181 §8)",
    ),
    Zone("a 4294967296 IN A 192.0.2.1", REFUSED, &[Nsd], "RFC 2181 §8"),
    Zone(
        "@ IN SOA ns h 1 2 3 4 5\n@ IN NS ns\nns IN A 127.0.0.1",
        REFUSED,
        &[Nsd, Knot, Bind],
        "no TTL anywhere, and the SOA's MINIMUM is none any more (RFC 2308 §4)",
    ),
    Zone("a IN FROB x", REFUSED, &[], "RFC 1035 §5.1"),
    Zone("a IN TXT ( x", REFUSED, &[Nsd], "a parenthesis stays open (RFC 1035 §5.1)"),
    Zone("a IN TXT STRING", REFUSED, &[Knot], "more than 255 octets (RFC 1035 §3.3)"),
    Zone("a IN TYPE65280 \\# 3 0000", REFUSED, &[Nsd], "two octets are not three (RFC 3597 §5)"),
    Zone("a IN A \\# 3 000000", REFUSED, &[Knot], "no address (RFC 3597 §5, RFC 1035 §3.4.1)"),
    Zone("a IN HTTPS 1 . alpn=h2 alpn=h3", REFUSED, &[], "RFC 9460 §2.1"),
    Zone("a IN HTTPS 1 . mandatory=port", REFUSED, &[], "RFC 9460 §8"),
];

/// Whether a checker, which ran, took the zone.
fn took(output: &Output) -> bool {
    output.status.success()
}

fn check(program: Program, file: &Path) -> Option<bool> {
    let (tool, before): (_, &[&str]) = match program {
        Nsd => ("nsd-checkzone", &["example.test"]),
        Knot => ("kzonecheck", &["-o", "example.test"]),
        Bind => ("named-checkzone", &["-k", "ignore", "example.test"]),
        Program::Gdnsd => panic!("gdnsd checks no single zone"),
    };
    let output = Command::new(support::tool(tool)?).args(before).arg(file).output();
    Some(took(&output.unwrap()))
}

#[test]
fn zones_are_refused_as_nsd_knot_and_bind_refuse_them() {
    let [label, string] = [63, 256].map(|length| "l".repeat(length));
    for Zone(text, taken, but, why) in ZONES {
        let whole = text.starts_with(['$', '@']) && text.contains("ns IN A");
        let zone = if whole { text.to_string() } else { format!("{HEAD}{text}") };
        let zone = zone.replace("LABEL", &label).replace("STRING", &string) + "\n";
        let folder = Scratch::with(&[("tradewind.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\n")]);
        let file = folder.write("zones/example.test.zone", &zone);
        let ours = cli(&["check", "-C", folder.path().to_str().unwrap()]);
        assert_eq!(took(&ours), *taken, "{text}: {why}\n{ours:?}");
        for program in [Nsd, Knot, Bind] {
            let Some(theirs) = check(program, &file) else { return };
            assert_eq!(theirs != *taken, but.contains(&program), "{program:?}: {text}\n{why}");
        }
    }
}
