//! Conformance, judged by those who have it: the same zones served by NSD, by Knot and by us, and
//! the same questions to all three.
//!
//! Compared are rcode, AA, the answer section (aliases in their order, all else as a set), the
//! authority section, and of the additional section the glue of referrals; what else stands there
//! is each server's own taste. Where we differ, and on what ground, is the table in
//! [`where_we_differ_an_rfc_is_with_us`].

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Record, RecordType},
};
use std::{collections::BTreeSet, net::SocketAddr};
use support::{
    DEADLINE, dns,
    peers::{Authority, Program},
    scratch::Scratch,
    server::Server,
    signer::{Chain, Signer, sign},
    zones::RandomZone,
};
use tradewind::{
    clock::{Dice, SystemClock},
    dns::{Client, Question, Transport},
};

/// How many random zones are served, of how many records, and asked how many questions each.
const ZONES: usize = 12;
const RECORDS: usize = 60;
const QUESTIONS: usize = 300;

/// How many of each kind of chain are signed and served.
const SIGNED_ZONES: usize = 4;

/// How many answers of one zone may have other proofs than NSD's or Knot's.
const ODD_MAX: usize = QUESTIONS / 3;

/// What is compared of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gist {
    rcode: ResponseCode,
    authoritative: bool,
    /// CNAMEs and DNAMEs, which lead from one to the next.
    aliases: Vec<String>,
    answers: BTreeSet<String>,
    authority: BTreeSet<String>,
    glue: BTreeSet<String>,
}

impl Gist {
    fn of(message: &Message) -> Self {
        let authoritative = message.metadata.authoritative;
        let (aliases, answers): (Vec<_>, Vec<_>) = message.answers.iter().partition(is_alias);
        let glue = message.additionals.iter().filter(|_| !authoritative);
        Gist {
            rcode: message.metadata.response_code,
            authoritative,
            aliases: aliases.into_iter().map(text).collect(),
            answers: answers.into_iter().map(text).collect(),
            authority: message.authorities.iter().map(text).collect(),
            glue: glue.map(text).collect(),
        }
    }
}

impl Gist {
    /// Whether it is what two others say, with all proofs that both have and none that neither
    /// has; unless a name `begins` with `*`, of which both forget that it may be expanded. They differ where a wildcard owns nothing or is asked for itself: Knot and NSD each
    /// leave out what a resolver needs then (RFC 4035 §3.1.3.4), or give more (RFC 5155 §7.2.3); and
    /// NSD proves less of an empty non-terminal that opted out (RFC 5155 §7.2.4).
    fn proves_between(&self, others: [&Gist; 2], begins: bool) -> bool {
        let like_ours = |gist: &Gist| Gist { authority: self.authority.clone(), ..gist.clone() };
        let [a, b] = others.map(|gist| &gist.authority);
        others.iter().all(|gist| like_ours(gist) == *self)
            && self.authority.is_superset(&(a & b))
            && (begins || self.authority.is_subset(&(a | b)))
    }
}

fn is_alias(record: &&Record) -> bool {
    matches!(record.record_type(), RecordType::CNAME | RecordType::DNAME)
}

/// A record as text; case says nothing.
fn text(record: &Record) -> String {
    record.to_string().to_ascii_lowercase()
}

/// Ours and theirs, with the same zones.
struct Trio {
    ours: Server,
    nsd: Authority,
    knot: Authority,
}

impl Trio {
    /// Starts all three on `127.0.net.1` to `.3`; `None` where one is missing.
    fn start(net: u8, zones: &[(&str, &str)]) -> Option<Self> {
        let free = |host| support::free_address([127, 0, net, host].into());
        let nsd = Authority::serve(Program::Nsd, free(2), zones)?;
        let knot = Authority::serve(Program::Knot, free(3), zones)?;
        let config = format!("[server]\nlisten = [\"127.0.{net}.1:0\"]\nstate = \"state\"\n");
        let folder = Scratch::with(&[("tradewind.toml", &config)]);
        for (zone, text) in zones {
            folder.write(&format!("zones/{zone}.zone"), text);
        }
        Some(Trio { ours: Server::start(folder), nsd, knot })
    }

    /// Ours, NSD's, Knot's.
    fn addresses(&self) -> [SocketAddr; 3] {
        [self.ours.udp(), self.nsd.address, self.knot.address]
    }

    /// Asks all three all `questions`, for the DNSSEC records of a `chain` too if that is said, and
    /// lists where ours is not the answer of both.
    fn differences<'q>(
        &self,
        chain: Option<Chain>,
        questions: impl IntoIterator<Item = (String, &'q str)>,
    ) -> Vec<String> {
        let clock = SystemClock::default();
        let mut clients = self.addresses().map(|at| Client::new(&clock, at, DEADLINE, 1));
        let (mut differences, mut odd) = (Vec::new(), 0);
        for (owner, rtype) in questions {
            let question = dns::question(&owner, rtype.parse().unwrap(), "");
            let question = Question { dnssec: chain.is_some(), ..question };
            let [ours, nsd, mut knot] = clients.each_mut().map(|client| {
                let reply = client.ask(&question, Transport::Udp);
                Gist::of(&reply.unwrap_or_else(|e| panic!("{owner} {rtype}: {e}")).message)
            });
            // Knot writes a CNAME of `*` to itself twice; a set has no doubles (RFC 2181 §5).
            knot.aliases.dedup();
            let is_same = match (ours == nsd && ours == knot, chain) {
                (false, Some(_)) => {
                    odd += 1;
                    ours.proves_between([&nsd, &knot], owner.starts_with("*."))
                }
                (is_same, _) => is_same,
            };
            if !is_same {
                differences.push(format!(
                    "{owner} {rtype}\n  ours {ours:?}\n  NSD  {nsd:?}\n  Knot {knot:?}\n"
                ));
            }
        }
        assert!(odd < ODD_MAX, "in {odd} answers NSD's or Knot's proofs are not ours");
        differences
    }
}

#[test]
fn random_zones_are_answered_as_nsd_and_knot_answer_them() {
    let mut dice = Dice::seeded(20_26);
    let draw = |number| RandomZone::draw(&format!("z{number}.example.test"), RECORDS, &mut dice);
    let zones: Vec<RandomZone> = (0..ZONES).map(draw).collect();
    let texts: Vec<String> = zones.iter().map(|zone| zone.text(&mut dice)).collect();
    let pairs = zones.iter().zip(&texts);
    let pairs: Vec<_> = pairs.map(|(zone, text)| (zone.origin.as_str(), text.as_str())).collect();
    let Some(trio) = Trio::start(74, &pairs) else { return };
    for (zone, text) in zones.iter().zip(&texts) {
        let differences = trio.differences(None, (0..QUESTIONS).map(|_| zone.question(&mut dice)));
        assert!(differences.is_empty(), "{}\n{text}", differences.join(""));
    }
}

#[test]
fn signed_random_zones_are_answered_as_nsd_and_knot_answer_them() {
    let mut dice = Dice::seeded(40_35);
    let signers = [Signer::Bind, Signer::Ldns];
    let chains = [Chain::Nsec, Chain::Nsec3, Chain::OptOut];
    let mut zones = Vec::new();
    for (number, chain) in (0..SIGNED_ZONES).flat_map(|n| chains.map(|chain| (n, chain))) {
        let origin = format!("{chain:?}{number}.example.test").to_lowercase();
        let zone = RandomZone::draw(&origin, RECORDS, &mut dice);
        let zone = if chain == Chain::OptOut { zone.without_wildcards() } else { zone };
        let signer = signers[number % signers.len()];
        let Some(signed) = sign(signer, chain, &origin, &zone.text(&mut dice), &[]) else { return };
        zones.push((zone, chain, signed.text));
    }
    let pairs: Vec<_> =
        zones.iter().map(|(zone, _, text)| (zone.origin.as_str(), text.as_str())).collect();
    let Some(trio) = Trio::start(70, &pairs) else { return };
    for (zone, chain, text) in &zones {
        for chain in [Some(*chain), None] {
            let questions = (0..QUESTIONS).map(|_| zone.question(&mut dice));
            let differences = trio.differences(chain, questions);
            assert!(differences.is_empty(), "{}\n{text}", differences.join(""));
        }
    }
}

/// A zone, one below a cut in it, one below a name that does not exist there, and a stranger.
const FAMILY: [(&str, &str); 4] = [
    (
        "example.test",
        "$TTL 300
@ IN SOA ns h 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
cut IN NS ns.cut
cut IN DS 1 13 2 abababababababababababababababababababababababababababababababab
ns.cut IN A 127.0.0.2
away IN NS ns.away
away IN NS ns.cut
ns.away IN AAAA ::2
*.wild IN TXT \"wild\"
to.wild IN CNAME x.cut
",
    ),
    (
        "cut.example.test",
        "$TTL 300
@ IN SOA ns h 2 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.2
www IN A 192.0.2.2
",
    ),
    (
        "deep.wild.example.test",
        "$TTL 300\n@ IN SOA ns h 3 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.3\n",
    ),
    (
        "test",
        "$TTL 300\n@ IN SOA ns h 4 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.4\n\
         example IN NS ns.example\nns.example IN A 127.0.0.1\n\
         dname IN DNAME cut.example.test.\n*.a IN A 192.0.2.4\n",
    ),
];

#[test]
fn zones_within_zones_are_answered_as_nsd_and_knot_answer_them() {
    let Some(trio) = Trio::start(75, &FAMILY) else { return };
    let names = [
        "test",
        "x.test",
        "a.test",
        "x.a.test",
        "b.x.a.test",
        "example.test",
        "cut.example.test",
        "www.cut.example.test",
        "x.cut.example.test",
        "away.example.test",
        "x.away.example.test",
        "ns.away.example.test",
        "wild.example.test",
        "x.wild.example.test",
        "deep.wild.example.test",
        "x.deep.wild.example.test",
        "dname.test",
        "elsewhere",
    ];
    let types = ["A", "AAAA", "NS", "DS", "SOA", "TXT", "CNAME", "DNAME"];
    let questions = names.iter().flat_map(|name| types.map(|rtype| (name.to_string(), rtype)));
    let differences = trio.differences(None, questions);
    assert!(differences.is_empty(), "{}", differences.join(""));
}

/// Where the protocol leaves a choice, or others took a liberty.
const ODD: [(&str, &str); 3] = [
    (
        "odd.test",
        "$TTL 300
@ IN SOA ns h 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
host IN A 192.0.2.1
grow IN DNAME grow.grow
*.self IN CNAME *.self
there IN CNAME www.even.test.
*.cut IN NS ns
mail IN MX 1 x.wild
*.wild IN A 192.0.2.2
",
    ),
    (
        "even.test",
        "$TTL 300\n@ IN SOA ns h 2 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.2\n\
         www IN A 192.0.2.3\n",
    ),
    ("lost.even.test", "@ 300 IN SOA ns h 3 3600 600 86400 60\n@ 300 IN NS ns.even.test.\n"),
];

/// What is asked below `test`, what we answer ([`shape`]), and why others do not. Theirs is not
/// asserted: it changes with their versions (these are NSD 4.6 and Knot 3.2).
const DIFFERENCES: [(&str, u16, &str, &str); 12] = [
    (
        "there.odd",
        A,
        "NoError aa [CNAME] [] []",
        "NSD goes on into another zone of its own. A resolver has to ask for it anyhow, for it \
         believes nobody about a zone that it did not ask (RFC 5452 §6, RFC 2181 §5.4.1)",
    ),
    (
        "x.grow.odd",
        A,
        "NoError aa [DNAME CNAME×17] [] []",
        "a name that grows for ever: NSD stops after 1 CNAME, Knot after 5, we after 17; the \
         DNAME stands there once, which is all that a resolver needs (RFC 6672 §3.1)",
    ),
    (
        "*.self.odd",
        A,
        "NoError aa [CNAME] [] []",
        "Knot writes the record twice; a set has no doubles (RFC 2181 §5)",
    ),
    (
        "x.cut.odd",
        A,
        "NoError aa [] [SOA] []",
        "Knot refers to the name servers of `*`; what they would mean is left open, so they are \
         data to be synthesised and delegate nothing (RFC 4592 §4.2); NSD does likewise",
    ),
    (
        "*.cut.odd",
        NS,
        "NoError aa [NS] [] [A]",
        "asked for the very `*`, NSD and Knot both refer (RFC 4592 §4.2, as above)",
    ),
    (
        "mail.odd",
        MX,
        "NoError aa [MX] [] []",
        "Knot adds addresses made from a wildcard: allowed, not asked for (RFC 1034 §4.3.2 step 6)",
    ),
    (
        "lost.even",
        DS,
        "NXDomain aa [] [SOA] []",
        "we serve the zone, but its parent does not know it. The parent answers for DS (RFC 4035 \
         §3.1.4.1), and says so, as Knot does; NSD says NODATA",
    ),
    (
        "host.odd",
        128,
        "FormErr [] [] []",
        "NSD and Knot say NODATA; nobody may ask for NXNAME (RFC 9824)",
    ),
    (
        "host.odd",
        OPT,
        "FormErr [] [] []",
        "NSD and Knot say NODATA; meta types stand for no data (RFC 6895 §3.1)",
    ),
    (
        "host.odd",
        MAILB,
        "NotImp [] [] []",
        "NSD and Knot say NODATA; that would be wrong where MB records are (RFC 1035 §3.2.3)",
    ),
    (
        "odd",
        AXFR,
        "Refused [] [] []",
        "over UDP, where it means nothing (RFC 5936 §4.2): NSD and Knot say NOTIMP",
    ),
    (
        "odd",
        IXFR,
        "Refused [] [] []",
        "NSD and Knot say NOTAUTH to who may not transfer; for policy there is REFUSED (RFC 1035 §4.1.1)",
    ),
];
const A: u16 = 1;
const NS: u16 = 2;
const MX: u16 = 15;
const OPT: u16 = 41;
const DS: u16 = 43;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const MAILB: u16 = 253;

#[test]
fn where_we_differ_an_rfc_is_with_us() {
    let Some(trio) = Trio::start(76, &ODD) else { return };
    for (owner, rtype, ours, why) in DIFFERENCES {
        let reply = dns::ask(trio.ours.udp(), &format!("{owner}.test"), rtype.into(), "");
        assert_eq!(shape(&reply), ours, "{owner}.test type {rtype}: {why}");
    }
}

/// Rcode, AA, and the types of the records in each section.
fn shape(message: &Message) -> String {
    let types = |records: &[Record]| {
        let runs = records.chunk_by(|a, b| a.record_type() == b.record_type());
        let runs = runs.map(|run| match run.len() {
            1 => run[0].record_type().to_string(),
            count => format!("{}×{count}", run[0].record_type()),
        });
        runs.collect::<Vec<_>>().join(" ")
    };
    let rcode = message.metadata.response_code;
    let aa = if message.metadata.authoritative { " aa" } else { "" };
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let [answers, authorities, additionals] = sections.map(|records| types(records));
    format!("{rcode:?}{aa} [{answers}] [{authorities}] [{additionals}]")
}
