//! Signed zones with something amiss, by what is said of them.

use crate::zone::testing::build_bare;
use crate::zone::{Severity, Zone};

const NSEC: &str = include_str!("../../../tests/desk/signed/nsec.zone");
const NSEC3: &str = include_str!("../../../tests/desk/signed/nsec3.zone");
const OPT_OUT: &str = include_str!("../../../tests/desk/signed/optout.zone");

/// `text` without the lines that hold all of `words`.
fn without(text: &str, words: &[&str]) -> String {
    let is_kept = |line: &&str| !words.iter().all(|word| line.contains(word));
    let kept: Vec<&str> = text.lines().filter(is_kept).collect();
    assert!(kept.len() < text.lines().count(), "no line with {words:?}");
    kept.join("\n")
}

fn build(text: &str) -> (Option<Zone>, Vec<String>) {
    let (zone, problems) = build_bare(&[(text, 1)]);
    let show = |problem: &crate::zone::ZoneProblem| match problem.severity {
        Severity::Warning => format!("warning: {}", problem.message),
        Severity::Error => problem.message.clone(),
    };
    (zone, problems.iter().map(show).collect())
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (zone, said) = build(text);
    assert_eq!(said, expected);
    let is_refused = expected.iter().any(|said| !said.starts_with("warning: "));
    assert_eq!(zone.is_none(), is_refused);
}

#[test]
fn whole_zones_are_served() {
    for text in [NSEC, NSEC3, OPT_OUT] {
        let (zone, said) = build(text);
        assert_eq!(said, [""; 0]);
        let zone = zone.unwrap();
        // 2037-12-31 00:00:00 UTC.
        assert_eq!((zone.is_signed(), zone.signatures_expire()), (true, Some(2_145_830_400)));
    }
}

#[test]
fn every_set_has_a_signature_by_a_key_of_the_zone() {
    let no_signature = "the A records of `www.example` have no signature by a key of the zone";
    check(&without(NSEC, &["www.example.", "RRSIG A "]), &[no_signature]);
    check(
        &without(NSEC, &[" IN RRSIG "]),
        &[
            "the NS records of `example` have no signature by a key of the zone; and 28 more of the kind",
        ],
    );
    check(
        &without(NSEC, &[" DNSKEY 256 "]),
        &[
            "the NS records of `example` have no signature by a key of the zone; and 27 more of the kind",
        ],
    );
}

#[test]
fn the_nsec_chain_is_whole_and_tells_the_truth() {
    check(&without(NSEC, &["mail.example. 300 "]), &["`mail.example` has no NSEC record"]);
    check(
        &without(NSEC, &["mail.example. 3"]),
        &["the NSEC record of `loose.example` does not lead to `www.new.example`, the next name"],
    );
    check(
        &without(&without(NSEC, &["www.example. 3600 IN TXT"]), &["www.example.", "RRSIG TXT"]),
        &["the NSEC record of `www.example` shows other types than it has"],
    );
}

#[test]
fn the_nsec3_chain_is_whole_and_tells_the_truth() {
    let apex = "3MSEV9USMD4BR9S97V51R2TDVMR9IQO1";
    check(
        &without(NSEC3, &[&format!("{apex}.example")]),
        &[
            "the NSEC3 record `1ocurhhekmgijb12o4fl1rfb1he35098` does not lead to \
             `6ogagts3589aph5l6b1agiq4nfb1g01i`, the next one",
            "`example` has no NSEC3 record",
        ],
    );
    check(
        &without(&without(NSEC3, &["www.example. 3600 IN TXT"]), &["www.example.", "RRSIG TXT"]),
        &["the NSEC3 record of `www.example` shows other types than it has"],
    );
    let unsigned = without(OPT_OUT, &[&format!("{apex}.example. 300 IN RRSIG")]);
    let said =
        format!("the NSEC3 record `{}` has no signature by a key of the zone", apex.to_lowercase());
    check(&unsigned, &[&said]);
}

#[test]
fn rfc9276_3_2_iterations_are_bounded() {
    let with = |parameters: &str| NSEC3.replace("NSEC3PARAM 1 0 0 -", parameters);
    check(
        &with("NSEC3PARAM 1 0 51 -"),
        &["names are hashed 51 times more; above 50 resolvers do not follow"],
    );
    check(
        &with("NSEC3PARAM 1 0 50 AABB"),
        &[
            "warning: names are hashed with 50 more iterations and a salt of 2 bytes, which protects nothing",
            "the zone `example` has no NSEC3 records for this NSEC3PARAM",
        ],
    );
}

#[test]
fn keys_without_signatures_and_signatures_without_keys_are_served_unsigned() {
    let key = NSEC.lines().find(|line| line.contains(" DNSKEY 256 ")).unwrap();
    let apex = |line: &&str| line.contains(" SOA ns1.") || line.starts_with("example. 3600 IN NS ");
    let mut text: Vec<&str> = NSEC.lines().filter(apex).collect();
    text.extend([key, "ns1.example. 3600 IN A 192.0.2.53"]);
    let has_key = "warning: the zone `example` has a key, but nothing signed with it";
    let has_none = "warning: the zone `example` has signatures or proofs, but no key";
    let without_key = |text: &str| without(text, &[" DNSKEY "]);
    for (text, expected) in
        [(text.join("\n"), has_key), (without_key(NSEC), has_none), (without_key(NSEC3), has_none)]
    {
        let (zone, said) = build(&text);
        assert!(said.iter().any(|said| said == expected), "{said:?}");
        let zone = zone.unwrap();
        assert!(!zone.is_signed() && zone.signatures(zone.soa()).is_none());
    }
}

/// RFC 5155 §7.1: what leads to signed data has a record, also under opt-out.
#[test]
fn only_what_leads_to_unsigned_delegations_alone_opts_out() {
    let (b_ent, next) = ("FP881BL18Q6PISOPH5A4QFKGALOHMPOB", "GRGG3PHJ98AQD982NCG04K49UCJPJG1P");
    let text = without(OPT_OUT, &[&format!("{b_ent}.example.")]).replace(b_ent, next);
    check(&text, &["`b.ent.example` has no NSEC3 record"]);
}

#[test]
fn stray_signatures_are_told() {
    let stray = "warning: this signature is of TXT records, but there are none";
    let (_, said) = build(&without(NSEC, &["www.example. 3600 IN TXT"]));
    assert!(said.iter().any(|said| said == stray), "{said:?}");
}

#[test]
fn a_signed_zone_has_no_steered_records() {
    let text = format!("{NSEC}\nwww.steered.example. 1 TYPE65400 \\# 0\n");
    check(&text, &["a steered record stands in a zone that is signed"]);
}
