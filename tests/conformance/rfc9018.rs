//! RFC 9018: cookies that servers of all makes agree on. Appendix A, asked for at the door.

use crate::desk::Server;
use std::time::Duration;

/// What a client at `from` which sends `cookie` at `wall` gets.
fn cookie(file: &str, from: &str, cookie: &str, wall: u32) -> String {
    let told = format!("[server]\ncookies = {{ secret_file = '{file}' }}");
    let mut server = Server::guarded(&told, "www A 192.0.2.1");
    server.at(Duration::ZERO, wall);
    let shown = server.shown(&format!("www.example A from={from} cookie={cookie}"));
    shown.last().unwrap().strip_prefix("opt 1232 cookie=").unwrap().to_owned()
}

const A1: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
const A3: &str = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";

#[test]
fn appendix_a_1_learning_a_new_server_cookie() {
    assert_eq!(cookie("secrets/first", "198.51.100.100", &A1[..16], 1_559_731_985), A1);
}

#[test]
fn appendix_a_2_the_same_client_learning_a_renewed_server_cookie() {
    let kept = cookie("secrets/first", "198.51.100.100", A1, 1_559_731_985 + 1_800);
    assert_eq!(kept, A1, "half an hour old");
    let renewed = cookie("secrets/first", "198.51.100.100", A1, 1_559_734_385);
    assert_eq!(renewed, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77");
}

#[test]
fn appendix_a_3_another_client_learning_a_renewed_server_cookie() {
    // Its reserved bytes are set; they are part of the hash, and no reason to refuse it.
    assert_eq!(cookie("secrets/first", "203.0.113.203", A3, 1_559_727_985 + 60), A3);
    let renewed = cookie("secrets/first", "203.0.113.203", A3, 1_559_734_700);
    assert_eq!(renewed, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
}

#[test]
fn appendix_a_4_ipv6_query_with_rolled_over_secret() {
    let old = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
    let from = "2001:db8:220:1:59de:d0f4:8769:82b8";
    let renewed = cookie("secrets/rolled", from, old, 1_559_741_961);
    assert_eq!(renewed, "22681ab97d52c298010000005cf7c609a6bb79d16625507a");
}
