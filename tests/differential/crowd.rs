//! The four servers with the same zones, and what they say to the same questions.

use crate::{
    reply::{Question, Reply},
    support::{
        self, DEADLINE,
        peers::{Authority, Program},
        scratch::Scratch,
        server::Server,
    },
    table::{Case, DIFFERENCES, Written},
};
use std::{collections::BTreeMap, net::UdpSocket, time::Duration};

/// How many questions are under way to each server: what a default receive buffer holds.
const WINDOW: usize = 32;
/// How long a lost datagram is waited for.
const WAIT: Duration = Duration::from_millis(500);
/// How often it is sent before the server counts as silent.
const TRIES: u32 = (DEADLINE.as_millis() / WAIT.as_millis()) as u32;

/// Ours and theirs, running.
pub struct Crowd {
    _ours: Server,
    _theirs: Vec<Authority>,
    to_ours: UdpSocket,
    to_theirs: Vec<(Program, UdpSocket)>,
    /// The id of the next question. No two that are near each other have the same, so that a
    /// reply which comes late, to a question sent twice, is nobody else's.
    next_id: u16,
}

impl Crowd {
    /// Starts all; `None` where one is missing.
    pub fn start(zones: &[(&str, &str)]) -> Option<Self> {
        let mut theirs = Vec::new();
        for program in [Program::Nsd, Program::Knot, Program::Bind] {
            let address = support::free_address([127, 0, 0, 1].into());
            theirs.push((program, Authority::serve(program, address, zones)?));
        }
        let config = "[server]\nlisten = [\"127.0.0.1:0\"]\nstate = \"state\"\n";
        let folder = Scratch::with(&[("tradewind.toml", config)]);
        for (zone, text) in zones {
            folder.write(&format!("zones/{zone}.zone"), text);
        }
        let ours = Server::start(folder);
        let connect = |to| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(to).unwrap();
            socket.set_read_timeout(Some(WAIT)).unwrap();
            socket
        };
        let to_theirs = theirs.iter().map(|(program, it)| (*program, connect(it.address)));
        Some(Crowd {
            to_ours: connect(ours.udp()),
            to_theirs: to_theirs.collect(),
            next_id: 0,
            _ours: ours,
            _theirs: theirs.into_iter().map(|(_, it)| it).collect(),
        })
    }

    /// Asks all `questions`; what the table does not explain of the differences. Counts in
    /// `needed` which of its rows did explain something.
    pub fn differences(
        &mut self,
        questions: &[Question],
        written: &Written,
        needed: &mut BTreeMap<&str, usize>,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        for questions in questions.chunks(WINDOW) {
            let first = self.next_id;
            self.next_id = first.wrapping_add(WINDOW as u16);
            let ours = ask(&self.to_ours, questions, first);
            for (program, socket) in &self.to_theirs {
                for ((question, ours), theirs) in
                    questions.iter().zip(&ours).zip(ask(socket, questions, first))
                {
                    let mut case = Case::new(question, written, &ours.1, &theirs);
                    for row in DIFFERENCES {
                        if !case.agrees() && row.of.contains(program) && (row.excuse)(&mut case) {
                            *needed.entry(row.what).or_default() += 1;
                        }
                    }
                    assert!(ours.0 <= question.limit(), "{question:?}: {} octets", ours.0);
                    if !case.agrees() {
                        differences.push(format!(
                            "{question:?}\n  ours {:?}: {:?}\n  {program:?} {:?}: {:?}\n",
                            ours.0, ours.1, theirs.0, theirs.1
                        ));
                    }
                }
            }
        }
        differences
    }
}

/// The replies of one server, in the order of the questions, and how long they were; ids count
/// from `first`.
fn ask(socket: &UdpSocket, questions: &[Question], first: u16) -> Vec<(usize, Reply)> {
    let mut replies = vec![None; questions.len()];
    let mut buf = [0; 65_535];
    for _ in 0..TRIES {
        let mut missing = 0;
        for (place, question) in questions.iter().enumerate() {
            if replies[place].is_none() {
                socket.send(&question.packet(first.wrapping_add(place as u16))).unwrap();
                missing += 1;
            }
        }
        while missing > 0
            && let Ok(len) = socket.recv(&mut buf)
        {
            let id = u16::from_be_bytes([buf[0], buf[1]]);
            let place = usize::from(id.wrapping_sub(first));
            let Some(question) = questions.get(place) else { continue };
            let reply = Reply::read(&buf[..len], question).filter(|reply| reply.in_form);
            let reply = reply.unwrap_or_else(|| panic!("{question:?}: {:?}", &buf[..len]));
            missing -= usize::from(replies[place].replace((len, reply)).is_none());
        }
        if missing == 0 {
            break;
        }
    }
    replies.into_iter().map(|reply| reply.expect("a server is silent")).collect()
}
