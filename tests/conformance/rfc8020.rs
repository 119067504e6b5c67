//! RFC 8020: NXDOMAIN means that nothing is there, nor below.

use crate::desk::{Server, check};

#[test]
fn a_name_with_names_below_exists() {
    let mut server =
        Server::zone("example", "a.b.c A 192.0.2.1\nglue.sub A 192.0.2.54\nsub NS glue.sub");
    check(
        &mut server,
        "
        ? c.example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? b.c.example TXT
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? x.c.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? x.b.c.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? x.a.b.c.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}
