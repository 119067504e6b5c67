//! RFC 9619: a query asks one question.

use crate::desk::{Ask, Server, show};
use tradewind::telemetry::Via;

#[test]
fn any_other_number_of_questions_is_a_format_error() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    let ask = Ask::new("www.example A");
    let one = ask.packet();
    for (count, questions) in [(0, 0), (0, 1), (2, 1), (2, 2), (65_535, 1)] {
        let mut packet = one[..12].to_vec();
        packet[4..6].copy_from_slice(&u16::to_be_bytes(count));
        packet.extend(one[12..].repeat(questions));
        let reply = server.answer(&packet, ask.from, Via::Udp);
        assert_eq!(show(reply), ["FORMERR"], "{count} counted, {questions} there");
    }
}
