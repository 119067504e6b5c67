//! Questions to DNS servers, decoded by hickory-proto.

use super::{DEADLINE, await_some};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{
        Name, RData, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use std::net::{IpAddr, SocketAddr};
use tradewind::{
    clock::SystemClock,
    dns::{AskError, Client, Question, Reply, Transport},
};

/// An absolute name.
pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A question; `client` is a network for ECS, or empty.
pub fn question(owner: &str, rtype: RecordType, client: &str) -> Question {
    let question = Question::new(name(owner), rtype);
    match client {
        "" => question,
        network => question.for_client(network.parse().unwrap()),
    }
}

/// The bytes of a question without EDNS.
pub fn message(owner: &str, rtype: RecordType) -> Vec<u8> {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name(owner), rtype));
    message.to_vec().unwrap()
}

/// Asks once, over UDP.
pub fn try_ask(server: SocketAddr, question: &Question) -> Result<Reply, AskError> {
    let clock = SystemClock::default();
    let mut client = Client::new(&clock, server, DEADLINE, u64::from(server.port()));
    client.ask(question, Transport::Udp)
}

/// Asks once, over UDP; no reply fails the test.
pub fn ask(server: SocketAddr, owner: &str, rtype: RecordType, client: &str) -> Message {
    let question = question(owner, rtype, client);
    let reply = try_ask(server, &question);
    reply.unwrap_or_else(|e| panic!("{owner} {rtype} at {server}: {e}")).message
}

/// Asks a resolver once, as an application's stub would; no reply fails the test.
pub fn resolve(resolver: SocketAddr, owner: &str, rtype: RecordType) -> Message {
    let mut question = question(owner, rtype, "");
    question.recurse = true;
    let reply = try_ask(resolver, &question);
    reply.unwrap_or_else(|e| panic!("{owner} {rtype} at {resolver}: {e}")).message
}

/// The addresses in the answer section, in its order.
pub fn addresses(message: &Message) -> Vec<IpAddr> {
    let records = message.answers.iter();
    records.filter_map(|record| record.data.ip_addr()).collect()
}

/// The ECS scope of a reply, if it has one.
pub fn scope(message: &Message) -> Option<u8> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(ecs) => Some(ecs.scope_prefix()),
        _ => None,
    }
}

/// The serial in the answer section.
pub fn serial(message: &Message) -> Option<u32> {
    message.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}

/// Asks until `accept` likes the reply.
pub fn ask_until(
    server: SocketAddr,
    question: &Question,
    mut accept: impl FnMut(&Message) -> bool,
) -> Message {
    await_some(&format!("a reply to {question:?}"), || {
        let message = try_ask(server, question).ok()?.message;
        accept(&message).then_some(message)
    })
}
