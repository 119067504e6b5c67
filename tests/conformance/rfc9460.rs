//! RFC 9460: SVCB and HTTPS.

use crate::desk::{Server, check};

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
