//! RFC 4035 §3.1: signatures and NSEC records for those who ask with DO; the DS record stands on
//! the parent's side of a cut (§3.1.4.1).

use crate::desk::{
    Server, check,
    signed::{self, NSEC},
};

const DS: &str = "sub DS 12345 13 2 \
    0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn the_parent_answers_for_the_ds_of_its_child() {
    let zone = format!("sub NS ns.example.org.\n{DS}\nplain NS ns.example.org.");
    let mut server = Server::zone("example", &zone);
    check(
        &mut server,
        "
        ? sub.example DS
          NOERROR aa
          an sub.example. 3600 DS 30390d020000000000000000000000000000000000000000000000000000000000000000
        ? plain.example DS
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? below.sub.example DS
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ? sub.example A
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ",
    );
}

#[test]
fn the_parent_answers_even_if_the_child_is_ours_too() {
    let zone = format!("sub NS ns1.sub\nns1.sub A 192.0.2.54\n{DS}");
    let mut server = Server::zones(&[("example", &zone), ("sub.example", "www A 192.0.2.1")]);
    check(
        &mut server,
        "
        ? sub.example DS
          NOERROR aa
          an sub.example. 3600 DS 30390d020000000000000000000000000000000000000000000000000000000000000000
        ? sub.example NS
          NOERROR aa
          an sub.example. 3600 NS ns1.sub.example.
          ad ns1.sub.example. 3600 A 192.0.2.53
        ? www.sub.example DS
          NOERROR aa
          au sub.example. 300 SOA ns1.sub.example. host.sub.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn a_child_without_its_parent_has_no_ds() {
    let mut server = Server::zone("sub.example", "www A 192.0.2.1");
    check(
        &mut server,
        "
        ? sub.example DS
          NOERROR aa
          au sub.example. 300 SOA ns1.sub.example. host.sub.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn section_3_1_1_signatures_go_with_what_they_cover_if_wanted() {
    check(
        &mut signed::signed(NSEC),
        "
        ? www.example A do
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          an www.example. 3600 RRSIG A 2
          opt 1232 do
        ? www.example A edns=1232
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232
        ? www.example A
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? example NS do
          NOERROR aa
          an example. 3600 NS ns1.example.
          an example. 3600 RRSIG NS 1
          ad ns1.example. 3600 A 192.0.2.53
          ad ns1.example. 3600 RRSIG A 2
          opt 1232 do
        ? mail.example MX do
          NOERROR aa
          an mail.example. 3600 MX 10 www.example.
          an mail.example. 3600 RRSIG MX 2
          ad www.example. 3600 A 192.0.2.1
          ad www.example. 3600 RRSIG A 2
          opt 1232 do
        ? example DNSKEY do edns=1232
          NOERROR aa
          an example. 3600 DNSKEY …
          an example. 3600 DNSKEY …
          an example. 3600 RRSIG DNSKEY 1
          opt 1232 do
        ? www.example ANY do
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          an www.example. 3600 RRSIG A 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_3_1_1_signatures_may_be_asked_for() {
    check(
        &mut signed::signed(NSEC),
        "
        ? www.example RRSIG
          NOERROR aa
          an www.example. 3600 RRSIG A 2
        ? alias.example RRSIG do
          NOERROR aa
          an alias.example. 3600 RRSIG CNAME 2
          opt 1232 do
        ? www.example NSEC
          NOERROR aa
          an www.example. 300 NSEC deep.ins.x.example.
        ? ent.example RRSIG
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? sub.example RRSIG
          NOERROR
          au sub.example. 3600 NS ns.sub.example.
          ad ns.sub.example. 3600 A 192.0.2.9
        ",
    );
}

#[test]
fn section_3_1_3_1_no_data_is_proven() {
    check(
        &mut signed::signed(NSEC),
        "
        ? www.example AAAA do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au www.example. 300 NSEC deep.ins.x.example.
          au www.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? b.ent.example A do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au *.c.example. 300 NSEC a.b.ent.example.
          au *.c.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? www.example AAAA edns=1232
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232
        ",
    );
}

#[test]
fn section_3_1_3_2_neither_the_name_nor_a_wildcard_exists() {
    check(
        &mut signed::signed(NSEC),
        "
        ? nothing.example A do
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au www.new.example. 300 NSEC ns1.example.
          au www.new.example. 300 RRSIG NSEC 3
          au example. 300 NSEC alias.example.
          au example. 300 RRSIG NSEC 1
          opt 1232 do
        ? x.y.www.example A do
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au www.example. 300 NSEC deep.ins.x.example.
          au www.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? zzz.example A do
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au deep.ins.x.example. 300 NSEC example.
          au deep.ins.x.example. 300 RRSIG NSEC 4
          au example. 300 NSEC alias.example.
          au example. 300 RRSIG NSEC 1
          opt 1232 do
        ? loose.example A do
          NXDOMAIN aa
          an loose.example. 3600 CNAME nothing.example.
          an loose.example. 3600 RRSIG CNAME 2
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au www.new.example. 300 NSEC ns1.example.
          au www.new.example. 300 RRSIG NSEC 3
          au example. 300 NSEC alias.example.
          au example. 300 RRSIG NSEC 1
          opt 1232 do
        ? nothing.old.example A do
          NXDOMAIN aa
          an old.example. 3600 DNAME new.example.
          an old.example. 3600 RRSIG DNAME 2
          an nothing.old.example. 3600 CNAME nothing.new.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au mail.example. 300 NSEC www.new.example.
          au mail.example. 300 RRSIG NSEC 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_3_1_3_3_a_wildcard_stands_in_where_nothing_is_nearer() {
    check(
        &mut signed::signed(NSEC),
        "
        ? any.w.example A do
          NOERROR aa
          an any.w.example. 3600 A 192.0.2.3
          an any.w.example. 3600 RRSIG A 2
          au *.w.example. 300 NSEC www.example.
          au *.w.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? any.c.example A do
          NOERROR aa
          an any.c.example. 3600 CNAME www.example.
          an any.c.example. 3600 RRSIG CNAME 2
          an www.example. 3600 A 192.0.2.1
          an www.example. 3600 RRSIG A 2
          au *.c.example. 300 NSEC a.b.ent.example.
          au *.c.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? any.w.example TXT do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au *.w.example. 300 NSEC www.example.
          au *.w.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? *.w.example A do
          NOERROR aa
          an *.w.example. 3600 A 192.0.2.3
          an *.w.example. 3600 RRSIG A 2
          opt 1232 do
        ? *.w.example TXT do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au *.w.example. 300 NSEC www.example.
          au *.w.example. 300 RRSIG NSEC 2
          opt 1232 do
        ",
    );
}

#[test]
fn section_3_1_4_a_referral_says_whether_the_child_is_signed() {
    check(
        &mut signed::signed(NSEC),
        "
        ? www.sec.example A do
          NOERROR
          au sec.example. 3600 NS ns.sec.example.
          au sec.example. 3600 DS 00010d02abababababababababababababababababababababababababababababababab
          au sec.example. 3600 RRSIG DS 2
          ad ns.sec.example. 3600 A 192.0.2.8
          opt 1232 do
        ? www.sub.example A do
          NOERROR
          au sub.example. 3600 NS ns.sub.example.
          au sub.example. 300 NSEC *.w.example.
          au sub.example. 300 RRSIG NSEC 2
          ad ns.sub.example. 3600 A 192.0.2.9
          opt 1232 do
        ? www.sub.example A edns=1232
          NOERROR
          au sub.example. 3600 NS ns.sub.example.
          ad ns.sub.example. 3600 A 192.0.2.9
          opt 1232
        ? sec.example DS do
          NOERROR aa
          an sec.example. 3600 DS 00010d02abababababababababababababababababababababababababababababababab
          an sec.example. 3600 RRSIG DS 2
          opt 1232 do
        ? sub.example DS do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          au example. 300 RRSIG SOA 1
          au sub.example. 300 NSEC *.w.example.
          au sub.example. 300 RRSIG NSEC 2
          opt 1232 do
        ? x.deep.ins.x.example A do
          NOERROR
          au deep.ins.x.example. 3600 NS ns.elsewhere.
          au deep.ins.x.example. 300 NSEC example.
          au deep.ins.x.example. 300 RRSIG NSEC 4
          opt 1232 do
        ",
    );
}

#[test]
fn section_3_1_6_ad_and_cd_are_not_set() {
    check(
        &mut signed::signed(NSEC),
        "
        ? www.example A ad cd
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ",
    );
}

#[test]
fn section_3_1_1_a_signature_in_the_additional_section_is_left_out_before_its_set() {
    let start =
        "www.example. 3600 IN RRSIG A 13 2 3600 20371231000000 20200101000000 42230 example. ";
    let behind = NSEC.find(start).unwrap() + start.len();
    let long = format!("{}{}{}", &NSEC[..behind], "AAAA".repeat(100), &NSEC[behind..]);
    check(
        &mut signed::signed(&long),
        "
        ? mail.example MX do edns=512
          NOERROR aa
          an mail.example. 3600 MX 10 www.example.
          an mail.example. 3600 RRSIG MX 2
          ad www.example. 3600 A 192.0.2.1
          opt 1232 do
        ",
    );
}
