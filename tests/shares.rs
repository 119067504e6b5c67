//! The shares an operator writes are the shares clients get, over real packets.

mod support;

use hickory_proto::rr::RecordType;
use std::net::{IpAddr, Ipv4Addr};
use support::{
    load::{Ask, ask_all},
    scratch::Scratch,
    server::Server,
};

const STABLE: &str = "192.0.2.10";
const CANARY: &str = "192.0.2.20";
const QUERIES: usize = 100_000;

/// `www` draws for each query, `beta` for each client network; the canary's share is written.
fn zone(canary: u32) -> String {
    let stable = 100 - canary;
    let members = format!(
        "[{{ pool = \"stable\", weight = {stable} }}, \
         {{ pool = \"canary\", weight = {canary}, absorb = false }}]"
    );
    format!(
        r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
check  = "none"
static = "ns1 60 IN A 127.0.0.53"
[pools.stable]
endpoints = [{{ name = "stable-1", ipv4 = "{STABLE}" }}]
[pools.canary]
endpoints = [{{ name = "canary-1", ipv4 = "{CANARY}" }}]
[records.www]
policy  = "weighted"
members = {members}
[records.beta]
policy  = "weighted"
members = {members}
sticky  = "client"
"#
    )
}

fn serve(canary: u32) -> Server {
    Server::start(Scratch::with(&[
        ("tradewind.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\n"),
        ("zones/gtm.example.toml", &zone(canary)),
    ]))
}

/// Whether an answer is the canary's.
fn is_canary(address: IpAddr) -> bool {
    assert!([STABLE, CANARY].contains(&&*address.to_string()), "{address}");
    address.to_string() == CANARY
}

#[test]
fn a_tenth_of_a_hundred_thousand_queries_is_a_tenth() {
    let server = serve(10);
    let question = Ask::a("www.gtm.example");
    let (mut canary, mut answers) = (0_u32, 0);
    ask_all(server.udp(), std::iter::repeat_n(question, QUERIES), |_, answer| {
        answers += 1;
        canary += u32::from(is_canary(answer.address()));
    });
    assert_eq!(answers, QUERIES);
    let (n, share) = (QUERIES as f64, 0.1);
    let sigma = (n * share * (1.0 - share)).sqrt();
    let off = (f64::from(canary) - n * share) / sigma;
    println!("{canary} of {QUERIES} got the canary: {off:+.2} sigma");
    assert!(off.abs() <= 4.5, "{canary} of {QUERIES}: {off} sigma");
}

/// Client network number `n`: the /24s from 11.0.0.0 on.
fn network(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(11, 0, 0, 0)) + ((n as u32) << 8))
}

/// Which client networks get the canary, for clients at `host` of each.
fn canaries(server: &Server, host: u8) -> Vec<bool> {
    let ask = |n| {
        let [a, b, c, _] = network(n).octets();
        // Every other client tells its whole address, as some resolvers do.
        let client = match n % 2 {
            0 => format!("{a}.{b}.{c}.0/24"),
            _ => format!("{a}.{b}.{c}.{host}/32"),
        };
        Ask::new("beta.gtm.example", RecordType::A, &client)
    };
    let mut canaries = vec![false; QUERIES];
    ask_all(server.udp(), (0..QUERIES).map(ask), |n, answer| {
        canaries[n] = is_canary(answer.address());
    });
    canaries
}

#[test]
fn a_client_keeps_its_answer_and_a_growing_canary_takes_only_what_it_is_given() {
    let server = serve(10);
    let before = canaries(&server, 1);
    let share = |canaries: &[bool]| {
        canaries.iter().filter(|is_canary| **is_canary).count() as f64 / QUERIES as f64
    };
    println!("sticky: {:.4} of the clients at 10 %", share(&before));
    assert!((share(&before) - 0.1).abs() < 4.5 * (0.09 / QUERIES as f64).sqrt());
    assert!(before == canaries(&server, 200), "one client network, one answer");

    server.folder.write("zones/gtm.example.toml", &zone(20));
    let since = server.last_event();
    server.signal("HUP");
    server.await_event("the reload", since, |event| event["event"] == "loaded");
    let after = canaries(&server, 1);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    let returned = before.iter().zip(&after).filter(|(before, after)| **before && !**after);
    assert_eq!(returned.count(), 0, "nobody moves from the canary to stable");
    println!("sticky: {:.4} at 20 %; {moved} of {QUERIES} moved", share(&after));
    assert!(moved as f64 <= 0.105 * QUERIES as f64, "{moved}");
    assert!((share(&after) - 0.2).abs() < 4.5 * (0.16 / QUERIES as f64).sqrt());

    // A restart draws the same lots.
    let server = Server::start(server.kill());
    assert!(after == canaries(&server, 77), "the same after a restart");
}
