//! RFC 9460: SVCB and HTTPS.

use crate::desk::{Server, check};
use crate::rdata_text;

#[test]
fn addresses_of_the_target_go_along() {
    let mut server = Server::zone(
        "example",
        "
        www HTTPS 1 . alpn=h2
        www A 192.0.2.1
        www AAAA 2001:db8::1
        alias HTTPS 0 www
        svc SVCB 1 www port=8443
        ",
    );
    check(
        &mut server,
        "
        ? www.example HTTPS
          NOERROR aa
          an www.example. 3600 HTTPS 1 . alpn=h2,
          ad www.example. 3600 A 192.0.2.1
          ad www.example. 3600 AAAA 2001:db8::1
        ? alias.example HTTPS
          NOERROR aa
          an alias.example. 3600 HTTPS 0 www.example.
          ad www.example. 3600 A 192.0.2.1
          ad www.example. 3600 AAAA 2001:db8::1
        ? svc.example SVCB
          NOERROR aa
          an svc.example. 3600 SVCB 1 www.example. port=8443
          ad www.example. 3600 A 192.0.2.1
          ad www.example. 3600 AAAA 2001:db8::1
        ",
    );
}

#[test]
fn appendix_d_vectors_are_read_and_sent_as_there() {
    let com = "03666f6f 07 6578616d706c65 03636f6d 00";
    let org = "03666f6f 07 6578616d706c65 036f7267 00";
    let alpn = "0001 000c 08 665c6f6f2c626172 02 6832";
    let address = "20010db8000000000000000000000001";
    rdata_text::check(&[
        ("HTTPS 0 foo.example.com.", &format!("0000 {com}")),
        ("SVCB 1 .", "0001 00"),
        ("SVCB 16 foo.example.com. port=53", &format!("0010 {com} 0003 0002 0035")),
        ("SVCB 1 foo.example.com. key667=hello", &format!("0001 {com} 029b 0005 68656c6c6f")),
        (
            r#"SVCB 1 foo.example.com. key667="hello\210qoo""#,
            &format!("0001 {com} 029b 0009 68656c6c6fd2716f6f"),
        ),
        (
            r#"SVCB 1 foo.example.com. ipv6hint="2001:db8::1,2001:db8::53:1""#,
            &format!("0001 {com} 0006 0020 {address} 20010db8000000000000000000530001"),
        ),
        (
            "SVCB 1 foo.example.com. ipv6hint=2001:db8:122:344::192.0.2.33",
            &format!("0001 {com} 0006 0010 20010db8012203440000 0000c0000221"),
        ),
        (
            "SVCB 16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
            &format!(
                "0010 {org} 0000 0004 0001 0004 0001 0009 02 6832 05 68332d3139 0004 0004 c0000201"
            ),
        ),
        (r#"SVCB 16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#, &format!("0010 {org} {alpn}")),
        (r"SVCB 16 foo.example.org. alpn=f\\\092oo\092,bar,h2", &format!("0010 {org} {alpn}")),
    ]);
}

#[test]
fn rfc9461_5_and_rfc9540_5_further_keys() {
    rdata_text::check(&[
        (
            "SVCB 1 . alpn=h2 dohpath=/q{?dns}",
            "0001 00 0001 0003 02 6832 0007 0008 2f717b3f646e737d",
        ),
        ("SVCB 1 . ohttp", "0001 00 0008 0000"),
    ]);
}
