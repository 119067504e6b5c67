//! Lookups by section of the RFCs, and against a slow obvious model.

use super::*;
use crate::wire::testing::name;
use crate::zone::testing::zone;

/// What a lookup says, in a few words.
pub(in crate::zone) fn ask(zone: &Zone, text: &str) -> String {
    let mut qname = QName::default();
    qname.set(&name(text));
    match zone.lookup(&qname) {
        Lookup::Node { node, wildcard } => {
            let types: Vec<_> = node.rrsets().iter().map(|set| set.rtype().to_string()).collect();
            let steered = node
                .steered()
                .map_or(String::new(), |steered| format!(" steered {}", steered.index));
            let how = if wildcard { "by" } else { "at" };
            format!("{how} {}: {}{steered}", node.name(), types.join(" "))
        }
        Lookup::Delegation { cut, at_cut } => {
            format!("{} {}", if at_cut { "cut" } else { "below cut" }, cut.name())
        }
        Lookup::Dname { node, labels } => format!("{labels} below dname {}", node.name()),
        Lookup::NxDomain { .. } => "nothing".into(),
    }
}

#[track_caller]
fn check(zone: &Zone, cases: &[(&str, &str)]) {
    for (name, expected) in cases {
        assert_eq!(ask(zone, name), *expected, "{name}");
    }
}

/// The example zone of RFC 4592 §2.2.1, without what it has no bearing on.
const RFC_4592: &str = "
$ORIGIN example.
$TTL 3600
*            TXT   \"this is a wildcard\"
*            MX    10 host1.example.
sub.*        TXT   \"this is not a wildcard\"
host1        A     192.0.2.1
_ssh._tcp.host1  SRV  0 0 22 host1
_ssh._tcp.host2  SRV  0 0 22 host1
subdel       NS    ns.example.com.
subdel       NS    ns.example.net.
";

#[test]
fn rfc4592_2_2_1_examples() {
    let zone = zone(RFC_4592);
    let cases = [
        ("host3.example", "by *.example: MX TXT"),
        ("foo.bar.example", "by *.example: MX TXT"),
        ("host1.example", "at host1.example: A"),
        ("sub.*.example", "at sub.*.example: TXT"),
        ("_telnet._tcp.host1.example", "nothing"),
        ("host.subdel.example", "below cut subdel.example"),
        ("ghost.*.example", "nothing"),
        ("*.example", "at *.example: MX TXT"),
    ];
    check(&zone, &cases);
}

#[test]
fn rfc4592_2_2_2_empty_non_terminals_exist_and_block_the_wildcard() {
    let zone = zone(RFC_4592);
    let cases = [
        ("_tcp.host1.example", "at _tcp.host1.example: "),
        ("host2.example", "at host2.example: "),
        ("_tcp.host2.example", "at _tcp.host2.example: "),
        ("x.host2.example", "nothing"),
        ("x.host1.example", "nothing"),
    ];
    check(&zone, &cases);
}

#[test]
fn rfc4592_4_9_an_empty_wildcard_synthesises_nodata() {
    let cases = [
        ("x.example", "by *.example: "),
        ("sub.x.example", "by *.example: "),
        ("sub.*.example", "at sub.*.example: A"),
    ];
    check(&zone("sub.* 1 A 192.0.2.1"), &cases);
}

#[test]
fn rfc4592_4_2_records_below_a_cut_are_not_used_for_synthesis() {
    let text = "sub 1 NS ns.elsewhere.\n*.sub 1 TXT x\n* 1 TXT x\n*.w 1 NS ns.elsewhere.";
    let cases = [
        ("x.sub.example", "below cut sub.example"),
        ("*.sub.example", "below cut sub.example"),
        ("x.y.sub.example", "below cut sub.example"),
        ("sub.example", "cut sub.example"),
        ("x.w.example", "by *.w.example: NS"),
        ("*.w.example", "at *.w.example: NS"),
    ];
    check(&zone(text), &cases);
}

#[test]
fn rfc1034_4_3_2_the_topmost_cut_is_referred_to_and_glue_is_occluded() {
    let text = "sub 1 NS ns.sub\nsub 1 NS x.deep.sub\nns.sub 1 A 192.0.2.1\nx.deep.sub 1 A 192.0.2.2\ndeep.sub 1 NS ns.sub";
    let cases = [
        ("sub.example", "cut sub.example"),
        ("ns.sub.example", "below cut sub.example"),
        ("deep.sub.example", "below cut sub.example"),
        ("x.deep.sub.example", "below cut sub.example"),
        ("example", "at example: NS SOA"),
    ];
    check(&zone(text), &cases);
}

#[test]
fn rfc6672_2_3_a_dname_redirects_what_is_below_it_but_not_itself() {
    let text = "old.a 1 DNAME new.a\nold.a 1 A 192.0.2.1\n@ 1 TXT x";
    let cases = [
        ("old.a.example", "at old.a.example: A DNAME"),
        ("x.old.a.example", "1 below dname old.a.example"),
        ("x.y.old.a.example", "2 below dname old.a.example"),
        ("a.example", "at a.example: "),
        ("new.a.example", "nothing"),
    ];
    check(&zone(text), &cases);
    check(&zone("@ 1 DNAME elsewhere."), &[("x.y.example", "2 below dname example")]);
}

#[test]
fn a_steered_name_exists_like_any_other() {
    let text =
        "www 1 TYPE65400 \\# 0\n*.cdn 1 TYPE65400 \\# 1 01\nwww 1 TXT x\n@ 1 TYPE65400 \\# 0";
    let zone = zone(text);
    let cases = [
        ("www.example", "at www.example: TXT steered 0"),
        ("x.cdn.example", "by *.cdn.example:  steered 1"),
        ("cdn.example", "at cdn.example: "),
        ("example", "at example: NS SOA steered 2"),
        ("x.www.example", "nothing"),
    ];
    check(&zone, &cases);
    let steered = |text| zone.find(&name(text)).unwrap().steered().unwrap();
    assert!(steered("*.cdn.example").answers_cname);
    assert!(!steered("www.example").answers_cname);
}

#[test]
fn names_are_found_in_any_letter_case_and_with_long_labels() {
    let long = format!("{}.{}", "x".repeat(63), "Y".repeat(63));
    let zone = zone(&format!("WWW 1 A 192.0.2.1\n{long} 1 A 192.0.2.1"));
    let mut qname = QName::default();
    qname.read(b"\x03wWw\x07EXAMPLE\0").unwrap();
    assert!(matches!(zone.lookup(&qname), Lookup::Node { wildcard: false, .. }));
    let lower = long.to_lowercase();
    check(&zone, &[(&format!("{long}.example"), &format!("at {lower}.example: A"))]);
}

#[test]
fn rfc2308_3_negative_ttl_is_the_lesser_of_ttl_and_minimum() {
    let negative = |text: &str| {
        let (zone, problems) = crate::zone::testing::build_bare(&[(text, 1)]);
        let zone = zone.unwrap_or_else(|| panic!("{problems:?}"));
        assert_eq!(zone.soa().rtype(), Rtype::SOA);
        (zone.soa().ttl.as_secs(), zone.negative_ttl().as_secs())
    };
    assert_eq!(negative("@ 60 NS a.b.\n@ 60 SOA a b 1 2 3 4 30"), (60, 30));
    assert_eq!(negative("@ 60 NS a.b.\n@ 60 SOA a b 1 2 3 4 1h"), (60, 60));
}

#[test]
fn the_root_can_be_a_zone() {
    let mut builder = crate::zone::ZoneBuilder::new(Name::root(), crate::zone::testing::at(0));
    let text =
        ". 9 SOA a b 1 2 3 4 5\n. 9 NS a\na 9 A 192.0.2.1\ncom 9 NS x.com\nx.com 9 A 192.0.2.1";
    let source = crate::zone::Source::held(std::path::Path::new("root").into(), 1, text);
    let loader = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let add = &mut |record| builder.add(record);
    assert_eq!(crate::zone::read(source, &loader, &Name::root(), None, add), []);
    let (zone, problems) = builder.build();
    assert_eq!(problems, []);
    let cases =
        [(".", "at .: NS SOA"), ("a", "at a: A"), ("b.a", "nothing"), ("x.com", "below cut com")];
    check(&zone.unwrap(), &cases);
}

fn additional(zone: &Zone, owner: &str, rtype: Rtype) -> (usize, Vec<String>) {
    let rrset = zone.find(&name(owner)).unwrap().rrset(rtype).unwrap();
    let (required, nodes) = zone.additional(rrset);
    (required, nodes.map(|node| node.name().to_string()).collect())
}

#[test]
fn rfc9471_3_in_domain_glue_is_required_and_stands_first() {
    let text = "sub 1 NS ns.other\nsub 1 NS ns.sub\nsub 1 NS ns\nsub 1 NS ns.else.\nns.sub 1 AAAA ::1\n\
                other 1 NS ns.other\nns.other 1 A 192.0.2.1\nns 1 A 192.0.2.2";
    let zone = zone(text);
    let expected = ["ns.sub.example", "ns.other.example", "ns.example"].map(String::from);
    assert_eq!(additional(&zone, "sub.example", Rtype::NS), (1, expected.into()));
    assert_eq!(additional(&zone, "other.example", Rtype::NS).0, 1);
    assert_eq!(additional(&zone, "example", Rtype::NS), (0, vec![]));
}

#[test]
fn addresses_of_services_are_helpful_unless_steered_or_delegated() {
    let text = "@ 1 MX 1 mail\n@ 1 MX 2 mail\n@ 1 MX 3 www\n@ 1 MX 4 ns.sub\n@ 1 MX 5 none.else.\nmail 1 A 192.0.2.1\n\
                www 1 TYPE65400 \\# 0\nsub 1 NS ns.sub\nns.sub 1 A 192.0.2.1\n_x._tcp 1 SRV 1 1 1 mail\n\
                h 1 HTTPS 1 .\nh 1 A 192.0.2.1\nh 1 TYPE64 \\# 3 000000\n*.w 1 HTTPS 1 .\n*.w 1 A 192.0.2.1";
    let zone = zone(text);
    let mail = vec!["mail.example".to_owned()];
    assert_eq!(additional(&zone, "example", Rtype::MX), (0, mail.clone()));
    assert_eq!(additional(&zone, "_x._tcp.example", Rtype::SRV), (0, mail));
    assert_eq!(additional(&zone, "h.example", Rtype::HTTPS), (0, vec!["h.example".into()]));
    assert_eq!(additional(&zone, "*.w.example", Rtype::HTTPS), (0, vec![]));
}

#[test]
fn a_zone_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Zone>();
    shared::<crate::zone::Zones>();
}
