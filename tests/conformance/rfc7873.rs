//! RFC 7873: DNS cookies.

use crate::desk::{Server, ask::opt, show};
use std::time::Duration;
use tradewind::telemetry::{CookieResult, Tally, Via};

const ON: &str = "[server]\ncookies = { secret_file = 'secrets/first' }";
const REQUIRED: &str = "[server]\ncookies = { secret_file = 'secrets/first', require = true }";
/// A client's half, and what the secret makes of it for 198.51.100.100 at `MADE`.
const CLIENT: &str = "2464c4abcf10c957";
const SERVER: &str = "010000005cf79f111f8130c3eee29480";
const MADE: u32 = 1_559_731_985;

fn server(told: &str) -> Server {
    let mut server = Server::guarded(told, "www A 192.0.2.1");
    server.at(Duration::ZERO, MADE);
    server
}

/// The rcode, and the option in the reply.
fn cookie(server: &mut Server, words: &str) -> (String, Option<String>) {
    let mut shown = server.shown(&format!("www.example A from=198.51.100.100 {words}"));
    let opt = shown.pop().unwrap();
    let (_, cookie) = opt.split_once("cookie=").unzip();
    (shown.swap_remove(0), cookie.map(str::to_owned))
}

/// The reply to a message without a question and with these options.
fn without_question(server: &mut Server, options: &[u8], via: Via) -> Vec<String> {
    let mut packet = vec![0x1d, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    packet.extend(opt(1232, 0, options));
    show(server.answer(&packet, "198.51.100.100".parse().unwrap(), via))
}

#[test]
fn section_5_2_a_client_is_given_a_cookie_which_it_may_keep() {
    let mut server = server(ON);
    let whole = format!("{CLIENT}{SERVER}");
    let well = |cookie: &str| ("NOERROR aa".to_owned(), Some(cookie.to_owned()));
    assert_eq!(cookie(&mut server, &format!("cookie={CLIENT}")), well(&whole));
    assert_eq!(cookie(&mut server, &format!("cookie={whole}")), well(&whole));
    assert_eq!(cookie(&mut server, &format!("cookie={whole} tcp")), well(&whole));
    assert_eq!(server.count(Tally::Cookie(CookieResult::New)), 1);
    assert_eq!(server.count(Tally::Cookie(CookieResult::Valid)), 2);
}

#[test]
fn section_5_2_1_who_sends_none_gets_none() {
    assert_eq!(cookie(&mut server(ON), "edns=1232"), ("NOERROR aa".into(), None));
    assert_eq!(server(ON).shown("www.example A").len(), 2, "no OPT");
}

#[test]
fn section_5_2_2_a_cookie_of_a_wrong_length_is_a_format_error() {
    let mut server = server(&format!("{ON}\n[rrl]\nerrors_per_second = 0"));
    for len in 0..=44 {
        let sent = "00".repeat(len);
        let expected = if matches!(len, 8 | 16..=40) { "NOERROR aa" } else { "FORMERR" };
        let (rcode, cookie) = cookie(&mut server, &format!("cookie={sent}"));
        assert_eq!(rcode, expected, "{len}");
        assert_eq!(cookie.is_some(), expected != "FORMERR", "{len}");
    }
}

#[test]
fn section_5_2_3_a_forged_cookie_counts_as_none_and_is_exchanged() {
    let mut server = server(ON);
    let whole = format!("{CLIENT}{SERVER}");
    for forged in [
        format!("{CLIENT}{}", SERVER.replace("9480", "9481")),
        format!("{CLIENT}{}", "11".repeat(8)),
        format!("{CLIENT}{}", "11".repeat(32)),
    ] {
        let got = cookie(&mut server, &format!("cookie={forged}"));
        assert_eq!(got, ("NOERROR aa".into(), Some(whole.clone())), "{forged}");
    }
    assert_eq!(server.count(Tally::Cookie(CookieResult::Invalid)), 3);
}

#[test]
fn section_5_2_3_where_cookies_are_required_a_bad_one_is_told_so_with_a_good_one() {
    let mut server = server(REQUIRED);
    let whole = format!("{CLIENT}{SERVER}");
    for (words, rcode) in [
        (format!("cookie={CLIENT}"), "BADCOOKIE"),
        (format!("cookie={CLIENT}{}", "11".repeat(16)), "BADCOOKIE"),
        (format!("cookie={whole}"), "NOERROR aa"),
        // Its address is proven.
        (format!("cookie={CLIENT} tcp"), "NOERROR aa"),
    ] {
        assert_eq!(cookie(&mut server, &words), (rcode.into(), Some(whole.clone())), "{words}");
    }
    // Who knows no cookies is not shut out.
    assert_eq!(cookie(&mut server, "edns=1232"), ("NOERROR aa".into(), None));
    assert_eq!(server.shown("www.example A")[0], "NOERROR aa");
    assert_eq!(server.count(Tally::Response(Via::Udp, 23)), 2);
}

#[test]
fn section_5_4_a_cookie_alone_may_be_asked_for() {
    let option = [&[0, 10, 0, 8][..], &[0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57]].concat();
    for via in [Via::Udp, Via::Tcp] {
        let mut server = server(ON);
        let line = format!("opt 1232 cookie={CLIENT}{SERVER}");
        assert_eq!(without_question(&mut server, &option, via), ["NOERROR", &line]);
        assert_eq!(without_question(&mut server, &[], via), ["FORMERR", "opt 1232"]);
        // A name server's own name is not a cookie.
        assert_eq!(without_question(&mut server, &[0, 3, 0, 0], via), ["FORMERR", "opt 1232"]);
    }
    // Who asks for one has none yet, and who asks about one learns whether it is good.
    let sent = |server: &[u8]| {
        let half = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
        [&[0, 10, 0, 8 + server.len() as u8][..], &half, server].concat()
    };
    let bytes = |i: usize| u8::from_str_radix(&SERVER[2 * i..2 * i + 2], 16).unwrap();
    let good: [u8; 16] = std::array::from_fn(bytes);
    for (told, via) in [(ON, Via::Udp), (ON, Via::Tcp), (REQUIRED, Via::Udp), (REQUIRED, Via::Tcp)]
    {
        let mut server = server(told);
        for (option, rcode) in
            [(sent(&[]), "NOERROR"), (sent(&good), "NOERROR"), (sent(&[1; 16]), "BADCOOKIE")]
        {
            let line = format!("opt 1232 cookie={CLIENT}{SERVER}");
            assert_eq!(without_question(&mut server, &option, via), [rcode, &line], "{told}");
        }
    }
    let off = "[server]\ncookies = 'off'";
    assert_eq!(without_question(&mut server(off), &option, Via::Udp), ["FORMERR", "opt 1232"]);
}

#[test]
fn every_reply_to_a_question_brings_the_cookie() {
    let mut server = server(ON);
    for (query, rcode) in [
        ("nx.example A", "NXDOMAIN aa"),
        ("example.org A", "REFUSED"),
        ("example AXFR", "REFUSED"),
        ("www.example MAILB", "NOTIMP"),
        ("version.bind TXT class=CH", "REFUSED"),
    ] {
        let shown = server.shown(&format!("{query} from=198.51.100.100 cookie={CLIENT}"));
        assert_eq!(shown[0], rcode, "{query}");
        let opt = shown.last().unwrap();
        assert!(opt.contains(&format!("cookie={CLIENT}{SERVER}")), "{query}: {opt}");
    }
}

#[test]
fn cookies_that_are_off_are_an_option_like_any_unknown() {
    let mut server = server("[server]\ncookies = 'off'");
    assert_eq!(cookie(&mut server, &format!("cookie={CLIENT}")), ("NOERROR aa".into(), None));
}

#[test]
fn a_server_without_a_file_makes_a_secret_of_its_own() {
    let mut server = Server::guarded("", "www A 192.0.2.1");
    let (_, first) = cookie(&mut server, &format!("cookie={CLIENT}"));
    let first = first.unwrap();
    assert_ne!(first, format!("{CLIENT}{SERVER}"));
    let (_, second) = cookie(&mut server, &format!("cookie={first}"));
    assert_eq!(second, Some(first));
    assert_eq!(server.count(Tally::Cookie(CookieResult::Valid)), 1);
}

#[test]
fn a_cookie_takes_its_room_before_records_do() {
    let mut server = Server::guarded(ON, "$GENERATE 1-27 a A 192.0.2.$");
    // 27 of header and question, 27 × 16 of records, 11 of OPT: 470 bytes; the cookie's 28 fit,
    // the 4 + 20 bytes of a network's do not any more.
    let shown = server.shown(&format!("a.example A edns=512 cookie={CLIENT}"));
    assert_eq!(shown.len(), 29);
    let ask = format!("a.example A edns=512 cookie={CLIENT} ecs=2001:db8::/128");
    assert_eq!(server.shown(&ask)[0], "NOERROR aa tc");
}
