//! What is published while people ask costs nobody an answer: not a zone of a million names that is
//! read anew (the figures of DESIGN §6 on changes under load). Verdicts are in `flips.rs`, location
//! databases in `reload.rs`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{fmt::Write as _, time::Duration};
use support::{
    DEADLINE, figure,
    load::{Ask, Exchange, Stream},
    scratch::Scratch,
    server::Server,
};
use tradewind::clock::SystemClock;

/// An unoptimised build takes half a minute for a million.
const NAMES: u32 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
/// What is in flight fits every buffer, so that what is lost was lost by the server.
const QUERIES_PER_SECOND: u32 = 2_000;
/// No answer takes longer. Of two cores the load takes one, so a thread that answers may wait for
/// its turn; unoptimised beside others more often.
const HELD_UP_MAX: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 250 });

const SERVER: &str = "[server]\nlisten = ['127.0.0.1:0']\nadmin = '127.0.0.1:0'\n";

/// All its addresses are of this `version`.
fn zone(version: u8) -> String {
    let mut zone = "$TTL 300\n@ IN SOA ns1 host 1 2 3 4 5\n@ IN NS ns1.elsewhere.\n".to_owned();
    for n in 0..NAMES {
        writeln!(zone, "n{n:07} IN A 10.{}.{}.{version}", n >> 8 & 255, n & 255).unwrap();
    }
    zone
}

#[test]
fn a_large_zone_reloaded_under_load_loses_no_question_and_holds_none_up() {
    let folder = Scratch::with(&[("tradewind.toml", SERVER), ("zones/big.test.zone", &zone(0))]);
    let (server, clock) = (Server::start(folder), SystemClock::default());
    let names = [1, NAMES / 2, NAMES - 1].map(|n| Ask::a(&format!("n{n:07}.big.test")));
    let stream = Stream::start(server.udp(), clock, names.into(), QUERIES_PER_SECOND);
    let version = |exchange: &Exchange| match exchange.answer.addresses[..] {
        [std::net::IpAddr::V4(address)] => address.octets()[3],
        _ => panic!("not one address: {exchange:?}"),
    };
    for next in 1..=3 {
        server.folder.write("zones/big.test.zone", &zone(next));
        let reply = server.reload();
        assert_eq!(reply["accepted"], true, "{reply}");
        stream.await_answer("the new zone", DEADLINE, |exchange| version(exchange) == next);
    }
    // Stopping finds that nothing was lost.
    let exchanges = stream.stop();
    let mut newest = 0;
    for exchange in &exchanges {
        assert!(version(exchange) + 1 >= newest, "an old answer: {exchange:?}");
        newest = newest.max(version(exchange));
    }
    let slowest = exchanges.iter().map(|e| e.answered.since(e.asked)).max().unwrap();
    figure(
        "three reloads under load",
        format_args!(
            "{NAMES} names: {} answers, none lost, the slowest after {slowest:.1?}",
            exchanges.len()
        ),
    );
    assert!(slowest <= HELD_UP_MAX, "{slowest:?}");
    for drops in ["tradewind_udp_kernel_drops_total", "tradewind_udp_send_drops_total"] {
        assert_eq!(server.metric(drops), 0.0, "{drops}");
    }
}
