//! RFC 6672: DNAME.

use crate::desk::{Server, check};

#[test]
fn a_name_below_a_dname_is_redirected() {
    let mut server = Server::zone(
        "example",
        "
        old 60 DNAME new
        www.new A 192.0.2.1
        far DNAME example.org.
        ",
    );
    check(
        &mut server,
        "
        ? www.old.example A
          NOERROR aa
          an old.example. 60 DNAME new.example.
          an www.old.example. 60 CNAME www.new.example.
          an www.new.example. 3600 A 192.0.2.1
        ? WWW.Old.Example A
          NOERROR aa
          an Old.Example. 60 DNAME new.example.
          an WWW.Old.Example. 60 CNAME www.new.example.
          an www.new.example. 3600 A 192.0.2.1
        ? nx.old.example A
          NXDOMAIN aa
          an old.example. 60 DNAME new.example.
          an nx.old.example. 60 CNAME nx.new.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? www.far.example A
          NOERROR aa
          an far.example. 3600 DNAME example.org.
          an www.far.example. 3600 CNAME www.example.org.
        ? www.old.example CNAME
          NOERROR aa
          an old.example. 60 DNAME new.example.
          an www.old.example. 60 CNAME www.new.example.
        ? www.old.example ANY
          NOERROR aa
          an old.example. 60 DNAME new.example.
          an www.old.example. 60 CNAME www.new.example.
        ",
    );
}

#[test]
fn the_owner_of_a_dname_is_not_redirected() {
    let mut server =
        Server::zone("example", "old DNAME new\nold A 192.0.2.1\nnew AAAA 2001:db8::1");
    check(
        &mut server,
        "
        ? old.example DNAME
          NOERROR aa
          an old.example. 3600 DNAME new.example.
        ? old.example A
          NOERROR aa
          an old.example. 3600 A 192.0.2.1
        ? old.example AAAA
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn dnames_and_cnames_lead_into_each_other() {
    let mut server = Server::zone(
        "example",
        "
        a DNAME b
        x.b CNAME y.a
        y.b CNAME b.c
        c DNAME d
        b.d A 192.0.2.1
        ",
    );
    check(
        &mut server,
        "
        ? x.a.example A
          NOERROR aa
          an a.example. 3600 DNAME b.example.
          an x.a.example. 3600 CNAME x.b.example.
          an x.b.example. 3600 CNAME y.a.example.
          an y.a.example. 3600 CNAME y.b.example.
          an y.b.example. 3600 CNAME b.c.example.
          an c.example. 3600 DNAME d.example.
          an b.c.example. 3600 CNAME b.d.example.
          an b.d.example. 3600 A 192.0.2.1
        ",
    );
}

#[test]
fn a_chain_may_end_at_the_owner_of_a_dname() {
    let mut server = Server::zone("example", "d DNAME e\ny.e CNAME d\nd A 192.0.2.1");
    check(
        &mut server,
        "
        ? y.d.example A
          NOERROR aa
          an d.example. 3600 DNAME e.example.
          an y.d.example. 3600 CNAME y.e.example.
          an y.e.example. 3600 CNAME d.example.
          an d.example. 3600 A 192.0.2.1
        ? y.d.example DNAME
          NOERROR aa
          an d.example. 3600 DNAME e.example.
          an y.d.example. 3600 CNAME y.e.example.
          an y.e.example. 3600 CNAME d.example.
        ",
    );
}

#[test]
fn a_name_that_would_be_too_long_is_yxdomain() {
    let long = "a".repeat(60);
    let mut server = Server::zone("example", &format!("s DNAME {long}.{long}.{long}"));
    let fits = format!("{}.s.example A edns=1232", "b".repeat(60));
    assert_eq!(server.shown(&fits)[0], "NXDOMAIN aa");
    let reply = server.shown(&format!("{}.s.example A edns=1232", "b".repeat(63)));
    assert_eq!(reply[0], "YXDOMAIN aa");
    assert_eq!(reply.len(), 3, "the DNAME and OPT: {reply:?}");
}

#[test]
fn dnames_that_chase_each_other_end() {
    let mut server =
        Server::zone("example", "a DNAME b\nb DNAME a\ngrow DNAME x.y.more\nmore DNAME z.grow");
    check(
        &mut server,
        "
        ? w.a.example A
          NOERROR aa
          an a.example. 3600 DNAME b.example.
          an w.a.example. 3600 CNAME w.b.example.
          an b.example. 3600 DNAME a.example.
          an w.b.example. 3600 CNAME w.a.example.
        ",
    );
    let reply = server.shown("w.grow.example A tcp");
    let dnames = reply.iter().filter(|line| line.contains(" DNAME ")).count();
    assert_eq!(dnames, 2, "each once: {reply:?}");
}
