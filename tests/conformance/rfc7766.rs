//! RFC 7766: DNS over TCP, on real connections to the real binary.

use crate::desk::{Ask, show};
use crate::support::{
    DEADLINE,
    scratch::Scratch,
    server::Server,
    stream::{Stream, frame},
};
use std::{
    io::{Read, Write},
    net::UdpSocket,
};

/// A server of the zone `example` with `settings` in its `[server]`.
pub(crate) fn serve(settings: &str) -> Server {
    let server =
        format!("[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{settings}\n");
    // 3,900 addresses of 16 bytes behind one owner: nearly all that a length of two bytes allows.
    let huge = (0..3_900).map(|i| format!("huge A 10.0.{}.{}\n", i / 256, i % 256));
    let zone = "$TTL 1h\n@ SOA ns1 host 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n\
                www A 192.0.2.1\n$GENERATE 0-255 a A 192.0.2.$\n";
    let zone = huge.fold(zone.to_owned(), |zone, line| zone + &line);
    Server::start(Scratch::with(&[("tradewind.toml", &server), ("zones/example.zone", &zone)]))
}

/// A query with this id.
pub(crate) fn query(text: &str, id: u16) -> Vec<u8> {
    let mut ask = Ask::new(text);
    ask.id = id;
    ask.packet()
}

fn id(reply: &[u8]) -> u16 {
    u16::from_be_bytes([reply[0], reply[1]])
}

#[test]
fn s5_tcp_and_udp_say_the_same() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(DEADLINE)).unwrap();
    udp.connect(server.udp()).unwrap();
    for text in ["www.example A", "www.example TXT edns=1232", "nx.example A", "other A"] {
        let asked = query(text, 3);
        udp.send(&asked).unwrap();
        let mut reply = [0; 1_232];
        let len = udp.recv(&mut reply).unwrap();
        assert_eq!(stream.ask(&asked).unwrap(), reply[..len], "{text}");
    }
}

#[test]
fn s6_2_1_a_connection_takes_one_query_after_the_other() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    for turn in 0..100 {
        let reply = stream.ask(&query("www.example A", turn)).unwrap();
        assert_eq!((id(&reply), show(&reply)[0].as_str()), (turn, "NOERROR aa"));
    }
}

#[test]
fn s6_2_1_1_pipelined_queries_are_all_answered() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let all: Vec<u8> = (0..64).flat_map(|i| frame(&query("www.example A", i))).collect();
    stream.send(&all);
    for turn in 0..64 {
        assert_eq!(id(&stream.next().unwrap()), turn);
    }
}

#[test]
fn s6_2_1_1_more_than_buffers_hold_may_be_pipelined() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let mut writer = stream.0.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        for turn in 0..5_000 {
            writer.write_all(&frame(&query("a.example A edns=1232", turn))).unwrap();
        }
    });
    // 4 KiB each: 20 MiB in all, more than both ends' sockets take.
    for turn in 0..5_000 {
        let reply = stream.next().unwrap();
        assert_eq!(id(&reply), turn);
        assert!(reply.len() > 4_096);
    }
    sending.join().unwrap();
}

#[test]
fn s6_2_4_what_was_asked_before_the_client_shut_its_side_is_answered() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let all: Vec<u8> = (0..500).flat_map(|i| frame(&query("a.example A", i))).collect();
    stream.send(&all);
    // Half a message more, which nobody can answer.
    stream.send(&frame(&query("www.example A", 1))[..9]);
    stream.finish();
    for turn in 0..500 {
        assert_eq!(id(&stream.next().unwrap()), turn);
    }
    assert_eq!(stream.next(), None);
}

#[test]
fn s8_a_length_and_its_message_leave_together() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    for turn in 0..200 {
        let asked = query("www.example A", turn);
        stream.send(&frame(&asked));
        let mut buf = [0; 512];
        let read = stream.0.read(&mut buf).unwrap();
        assert_eq!(read, 2 + asked.len() + 16, "the reply came in pieces");
    }
}

#[test]
fn s8_messages_cut_anywhere_are_put_together() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let framed = frame(&query("www.example A edns=1232", 7));
    for cut in 0..framed.len() {
        stream.send(&framed[..cut]);
        stream.send(&framed[cut..]);
        assert_eq!(id(&stream.next().unwrap()), 7);
    }
}

#[test]
fn s8_a_reply_may_be_as_long_as_its_prefix_can_say() {
    let server = serve("");
    let mut stream = Stream::connect(server.tcp());
    let reply = stream.ask(&query("huge.example A edns=512", 1)).unwrap();
    assert!(reply.len() > 62_400);
    let lines = show(&reply);
    assert_eq!((lines[0].as_str(), lines.len()), ("NOERROR aa", 1 + 3_900 + 1));
}
