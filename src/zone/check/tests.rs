//! Every rule a zone must keep, by the message of its breach.

use crate::zone::testing::{build, build_bare};

/// All problems of the zone `text`, each on a line: `LINE: [warning: ]MESSAGE`.
fn shown((zone, problems): (Option<crate::zone::Zone>, Vec<crate::zone::ZoneProblem>)) -> String {
    use crate::zone::Severity;
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(zone.is_none(), refused, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.help.is_some()), "{problems:?}");
    let show = |problem: &crate::zone::ZoneProblem| {
        let warning = if problem.severity == Severity::Warning { "warning: " } else { "" };
        format!("{}: {warning}{}", problem.line, problem.message)
    };
    problems.iter().map(show).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(shown(build(text)), *expected, "{text}");
    }
}

#[test]
fn rfc1035_5_2_a_zone_has_one_soa_and_name_servers() {
    let bare = |text| shown(build_bare(&[(text, 1)]));
    assert_eq!(bare("a 1 A 192.0.2.1"), "0: the zone `example` has no SOA");
    assert_eq!(bare("@ 1 SOA a. b. 1 2 3 4 5"), "0: the zone `example` has no NS records");
    let cases = [
        ("\n@ 60 SOA a. b. 2 2 3 4 5", "2: the zone `example` has more than one SOA"),
        ("a 1 SOA a. b. 2 2 3 4 5", "1: `a.example` has an SOA, but is not the zone's apex"),
        (
            "a.b.c. 1 A 192.0.2.1\nbadexample. 1 A 192.0.2.1",
            "1: `a.b.c` is not in the zone `example`\n2: `badexample` is not in the zone `example`",
        ),
        ("a 1 CH A 192.0.2.1", "1: class CH is not served"),
    ];
    check(&cases);
}

#[test]
fn rfc1034_3_6_2_a_cname_is_alone_at_its_name() {
    let cases = [
        ("a 1 CNAME b\na 1 A 192.0.2.1", "2: `a.example` has a CNAME and also A"),
        ("a 1 TXT x\na 1 CNAME b", "2: `a.example` has a CNAME and also TXT"),
        ("a 1 CNAME b\na 1 CNAME c", "1: `a.example` has 2 CNAME records"),
        ("a 1 CNAME b\na 1 CNAME B.EXAMPLE.", ""),
        ("a 1 CNAME b\na 1 NSEC b CNAME", ""),
        ("@ 60 CNAME b", "1: `example` has a CNAME and also NS"),
    ];
    check(&cases);
}

#[test]
fn rfc1034_3_6_2_an_alias_leads_to_its_end_at_once() {
    let long = (1..30).map(|n| format!("a{n} 1 CNAME a{}\n", n + 1)).collect::<String>();
    let (zone, problems) = build(&long);
    assert!(zone.is_some() && problems.len() == 28, "{problems:?}");
    let cases = [
        ("a 1 CNAME b\nb 1 A 192.0.2.1", ""),
        ("a 1 CNAME x.else.\nb 1 CNAME b.else.", ""),
        (
            "a 1 CNAME b\nb 1 CNAME c\nc 1 CNAME d.else.",
            "1: warning: the alias `a.example` takes 3 steps to `d.else`\n\
             2: warning: the alias `b.example` takes 2 steps to `d.else`",
        ),
        (
            "a 1 CNAME x.w\n*.w 1 CNAME b",
            "1: warning: the alias `a.example` takes 2 steps to `b.example`",
        ),
        (
            "a 1 CNAME b\nb 1 CNAME a",
            "1: warning: the alias `a.example` leads to itself, and never to an end\n\
             2: warning: the alias `b.example` leads to itself, and never to an end",
        ),
        (
            "*.a 1 CNAME *.a",
            "1: warning: the alias `*.a.example` leads to itself, and never to an end",
        ),
    ];
    check(&cases);
}

#[test]
fn rfc9471_3_delegations_do_not_lead_only_to_one_another() {
    let circle =
        "the servers of `s.example` can be found only through delegations that lead back to it";
    let other = circle.replace("`s.", "`t.");
    let both = format!("1: warning: {circle}\n2: warning: {other}");
    let cases = [
        ("s 1 NS a.t\nt 1 NS a.s", both.as_str()),
        ("s 1 NS a.t\nt 1 NS a.s\na.s 1 A 192.0.2.1", ""),
        ("s 1 NS a.t\nt 1 NS a.s\nt 1 NS ns.else.", ""),
        ("s 1 NS a.t\nt 1 NS a.u\nu 1 NS ns.else.", ""),
    ];
    check(&cases);
}

#[test]
fn more_than_eight_name_servers_are_too_many() {
    let text = |count| (0..count).map(|n| format!("s 1 NS ns{n}.else.\n")).collect::<String>();
    check(&[(&text(8), ""), (&text(9), "1: warning: `s.example` has 9 name servers")]);
}

#[test]
fn rfc6672_2_4_one_dname_and_nothing_below_it() {
    let cases = [
        ("a 1 DNAME b\na 1 DNAME c", "1: `a.example` has 2 DNAME records"),
        ("a 1 DNAME b\na 1 CNAME b", "2: `a.example` has a CNAME and also DNAME"),
        ("a 1 DNAME b\na 1 A 192.0.2.1", ""),
        (
            "a 1 DNAME b\nx.y.a 1 A 192.0.2.1",
            "2: `x.y.a.example` lies below the DNAME of `a.example`",
        ),
        (
            "a 1 DNAME b\n\nx.a 1 TYPE65400 \\# 0",
            "3: `x.a.example` lies below the DNAME of `a.example`",
        ),
        ("a 1 DNAME b\na 1 NS ns.else.", "1: `a.example` is delegated by NS and also has DNAME"),
    ];
    check(&cases);
}

#[test]
fn rfc1034_4_2_1_a_cut_owns_ns_ds_and_glue_only() {
    let cases = [
        ("s 1 NS ns.else.\ns 1 DS 1 13 2 00", ""),
        ("s 1 NS ns.else.\ns 1 MX 1 m.else.", "2: `s.example` is delegated by NS and also has MX"),
        ("s 1 NS s\ns 1 A 192.0.2.1", ""),
        ("s 1 NS ns.else.\ns 1 A 192.0.2.1", "2: `s.example` is delegated by NS and also has A"),
        ("s 1 NS ns.s\nns.s 1 A 192.0.2.1", ""),
        (
            "s 1 NS ns.else.\nx.s 1 A 192.0.2.1\nx.s 1 TXT x",
            "2: warning: A of `x.s.example` is never answered: `s.example` is delegated\n3: warning: TXT of `x.s.example` is never answered: `s.example` is delegated",
        ),
        (
            "*.w 1 NS ns.else.",
            "1: warning: NS at the wildcard `*.w.example` delegates or redirects nothing",
        ),
    ];
    check(&cases);
}

#[test]
fn steered_names_have_nothing_static_of_what_is_steered() {
    let cases = [
        ("w 1 TYPE65400 \\# 0\nw 1 TXT x\nw 1 MX 1 m.else.", ""),
        (
            "w 1 TYPE65400 \\# 0\nw 1 A 192.0.2.1",
            "2: `w.example` is steered and also has a static A",
        ),
        (
            "w 1 TYPE65400 \\# 0\nw 1 AAAA ::1",
            "2: `w.example` is steered and also has a static AAAA",
        ),
        (
            "w 1 TYPE65400 \\# 0\nw 1 CNAME x",
            "2: `w.example` is steered and also has a static CNAME",
        ),
        (
            "w 1 TYPE65400 \\# 1 01\nw 1 TXT x",
            "2: `w.example` is steered to a CNAME and also has TXT",
        ),
        ("w 1 TYPE65400 \\# 0\nw 1 TYPE65400 \\# 0", "2: `w.example` is steered twice"),
        (
            "s 1 NS ns.else.\nw.s 1 TYPE65400 \\# 0",
            "2: `w.s.example` is steered, but `s.example` is delegated",
        ),
        ("w.else. 1 TYPE65400 \\# 0", "1: `w.else` is not in the zone `example`"),
    ];
    check(&cases);
}

#[test]
fn rfc2181_10_3_name_servers_have_plain_addresses() {
    let cases = [
        ("s 1 NS a\na 1 A 192.0.2.1", ""),
        ("s 1 NS a\n*  1 A 192.0.2.1", ""),
        ("s 1 NS a", "1: name server `a.example` has no address in this zone"),
        ("s 1 NS a\na 1 TXT x", "1: name server `a.example` has no address in this zone"),
        ("s 1 NS a\na 1 CNAME b.else.", "1: warning: name server `a.example` is an alias"),
        ("s 1 NS x.d\nd 1 DNAME b.else.", "1: warning: name server `x.d.example` is an alias"),
        ("s 1 NS a\na 1 TYPE65400 \\# 0", "1: name server `a.example` is a steered name"),
        (
            "s 1 NS a.s",
            "1: name server `a.s.example` lies in the delegated `s.example` and has no glue",
        ),
        ("s 1 NS a.t\nt 1 NS ns.else.", ""),
    ];
    check(&cases);
}

#[test]
fn mail_and_service_targets_had_better_have_plain_addresses() {
    let cases = [
        ("@ 1 MX 0 .", ""),
        ("@ 1 MX 0 m\nm 1 A 192.0.2.1", ""),
        ("@ 1 MX 0 m\nm 1 TYPE65400 \\# 0", "1: warning: MX target `m.example` is a steered name"),
        ("@ 1 MX 0 m\nm 1 CNAME x", "1: warning: MX target `m.example` is an alias"),
        ("@ 1 MX 0 m", "1: warning: MX target `m.example` has no address in this zone"),
        ("s 1 SRV 0 0 0 m\nm 1 TYPE65400 \\# 0", ""),
        ("s 1 SRV 0 0 0 m\nm 1 CNAME x", "1: warning: SRV target `m.example` is an alias"),
    ];
    check(&cases);
}

#[test]
fn rfc2181_5_2_one_ttl_for_a_set_and_no_duplicates() {
    let text = "a 9 A 192.0.2.1\na 7 A 192.0.2.2\na 9 A 192.0.2.1";
    let expected =
        "2: warning: the A records of `a.example` have different TTLs; 7s is used for all";
    check(&[(text, expected), ("a 9 A 192.0.2.1\nA 9 A 192.0.2.1", "")]);
    let (zone, _) = build(text);
    let zone = zone.unwrap();
    let rrset = zone.nodes().find_map(|node| node.rrset(crate::wire::types::Rtype::A)).unwrap();
    assert_eq!((rrset.ttl.as_secs(), rrset.rdatas.count()), (7, 2));
}

#[test]
fn sets_too_large_for_a_message_are_refused() {
    let string = format!("\"{}\" ", "x".repeat(250)).repeat(200);
    let text = format!("a 1 TXT {string}\na 1 TXT y{string}");
    let (zone, problems) = build(&text);
    assert!(zone.is_none());
    assert!(problems[0].message.contains("larger than a DNS message"), "{problems:?}");
}
