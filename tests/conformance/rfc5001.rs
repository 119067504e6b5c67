//! RFC 5001: which server answers, to those who ask for it.

use crate::desk::{Server, check};

#[test]
fn section_2_1_the_name_is_told_when_asked_only() {
    check(
        &mut Server::guarded("[server]\nnsid = 'ns1'", "www A 192.0.2.1"),
        "
        ? www.example A nsid
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 nsid=6e7331
        ? nx.example.org A nsid
          REFUSED
          opt 1232 nsid=6e7331 ede=20
        ? www.example A edns=1232
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232
        ",
    );
}

#[test]
fn section_2_3_the_name_is_any_bytes() {
    let mut server = Server::guarded("[server]\nnsid = '0x00ff'", "www A 192.0.2.1");
    assert_eq!(server.shown("www.example TXT nsid").last().unwrap(), "opt 1232 nsid=00ff");
}

#[test]
fn a_server_without_a_name_does_not_answer_the_option() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    assert_eq!(server.shown("www.example TXT nsid").last().unwrap(), "opt 1232");
}

#[test]
fn the_longest_name_fits_the_smallest_reply_to_the_longest_question() {
    let nsid = format!("[server]\nnsid = '{}'", "n".repeat(128));
    let mut server = Server::guarded(&nsid, "www A 192.0.2.1");
    let long = "x".repeat(63);
    let name = format!("{long}.{long}.{long}.{}.example", &long[..53]);
    let words = "edns=512 nsid cookie=0102030405060708 ecs=2001:db8::/128";
    let opt = server.shown(&format!("{name} A {words}")).pop().unwrap();
    for part in ["ecs=2001:db8::/128/0", "cookie=0102030405060708", &"6e".repeat(128)] {
        assert!(opt.contains(part), "{part}: {opt}");
    }
    let opt = server.shown(&format!("{}org A {words}", &name[..name.len() - 7])).pop().unwrap();
    assert!(opt.ends_with(" ede=20"), "{opt}");
}
