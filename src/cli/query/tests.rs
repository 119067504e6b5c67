//! `query` against a scripted server on a loopback socket.

use super::*;
use crate::{cli::output::tests::Page, clock::SystemClock};
use clap::Parser;
use hickory_proto::{
    op::{Edns, MessageType},
    rr::{
        RData,
        rdata::{
            A, SOA, TXT,
            opt::{ClientSubnet, EdnsCode, EdnsOption},
        },
    },
};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpListener, UdpSocket},
    thread::{self, JoinHandle},
};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    query: QueryArgs,
}

/// Answers `count` datagrams with what `reply` makes of each query.
fn serve_udp(
    count: usize,
    mut reply: impl FnMut(Message) -> Message + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let mut buffer = [0; 1232];
        for _ in 0..count {
            let (bytes, from) = socket.recv_from(&mut buffer).unwrap();
            let query = Message::from_vec(&buffer[..bytes]).unwrap();
            socket.send_to(&reply(query).to_vec().unwrap(), from).unwrap();
        }
    });
    (address, thread)
}

fn respond(mut message: Message) -> Message {
    message.metadata.message_type = MessageType::Response;
    message.metadata.authoritative = true;
    message
}

fn answer(message: Message, data: RData) -> Message {
    let name = message.queries[0].name.clone();
    let mut message = respond(message);
    message.add_answer(Record::from_rdata(name, 30, data));
    message
}

fn subnet_of(message: &Message) -> ClientSubnet {
    match message.edns.as_ref().unwrap().option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(ecs)) => *ecs,
        other => panic!("{other:?}"),
    }
}

/// Runs `query ARGS --server SERVER`; gives exit, stdout, stderr.
fn query(server: SocketAddr, json: bool, args: &str) -> (Exit, String, String) {
    let server = format!("--server={server}");
    let argv = ["query"].into_iter().chain(args.split(' ')).chain([server.as_str()]);
    let args = Cli::parse_from(argv).query;
    let (data, errors) = (Page::default(), Page::default());
    let mut out = Out::into_writers(json, data.clone(), errors.clone());
    let exit = run(&args, &SystemClock::default(), &mut out);
    (exit, data.text(), errors.text())
}

/// `text` without its first line's time, size and id, which differ from run to run.
fn steady(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" in ") {
        Some((before, after)) if line.starts_with(";; ") => {
            let flags = after.split_once(", flags").map_or("", |x| x.1);
            format!("{before}, flags{flags}\n")
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn an_answer_is_printed_whole_with_scope_and_flags() {
    let (server, thread) = serve_udp(1, |query| {
        let asked = subnet_of(&query);
        assert_eq!((asked.addr().to_string(), asked.source_prefix()), ("203.0.113.0".into(), 24));
        let mut reply = answer(query, RData::A(A::new(192, 0, 2, 10)));
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        let scoped = ClientSubnet::new(asked.addr(), 24, 16);
        edns.options_mut().insert(EdnsOption::Subnet(scoped));
        reply.set_edns(edns);
        reply
    });
    let (exit, text, _) = query(server, false, "www.Example.org --ecs 203.0.113.77/24");
    thread.join().unwrap();
    assert_eq!(exit, Exit::Well);
    assert_eq!(
        steady(&text),
        format!(
            ";; NOERROR from {server} over UDP, flags qr aa rd\n\
             ;; EDNS version 0, udp 1232; ECS 203.0.113.0/24 scope /16\n\
             ;www.Example.org. IN A\n\
             ;; answer\n\
             www.Example.org. 30 IN A 192.0.2.10\n"
        )
    );
}

#[test]
fn json_has_the_same_and_an_error_rcode_exits_1() {
    let (server, thread) = serve_udp(2, |query| {
        let mut reply = respond(query);
        match reply.queries[0].query_type {
            RecordType::TXT => answer(reply, RData::TXT(TXT::new(vec!["v=1".into()]))),
            _ => {
                reply.metadata.response_code = ResponseCode::Refused;
                reply
            }
        }
    });
    let (exit, text, _) = query(server, true, "example.org txt");
    assert_eq!(exit, Exit::Well);
    let replies = serde_json::from_str::<Value>(&text).unwrap()["replies"].take();
    assert_eq!(replies[0]["answer"][0]["data"], "\"v=1\"");
    assert_eq!(replies[0]["ecs"], Value::Null);
    assert_eq!(replies[0]["transport"], "udp");

    let (exit, text, _) = query(server, true, "example.org type65280");
    assert_eq!(exit, Exit::Failed);
    let replies = serde_json::from_str::<Value>(&text).unwrap()["replies"].take();
    assert_eq!(replies[0]["rcode"], "REFUSED");
    thread.join().unwrap();
}

#[test]
fn a_truncated_reply_is_asked_for_again_over_tcp() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(server).unwrap();
    let thread = thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 1232];
        let (bytes, from) = udp.recv_from(&mut buffer)?;
        let mut reply = respond(Message::from_vec(&buffer[..bytes]).unwrap());
        reply.metadata.truncation = true;
        udp.send_to(&reply.to_vec().unwrap(), from)?;

        let (mut stream, _) = tcp.accept()?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let query = Message::from_vec(&query).unwrap();
        let reply = answer(query, RData::A(A::new(192, 0, 2, 1))).to_vec().unwrap();
        stream.write_all(&(reply.len() as u16).to_be_bytes())?;
        stream.write_all(&reply)
    });
    let (exit, text, _) = query(server, false, "example.org");
    thread.join().unwrap().unwrap();
    assert_eq!(exit, Exit::Well);
    assert!(text.contains("over TCP") && text.contains("IN A 192.0.2.1"), "{text}");
}

#[test]
fn a_tally_counts_answers_over_clients_and_is_the_same_for_the_same_seed() {
    let run = || {
        let (server, thread) = serve_udp(200, |query| {
            // A split by client network, as sticky names have it.
            let third = match subnet_of(&query).addr() {
                IpAddr::V4(address) => address.octets()[2],
                IpAddr::V6(_) => panic!("not asked for"),
            };
            let host = if third < 64 { 2 } else { 1 };
            answer(query, RData::A(A::new(192, 0, 2, host)))
        });
        let args = "example.org --clients --seed 7 --count 200 --tally";
        let (exit, text, _) = query(server, true, args);
        thread.join().unwrap();
        assert_eq!(exit, Exit::Well);
        serde_json::from_str::<Value>(&text).unwrap()["answers"].clone()
    };
    let answers = run();
    assert_eq!(answers[0]["answer"], "192.0.2.1");
    assert_eq!(answers[1]["answer"], "192.0.2.2");
    let share = answers[1]["share"].as_f64().unwrap();
    assert!((0.12..0.38).contains(&share), "25 % expected, {share} counted");
    assert_eq!(answers, run());
}

#[test]
fn names_without_data_are_tallied_by_what_they_are() {
    let (server, thread) = serve_udp(4, |query| {
        let name = query.queries[0].name.clone();
        let mut reply = respond(query);
        let soa = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, 1);
        reply.add_authority(Record::from_rdata(name.clone(), 5, RData::SOA(soa)));
        if name.num_labels() > 2 {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        reply
    });
    let (_, text, _) = query(server, false, "example.org --count 2 --tally");
    assert!(text.ends_with("100.00 %   34.24 .. 100.00 %         2  (no data)\n"), "{text}");
    let (exit, text, _) = query(server, false, "x.example.org --count 2 --tally");
    assert!(text.ends_with("2  (NXDOMAIN)\n"), "{text}");
    assert_eq!(exit, Exit::Well);
    thread.join().unwrap();
}

#[test]
fn a_late_reply_to_an_earlier_question_is_not_taken_for_this_one() {
    let clock = SystemClock::default();
    let question = Question::new(parse::name("example.org").unwrap(), RecordType::A);
    let (server, thread) = serve_udp(1, |query| {
        let mut stale = answer(query, RData::A(A::new(192, 0, 2, 3)));
        stale.metadata.id ^= 1;
        stale
    });
    let mut client = Client::new(&clock, server, Duration::from_millis(20), 1);
    // The one reply has a strange id; the server then goes away and the kernel says so.
    assert!(client.ask(&question, Transport::Udp).is_err());
    thread.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_exits_5_with_a_hint() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for args in
        ["example.org --timeout 0.05", "example.org --tally --timeout 0.05", "example.org --tcp"]
    {
        let (exit, text, errors) = query(gone, false, args);
        assert_eq!(exit, Exit::NotReachable, "{args}");
        assert_eq!(text, "");
        assert!(errors.starts_with(&format!("error: {gone}: ")), "{errors}");
        assert!(errors.contains("hint: "), "{errors}");
    }
}

#[test]
fn options_fit_together_and_help_teaches_by_examples() {
    use clap::CommandFactory;
    let mut command = Cli::command();
    command.clone().debug_assert();
    let help = command.render_help().to_string();
    assert!(help.contains("--count 5000 --tally"), "{help}");
    let both = ["query", "x.example", "--clients", "--ecs", "192.0.2.0/24"];
    assert!(Cli::try_parse_from(both).is_err());
}

#[test]
fn random_networks_are_public() {
    let mut dice = Dice::seeded(1);
    for _ in 0..20_000 {
        let IpAddr::V4(address) = random_network(&mut dice).addr() else {
            panic!("IPv4 was promised");
        };
        assert!(!address.is_private() && !address.is_loopback() && !address.is_multicast());
        assert!(address.octets()[0] != 0 && address.octets()[3] == 0, "{address}");
    }
}
