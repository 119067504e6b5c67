//! RFC 5155 §7.2: denial by hashed names.

use crate::desk::{
    check,
    signed::{self, NSEC3, OPT_OUT},
};

#[test]
fn section_7_2_2_a_name_error_takes_three_records() {
    check(
        &mut signed::signed(NSEC3),
        "
        ? nothing.example A do
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au m1o89lfdo9rrf2f8r8ss42d81d09v48m.example. 300 NSEC3 …
          au m1o89lfdo9rrf2f8r8ss42d81d09v48m.example. 300 RRSIG NSEC3 2
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 NSEC3 …
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 RRSIG NSEC3 2
          au 6ogagts3589aph5l6b1agiq4nfb1g01i.example. 300 NSEC3 …
          au 6ogagts3589aph5l6b1agiq4nfb1g01i.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ? nothing.example A do edns=512
          NXDOMAIN aa tc
          opt 1232 do
        ? x.y.www.example A do
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au d1mq62m4mjgk65mgmkd443ev3mkv9vnb.example. 300 NSEC3 …
          au d1mq62m4mjgk65mgmkd443ev3mkv9vnb.example. 300 RRSIG NSEC3 2
          au 9kqnrpnekplbct2m3k9jh3cljviok2b5.example. 300 NSEC3 …
          au 9kqnrpnekplbct2m3k9jh3cljviok2b5.example. 300 RRSIG NSEC3 2
          au pr0uoj5h65n76d63v9bcjs2lclpjh65v.example. 300 NSEC3 …
          au pr0uoj5h65n76d63v9bcjs2lclpjh65v.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_7_2_3_no_data_takes_the_record_of_the_name() {
    check(
        &mut signed::signed(NSEC3),
        "
        ? www.example AAAA do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au 9kqnrpnekplbct2m3k9jh3cljviok2b5.example. 300 NSEC3 …
          au 9kqnrpnekplbct2m3k9jh3cljviok2b5.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ? b.ent.example A do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au fp881bl18q6pisoph5a4qfkgalohmpob.example. 300 NSEC3 …
          au fp881bl18q6pisoph5a4qfkgalohmpob.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ? sub.example DS do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au 1ocurhhekmgijb12o4fl1rfb1he35098.example. 300 NSEC3 …
          au 1ocurhhekmgijb12o4fl1rfb1he35098.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_7_2_4_no_data_of_what_opted_out_takes_the_closest_provable_encloser() {
    check(
        &mut signed::signed(OPT_OUT),
        "
        ? sub.example DS do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 NSEC3 …
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 RRSIG NSEC3 2
          au tf4v2jbvf5iq28bheot32e5nsh2dbof3.example. 300 NSEC3 …
          au tf4v2jbvf5iq28bheot32e5nsh2dbof3.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ? ins.x.example A do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 NSEC3 …
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 RRSIG NSEC3 2
          au atutakms2nniod8sie19kmfb3uqd60kq.example. 300 NSEC3 …
          au atutakms2nniod8sie19kmfb3uqd60kq.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_7_2_5_no_data_of_a_wildcard() {
    check(
        &mut signed::signed(NSEC3),
        "
        ? any.w.example TXT do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au o133jc5mtd9pmvpdiobhjem12ke3sc6m.example. 300 NSEC3 …
          au o133jc5mtd9pmvpdiobhjem12ke3sc6m.example. 300 RRSIG NSEC3 2
          au tf4v2jbvf5iq28bheot32e5nsh2dbof3.example. 300 NSEC3 …
          au tf4v2jbvf5iq28bheot32e5nsh2dbof3.example. 300 RRSIG NSEC3 2
          au p9n5ptevjsjoskr5u50vc77gp9bdsck8.example. 300 NSEC3 …
          au p9n5ptevjsjoskr5u50vc77gp9bdsck8.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ? *.w.example TXT do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au p9n5ptevjsjoskr5u50vc77gp9bdsck8.example. 300 NSEC3 …
          au p9n5ptevjsjoskr5u50vc77gp9bdsck8.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_7_2_6_a_wildcard_takes_the_next_closer_name() {
    check(
        &mut signed::signed(NSEC3),
        "
        ? any.w.example A do
          NOERROR aa
          an any.w.example. 3600 A 192.0.2.3
          an any.w.example. 3600 RRSIG A 2
          au o133jc5mtd9pmvpdiobhjem12ke3sc6m.example. 300 NSEC3 …
          au o133jc5mtd9pmvpdiobhjem12ke3sc6m.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_7_2_7_a_referral_to_an_unsigned_child() {
    check(
        &mut signed::signed(NSEC3),
        "
        ? www.sub.example A do
          NOERROR
          au sub.example. 3600 NS ns.sub.example.
          au 1ocurhhekmgijb12o4fl1rfb1he35098.example. 300 NSEC3 …
          au 1ocurhhekmgijb12o4fl1rfb1he35098.example. 300 RRSIG NSEC3 2
          ad ns.sub.example. 3600 A 192.0.2.9
          opt 1232 do
        ",
    );
    check(
        &mut signed::signed(OPT_OUT),
        "
        ? www.sub.example A do
          NOERROR
          au sub.example. 3600 NS ns.sub.example.
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 NSEC3 …
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 RRSIG NSEC3 2
          au tf4v2jbvf5iq28bheot32e5nsh2dbof3.example. 300 NSEC3 …
          au tf4v2jbvf5iq28bheot32e5nsh2dbof3.example. 300 RRSIG NSEC3 2
          ad ns.sub.example. 3600 A 192.0.2.9
          opt 1232 do
        ? x.deep.ins.x.example A do
          NOERROR
          au deep.ins.x.example. 3600 NS ns.elsewhere.
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 NSEC3 …
          au 3msev9usmd4br9s97v51r2tdvmr9iqo1.example. 300 RRSIG NSEC3 2
          au atutakms2nniod8sie19kmfb3uqd60kq.example. 300 NSEC3 …
          au atutakms2nniod8sie19kmfb3uqd60kq.example. 300 RRSIG NSEC3 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_7_2_8_owners_of_nsec3_records_do_not_exist() {
    let owner = "3msev9usmd4br9s97v51r2tdvmr9iqo1.example";
    let mut server = signed::signed(NSEC3);
    for rtype in ["NSEC3", "A", "RRSIG"] {
        assert_eq!(server.shown(&format!("{owner} {rtype}"))[0], "NXDOMAIN aa");
    }
}

/// Behind a chain only the last name counts: a `*` that led to it proves no more than itself.
#[test]
fn section_7_2_7_no_data_behind_a_wildcard_takes_the_record_of_the_name() {
    let text = NSEC3.replace("*.c.example. 3600 IN CNAME www.", "*.c.example. 3600 IN CNAME sub.");
    let mut server = signed::signed(&text);
    let shown = server.shown("any.c.example DS do");
    let proofs = shown.iter().filter(|line| line.contains(" NSEC3 ") && !line.contains("RRSIG"));
    // Of the expansion, and of the delegation.
    assert_eq!(proofs.count(), 2, "{shown:#?}");
}
