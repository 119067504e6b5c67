//! What is wrong with a delegation, given what its parent and servers said. Pure: it asks nobody.

use super::{super::present, DelegationFacts};
use crate::dns::Transport;
use hickory_proto::{op::ResponseCode, rr::Name};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Who has it wrong: `parent 192.0.2.1:53`.
    pub(super) about: String,
    /// What is wrong.
    pub(super) problem: String,
    /// How to put it right.
    pub(super) hint: Option<&'static str>,
}

/// What somebody said over each transport, or why they did not.
pub(super) type Said<T> = [(Transport, Result<T, String>); 2];

/// What a server of the parent zone says of ours.
#[derive(Clone, Debug)]
pub(super) struct ParentSays {
    pub(super) rcode: ResponseCode,
    /// Whether it serves a zone above ours; a referral alone shows that.
    pub(super) is_above: bool,
    /// The zone whose NS records it gave, if any.
    pub(super) cut: Option<Name>,
    pub(super) ns: BTreeSet<Name>,
    pub(super) glue: BTreeMap<Name, BTreeSet<IpAddr>>,
}

/// What a listed server says of the zone.
#[derive(Clone, Debug)]
pub(super) struct ServerSays {
    pub(super) rcode: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) serial: Option<u32>,
    pub(super) ns: BTreeSet<Name>,
}

/// A listed server at one of its addresses.
#[derive(Clone, Debug)]
pub(super) struct ServerSeen {
    pub(super) name: Name,
    pub(super) address: SocketAddr,
    pub(super) said: Said<ServerSays>,
}

/// The words of whoever answered first, UDP before TCP.
fn first<T>(said: &Said<T>) -> Option<&T> {
    said.iter().find_map(|(_, words)| words.as_ref().ok())
}

fn silences<T>(about: &str, said: &Said<T>) -> impl Iterator<Item = Finding> {
    said.iter().filter_map(move |(transport, words)| {
        let problem = format!("does not answer: {}", words.as_ref().err()?);
        let hint = match transport {
            Transport::Udp => "resolvers must reach it on UDP port 53",
            Transport::Tcp => "resolvers must reach it on TCP port 53 too (RFC 7766)",
        };
        Some(Finding { about: about.to_owned(), problem, hint: Some(hint) })
    })
}

fn names(names: &BTreeSet<Name>) -> String {
    let names: Vec<_> = names.iter().map(Name::to_ascii).collect();
    names.join(", ")
}

fn addresses(addresses: &BTreeSet<IpAddr>) -> String {
    let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    addresses.join(", ")
}

fn listed(facts: &DelegationFacts) -> BTreeSet<Name> {
    facts.ns.iter().map(|(name, _)| name.clone()).collect()
}

/// A problem and how to put it right.
type Fault = (String, &'static str);

/// What is wrong at the parent's server `address`.
pub(super) fn parent(
    facts: &DelegationFacts,
    address: SocketAddr,
    said: &Said<ParentSays>,
) -> Vec<Finding> {
    let about = format!("parent {address}");
    let mut findings: Vec<_> = silences(&about, said).collect();
    let faults = match first(said) {
        None => Vec::new(),
        Some(says) => match no_delegation(facts, says) {
            Some(fault) => vec![fault],
            None => ns_faults(facts, says).chain(glue_faults(facts, says)).collect(),
        },
    };
    findings.extend(findings_about(&about, faults));
    findings
}

fn findings_about(about: &str, faults: Vec<Fault>) -> impl Iterator<Item = Finding> {
    faults.into_iter().map(|(problem, hint)| Finding {
        about: about.to_owned(),
        problem,
        hint: Some(hint),
    })
}

/// Why what the parent said is no delegation of the zone at all.
fn no_delegation(facts: &DelegationFacts, says: &ParentSays) -> Option<Fault> {
    const WHOM: &str = "is it a server of the parent zone? --parent says whom to ask";
    match &says.cut {
        None => Some((
            format!("has no delegation of the zone: {}, no NS records", present::rcode(says.rcode)),
            "put the lines above into the parent zone",
        )),
        Some(cut) if *cut != facts.zone => {
            Some((format!("refers to the servers of {}", cut.to_ascii()), WHOM))
        }
        Some(_) if !says.is_above => {
            Some(("serves the zone itself and none above it".to_owned(), WHOM))
        }
        Some(_) => None,
    }
}

fn ns_faults(facts: &DelegationFacts, says: &ParentSays) -> impl Iterator<Item = Fault> {
    let ours = listed(facts);
    let missing: BTreeSet<_> = ours.difference(&says.ns).cloned().collect();
    let extra: BTreeSet<_> = says.ns.difference(&ours).cloned().collect();
    let missing = (!missing.is_empty()).then(|| {
        let problem = format!("lacks NS {}", names(&missing));
        (problem, "add the lines above to the parent zone")
    });
    let extra = (!extra.is_empty()).then(|| {
        let problem = format!("has NS {}, which our files do not list", names(&extra));
        let hint = "take it out of the parent zone, or add it to the zone's `ns`";
        (problem, hint)
    });
    missing.into_iter().chain(extra)
}

fn glue_faults(facts: &DelegationFacts, says: &ParentSays) -> impl Iterator<Item = Fault> {
    let must_have =
        facts.ns.iter().filter(|(server, _)| facts.needs_glue(server) && says.ns.contains(server));
    must_have.filter_map(|(server, ours)| {
        let ours: BTreeSet<_> = ours.iter().copied().collect();
        let theirs = says.glue.get(server).cloned().unwrap_or_default();
        if ours == theirs {
            return None;
        }
        let has = match theirs.is_empty() {
            true => "no glue".to_owned(),
            false => format!("glue {}", addresses(&theirs)),
        };
        let (server, ours) = (server.to_ascii(), addresses(&ours));
        let problem = format!("has {has} for {server}, our files say {ours}");
        Some((problem, "put the A and AAAA lines above into the parent zone"))
    })
}

/// What is wrong at the listed servers, one by one and together.
pub(super) fn servers(facts: &DelegationFacts, seen: &[ServerSeen]) -> Vec<Finding> {
    let mut findings: Vec<_> = seen.iter().flat_map(|server| one_server(facts, server)).collect();
    let mut serials: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for server in seen {
        if let Some(serial) = first(&server.said).and_then(|says| says.serial) {
            serials.entry(serial).or_default().push(server.address.to_string());
        }
    }
    if serials.len() > 1 {
        let each = serials.iter().map(|(serial, at)| format!("{serial} at {}", at.join(", ")));
        findings.push(Finding {
            about: "servers".to_owned(),
            problem: format!("SOA serials differ: {}", each.collect::<Vec<_>>().join("; ")),
            hint: Some("load the same files on all of them"),
        });
    }
    findings
}

fn one_server(facts: &DelegationFacts, seen: &ServerSeen) -> Vec<Finding> {
    let about = format!("{} ({})", seen.name.to_ascii(), seen.address);
    let mut findings: Vec<_> = silences(&about, &seen.said).collect();
    let fault = first(&seen.said).and_then(|says| server_fault(facts, says));
    findings.extend(findings_about(&about, fault.into_iter().collect()));
    findings
}

fn server_fault(facts: &DelegationFacts, says: &ServerSays) -> Option<Fault> {
    if says.rcode != ResponseCode::NoError || !says.authoritative || says.serial.is_none() {
        let rcode = present::rcode(says.rcode);
        let aa = if says.authoritative { "AA" } else { "no AA" };
        return Some((
            format!("is lame: {rcode}, {aa} for the zone's SOA"),
            "does it load the zone? `tradewind check` there tells",
        ));
    }
    (says.ns != listed(facts)).then(|| {
        let problem = format!("serves NS {}, our files list others", names(&says.ns));
        (problem, "load the same files on all servers")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        let mut name = Name::from_ascii(text).unwrap();
        name.set_fqdn(true);
        name
    }

    fn facts() -> DelegationFacts {
        let ns1 = ("ns1.gtm.example.com", vec!["192.0.2.53".parse().unwrap()]);
        DelegationFacts::new("gtm.example.com", [ns1, ("ns2.example.net", vec![])]).unwrap()
    }

    fn both<T: Clone>(says: T) -> Said<T> {
        [(Transport::Udp, Ok(says.clone())), (Transport::Tcp, Ok(says))]
    }

    /// A parent that says `cut: ns …; ns = address …`; gives what is wrong with it.
    fn parent_saying(cut: Option<&str>, ns: &[&str], glue: &[(&str, &str)]) -> String {
        let mut held: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (server, address) in glue {
            held.entry(name(server)).or_default().insert(address.parse().unwrap());
        }
        let says = ParentSays {
            rcode: ResponseCode::NoError,
            is_above: true,
            cut: cut.map(name),
            ns: ns.iter().map(|ns| name(ns)).collect(),
            glue: held,
        };
        let address = "192.0.2.1:53".parse().unwrap();
        problems(&parent(&facts(), address, &both(says)))
    }

    fn problems(findings: &[Finding]) -> String {
        let problems: Vec<_> = findings.iter().map(|f| f.problem.as_str()).collect();
        problems.join(" | ")
    }

    fn server(address: &str, change: impl FnOnce(&mut ServerSays)) -> ServerSeen {
        let mut says = ServerSays {
            rcode: ResponseCode::NoError,
            authoritative: true,
            serial: Some(7),
            ns: listed(&facts()),
        };
        change(&mut says);
        ServerSeen {
            name: name("ns1.gtm.example.com"),
            address: address.parse().unwrap(),
            said: both(says),
        }
    }

    #[test]
    fn parent_with_the_same_ns_and_glue_is_well() {
        let ns = ["NS1.gtm.example.com", "ns2.example.net"];
        let glue = [("ns1.GTM.example.com", "192.0.2.53")];
        assert_eq!(parent_saying(Some("gtm.example.com"), &ns, &glue), "");
    }

    #[test]
    fn parent_faults_are_each_named() {
        let zone = Some("gtm.example.com");
        let ns1 = "ns1.gtm.example.com";
        let glue = [(ns1, "192.0.2.53")];
        for (got, expected) in [
            (
                parent_saying(None, &[], &[]),
                "has no delegation of the zone: NOERROR, no NS records",
            ),
            (parent_saying(Some("com"), &["a.nic.com"], &[]), "refers to the servers of com."),
            (parent_saying(zone, &[ns1], &glue), "lacks NS ns2.example.net."),
            (
                parent_saying(zone, &[ns1, "ns2.example.net", "old.example.net"], &glue),
                "has NS old.example.net., which our files do not list",
            ),
            (
                parent_saying(zone, &[ns1, "ns2.example.net"], &[]),
                "has no glue for ns1.gtm.example.com., our files say 192.0.2.53",
            ),
            (
                parent_saying(zone, &[ns1, "ns2.example.net"], &[(ns1, "192.0.2.99")]),
                "has glue 192.0.2.99 for ns1.gtm.example.com., our files say 192.0.2.53",
            ),
        ] {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn server_faults_are_each_named() {
        let well = || server("192.0.2.53:53", |_| ());
        let check = |seen: &[ServerSeen]| problems(&servers(&facts(), seen));
        assert_eq!(check(&[well(), server("192.0.2.54:53", |_| ())]), "");
        for (change, expected) in [
            (
                (|s| s.authoritative = false) as fn(&mut ServerSays),
                "is lame: NOERROR, no AA for the zone's SOA",
            ),
            (
                |s| {
                    s.rcode = ResponseCode::Refused;
                    s.serial = None;
                },
                "is lame: REFUSED, AA for the zone's SOA",
            ),
            (|s| drop(s.ns.pop_last()), "serves NS ns1.gtm.example.com., our files list others"),
            (|s| s.serial = Some(8), "SOA serials differ: 7 at 192.0.2.53:53; 8 at 192.0.2.54:53"),
        ] {
            assert_eq!(check(&[well(), server("192.0.2.54:53", change)]), expected);
        }
    }

    #[test]
    fn silence_over_one_transport_is_told_beside_what_the_other_said() {
        let mut seen = server("192.0.2.53:53", |s| s.authoritative = false);
        seen.said[1].1 = Err("TCP: Connection refused".to_owned());
        assert_eq!(
            problems(&servers(&facts(), &[seen])),
            "does not answer: TCP: Connection refused | is lame: NOERROR, no AA for the zone's SOA"
        );
    }
}
