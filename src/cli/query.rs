//! `tradewind query`: a small dig that knows client subnets and can count.

use super::{
    Exit,
    output::{Out, Paint},
    parse, present,
    tally::Tally,
};
use crate::{
    clock::{Clock, Dice},
    dns::{AskError, Client, Question, Reply, Transport, random_seed},
};
use clap::Args;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, Record, RecordType},
};
use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Queries of a tally whose `--count` is not given: a share is then known to about ±3 %.
const TALLY_COUNT: u32 = 1_000;
/// A tally gives up when this many queries in a row get no reply.
const SILENCE_LIMIT: u32 = 3;

const EXAMPLES: &str = "\
Examples:
  tradewind query www.gtm.example.com
      One answer, as the server gives it to this machine.
  tradewind query www.gtm.example.com AAAA --ecs 203.0.113.0/24
      What clients of that network get; `scope` says for whom else it holds.
  tradewind query www.gtm.example.com --count 5000 --tally
      How clients are split, one line an answer, with a 95 % interval.
  tradewind query shop.gtm.example.com --clients --tally
      The same for a sticky name, over random client networks.
  tradewind query gtm.example.com SOA --server 192.0.2.53 --tcp

Exit codes: 0 answered (also NXDOMAIN) · 1 answered with an error · 5 no reply";

/// Ask a DNS server, and count its answers.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct QueryArgs {
    /// The name to ask about
    #[arg(value_parser = parse::name)]
    pub name: Name,
    /// The record type: A, AAAA, MX, …, or TYPE65280
    #[arg(value_name = "TYPE", default_value = "A", value_parser = parse::rtype)]
    pub rtype: RecordType,
    /// The server; without a port 53 is meant
    #[arg(short, long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1:5300", value_parser = parse::server)]
    pub server: SocketAddr,
    /// Ask for clients of this network (EDNS client subnet)
    #[arg(long, value_name = "PREFIX", value_parser = parse::network)]
    pub ecs: Option<IpNet>,
    /// Ask each time for another random client network (a public IPv4 /24)
    #[arg(long, conflicts_with = "ecs")]
    pub clients: bool,
    /// Draw the same client networks as another run with this seed
    #[arg(long, value_name = "N", requires = "clients")]
    pub seed: Option<u64>,
    /// Ask over TCP
    #[arg(long)]
    pub tcp: bool,
    /// How many times to ask, one after the other [default: 1, with --tally 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Print how often each answer came instead of the answers
    #[arg(long)]
    pub tally: bool,
    /// Ask for signatures (DO = 1)
    #[arg(long)]
    pub dnssec: bool,
    /// How long to wait for a reply, in seconds; a silent server is asked three times
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse::timeout)]
    pub timeout: Duration,
}

/// Asks as `args` say and prints what comes back.
pub fn run(args: &QueryArgs, clock: &dyn Clock, out: &mut Out) -> Exit {
    let mut asking = Asking::new(args, clock);
    if args.tally { tally(&mut asking, clock, out) } else { print_each(&mut asking, out) }
}

/// A run of questions after `args`.
struct Asking<'a> {
    args: &'a QueryArgs,
    client: Client<'a>,
    networks: Dice,
}

impl<'a> Asking<'a> {
    fn new(args: &'a QueryArgs, clock: &'a dyn Clock) -> Self {
        let seed = args.seed.unwrap_or_else(random_seed);
        Asking {
            args,
            client: Client::new(clock, args.server, args.timeout, random_seed()),
            networks: Dice::seeded(seed),
        }
    }

    fn ask(&mut self) -> Result<Reply, AskError> {
        let subnet = match self.args.clients {
            true => Some(random_network(&mut self.networks)),
            false => self.args.ecs,
        };
        let question = Question {
            name: self.args.name.clone(),
            rtype: self.args.rtype,
            subnet,
            dnssec: self.args.dnssec,
            recurse: true,
        };
        let transport = match self.args.tcp {
            true => Transport::Tcp,
            false => Transport::Udp,
        };
        self.client.ask(&question, transport)
    }
}

fn print_each(asking: &mut Asking<'_>, out: &mut Out) -> Exit {
    let mut replies = Vec::new();
    let mut exit = Exit::Well;
    for _ in 0..asking.args.count.unwrap_or(1) {
        let reply = match asking.ask() {
            Ok(reply) => reply,
            Err(error) => return no_reply(asking.args, &error, out),
        };
        if exit_of(&reply.message) != Exit::Well {
            exit = exit_of(&reply.message);
        }
        if out.wants_json() {
            replies.push(reply_json(&reply, asking.args.server));
        } else {
            print_reply(&reply, asking.args.server, out);
        }
    }
    if out.wants_json() {
        out.list("replies", &replies);
    }
    exit
}

fn no_reply(args: &QueryArgs, error: &AskError, out: &mut Out) -> Exit {
    let hint = match error {
        AskError::Silent { .. } | AskError::Network { .. } => {
            Some("is the server running there? --server says where to ask")
        }
        _ => None,
    };
    out.error(format_args!("{}: {error}", args.server), hint);
    match error {
        AskError::Silent { .. } | AskError::Network { .. } => Exit::NotReachable,
        AskError::Garbled(_) | AskError::Unspeakable(_) => Exit::Failed,
    }
}

fn exit_of(message: &Message) -> Exit {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Exit::Well,
        _ => Exit::Failed,
    }
}

/// The message in dig's order, without its empty lines.
fn print_reply(reply: &Reply, server: SocketAddr, out: &mut Out) {
    let message = &reply.message;
    let rcode = present::rcode(message.metadata.response_code);
    let paint = match exit_of(message) {
        Exit::Well => Paint::Good,
        _ => Paint::Bad,
    };
    let rcode = out.paint(paint, rcode);
    out.line(format_args!(
        ";; {rcode} from {server} over {} in {:.1} ms, {} bytes; id {}, flags {}",
        reply.transport.word(),
        ms(reply.took),
        reply.bytes,
        message.metadata.id,
        present::flags(&message.metadata),
    ));
    if let Some(edns) = &message.edns {
        out.line(format_args!(";; {}", present::edns(edns)));
    }
    for query in &message.queries {
        let (name, rtype) = (query.name.to_ascii(), present::rtype(query.query_type));
        out.line(format_args!(";{name} IN {rtype}"));
    }
    print_section("answer", &message.answers, out);
    print_section("authority", &message.authorities, out);
    print_section("additional", &message.additionals, out);
}

fn print_section(title: &str, records: &[Record], out: &mut Out) {
    if !records.is_empty() {
        let heading = out.paint(Paint::Faint, format_args!(";; {title}"));
        out.line(heading);
    }
    for record in records {
        out.line(present::record(record));
    }
}

fn reply_json(reply: &Reply, server: SocketAddr) -> Value {
    let mut value = present::message_json(&reply.message);
    value["server"] = json!(server.to_string());
    value["transport"] = json!(reply.transport.word().to_lowercase());
    value["bytes"] = json!(reply.bytes);
    value["ms"] = json!(ms(reply.took));
    value
}

fn tally(asking: &mut Asking<'_>, clock: &dyn Clock, out: &mut Out) -> Exit {
    let begun = clock.now();
    let (mut tally, mut lost, mut silent) = (Tally::default(), 0_u64, 0);
    for _ in 0..asking.args.count.unwrap_or(TALLY_COUNT) {
        match asking.ask() {
            Ok(reply) => {
                silent = 0;
                tally.add(answer_of(&reply.message));
            }
            Err(error) => {
                (lost, silent) = (lost + 1, silent + 1);
                if silent == SILENCE_LIMIT {
                    return no_reply(asking.args, &error, out);
                }
            }
        }
    }
    let took = clock.now().since(begun);
    if out.wants_json() {
        out.schema(&tally_json(asking.args, &tally, lost));
    } else {
        print_tally(asking.args, &tally, lost, took, out);
    }
    match lost {
        0 => Exit::Well,
        _ => Exit::Failed,
    }
}

/// What is counted: the answer section's data in order, or why there is none.
fn answer_of(message: &Message) -> String {
    match message.metadata.response_code {
        ResponseCode::NoError if message.answers.is_empty() => "(no data)".to_owned(),
        ResponseCode::NoError => {
            let data: Vec<_> = message.answers.iter().map(|r| present::rdata(&r.data)).collect();
            data.join(", ")
        }
        code => format!("({})", present::rcode(code)),
    }
}

fn print_tally(args: &QueryArgs, tally: &Tally, lost: u64, took: Duration, out: &mut Out) {
    let (name, rtype) = (args.name.to_ascii(), present::rtype(args.rtype));
    let asked = tally.total() + lost;
    let seconds = took.as_secs_f64();
    out.line(format_args!(
        ";; {name} {rtype} from {}: {asked} queries in {seconds:.1} s, {lost} without a reply",
        args.server
    ));
    let heading = out.paint(Paint::Strong, "   share      95 % interval     count  answer");
    out.line(heading);
    for share in tally.shares() {
        let (low, high) = share.interval;
        out.line(format_args!(
            "{:6.2} %  {:6.2} .. {:6.2} %  {:8}  {}",
            share.share * 100.0,
            low * 100.0,
            high * 100.0,
            share.count,
            share.answer,
        ));
    }
}

fn tally_json(args: &QueryArgs, tally: &Tally, lost: u64) -> Value {
    let answers: Vec<_> = tally
        .shares()
        .into_iter()
        .map(|share| {
            json!({
                "answer": share.answer,
                "count": share.count,
                "share": share.share,
                "interval_95": [share.interval.0, share.interval.1],
            })
        })
        .collect();
    json!({
        "server": args.server.to_string(),
        "name": args.name.to_ascii(),
        "type": present::rtype(args.rtype),
        "answered": tally.total(),
        "lost": lost,
        "answers": answers,
    })
}

/// A /24 that could be a client's: unicast, and neither private nor set apart for this host,
/// links or carriers' own networks (RFC 6890).
fn random_network(dice: &mut Dice) -> IpNet {
    loop {
        let address = Ipv4Addr::from((dice.roll() >> 32) as u32 & 0xffff_ff00);
        let [first, second, ..] = address.octets();
        let shared = first == 100 && (64..128).contains(&second);
        let set_apart = matches!(first, 0 | 127 | 224..) || shared;
        if !set_apart && !address.is_private() && !address.is_link_local() {
            return Ipv4Net::new_assert(address, 24).into();
        }
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
mod tests;
