//! RFC 4035 §3.1.4.1: the DS record stands on the parent's side of a cut.

use crate::desk::{Server, check};

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
