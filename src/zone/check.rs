//! What a zone may not hold, and what it had better not: the rules that need the whole zone.
//!
//! An error is what no answer could be right with, or what every other server refuses as well; a
//! warning is what can be served but will hurt. Each names the line and the remedy.

use std::collections::{HashMap, HashSet};

use super::build::{Answers, Draft, SteeredName};
use super::link::{ancestors, has_addresses, is_cut, is_wildcard};
use super::lookup::{APEX, Lookup, Zone};
use crate::units::Ttl;
use crate::wire::types::Rtype;
use crate::wire::{Name, QName};

/// The most name servers a name had better have: with addresses of both families each takes
/// about 80 bytes of a referral, and eight of them leave room for signatures within 1,232 bytes.
const NAME_SERVERS_MAX: usize = 8;

/// Aliases are followed so far before they are called a loop; resolvers give up no later.
const ALIASES_MAX: usize = 16;

/// Applies every rule.
pub(super) fn check(draft: &mut Draft) {
    check_apex(draft);
    for node in 0..draft.zone.names.len() as u32 {
        check_aliases(draft, node);
        check_chain(draft, node);
        check_wildcard(draft, node);
        if node != APEX && draft.zone.node(node).rrset(Rtype::SOA).is_some() {
            let message = format!("`{}` has an SOA, but is not the zone's apex", name(draft, node));
            draft.error(
                &draft.node_at(node),
                message,
                "move it to the apex, or make this name a zone of its own",
            );
        }
    }
    check_below_dnames(draft);
    check_cuts(draft);
    check_circles(draft);
    check_steered(draft);
    check_targets(draft);
}

fn name(draft: &Draft, node: u32) -> Name {
    draft.zone.node(node).name()
}

/// Exactly one SOA, and name servers (RFC 1035 §5.2).
fn check_apex(draft: &mut Draft) {
    let apex = draft.zone.apex.clone();
    let rrsets = draft.rrset_indices(APEX);
    let soa = rrsets.clone().find(|&index| draft.zone.rrsets[index].rtype() == Rtype::SOA);
    let Some(soa) = soa else {
        let help = "add an SOA record for the zone's own name";
        draft.error(&draft.at.clone(), format!("the zone `{apex}` has no SOA"), help);
        return;
    };
    if draft.zone.rrsets[soa].rdatas.count() > 1 {
        let at = draft.records(soa).last().map_or_else(|| draft.at.clone(), |(_, at)| at);
        draft.error(&at, format!("the zone `{apex}` has more than one SOA"), "leave one");
    }
    let minimum = draft.records(soa).next().and_then(|(rdata, _)| rdata.last_chunk().copied());
    let minimum = Ttl::from_secs(minimum.map_or(0, u32::from_be_bytes));
    draft.zone.soa = soa as u32;
    draft.zone.negative_ttl = minimum.min(draft.zone.rrsets[soa].ttl);
    if draft.zone.node(APEX).rrset(Rtype::NS).is_none() {
        let help =
            "name its servers: `ns = [\"…\"]` in a .toml zone, NS records of its own name in text";
        draft.error(&draft.at.clone(), format!("the zone `{apex}` has no NS records"), help);
    }
}

/// One CNAME and nothing else but what DNSSEC says about it (RFC 1034 §3.6.2, RFC 4034 §4);
/// one DNAME (RFC 6672 §2.4).
fn check_aliases(draft: &mut Draft, node: u32) {
    for index in draft.rrset_indices(node) {
        let rrset = &draft.zone.rrsets[index];
        let (rtype, count) = (rrset.rtype(), rrset.rdatas.count());
        if !matches!(rtype, Rtype::CNAME | Rtype::DNAME) {
            continue;
        }
        if count > 1 {
            let message = format!("`{}` has {count} {rtype} records", name(draft, node));
            draft.error(
                &draft.rrset_at(index),
                message,
                "a name can be an alias of one other only; leave one",
            );
        }
        let other = |other: &usize| {
            let other = draft.zone.rrsets[*other].rtype();
            rtype == Rtype::CNAME && !matches!(other, Rtype::CNAME | Rtype::NSEC)
        };
        if let Some(other) = draft.rrset_indices(node).find(other) {
            let beside = draft.zone.rrsets[other].rtype();
            let message = format!("`{}` has a CNAME and also {beside}", name(draft, node));
            let help = "a CNAME must be alone at its name (RFC 1034 §3.6.2)";
            let places = [draft.rrset_at(index), draft.rrset_at(other)];
            if let Some(later) = places.iter().max_by_key(|at| at.line) {
                draft.error(later, message, help);
            }
        }
    }
}

/// An alias leads to a name that is none itself (RFC 1034 §3.6.2).
fn check_chain(draft: &mut Draft, node: u32) {
    let Some(first) = cname(draft, node) else { return };
    let (mut names, mut next) = (vec![name(draft, node)], Some(first));
    while let Some(target) = next.take().filter(|_| names.len() <= ALIASES_MAX) {
        if target.is_at_or_below(&draft.zone.apex) && !names.contains(&target) {
            let mut qname = QName::default();
            qname.set(&target);
            if let Lookup::Node { node, .. } = draft.zone.lookup(&qname) {
                next = cname(draft, node.index);
            }
        } else if names.contains(&target) {
            let message = format!("the alias `{}` leads to itself, and never to an end", names[0]);
            draft.warn(
                &draft.node_at(node),
                message,
                "point one of its aliases at a name with data",
            );
            return;
        }
        names.push(target);
    }
    if let [_, _, .., end] = &names[..] {
        let message =
            format!("the alias `{}` takes {} steps to `{end}`", names[0], names.len() - 1);
        let help = "each costs resolvers a look-up (RFC 1034 §3.6.2); point it at the end";
        draft.warn(&draft.node_at(node), message, help);
    }
}

/// Where the CNAME of a node points.
fn cname(draft: &Draft, node: u32) -> Option<Name> {
    let mut indices = draft.rrset_indices(node);
    let index = indices.find(|&index| draft.zone.rrsets[index].rtype() == Rtype::CNAME)?;
    let (rdata, _) = draft.records(index).next()?;
    Name::from_wire(rdata).ok()
}

/// RFC 4592 §4.2 and RFC 6672 §3.3 discourage delegations and DNAMEs of a `*`.
fn check_wildcard(draft: &mut Draft, node: u32) {
    if !is_wildcard(draft.zone.names.key(node)) {
        return;
    }
    for index in draft.rrset_indices(node) {
        let rtype = draft.zone.rrsets[index].rtype();
        if matches!(rtype, Rtype::NS | Rtype::DNAME) {
            let message = format!(
                "{rtype} at the wildcard `{}` delegates or redirects nothing",
                name(draft, node)
            );
            let help = "it is answered like any other record (RFC 4592 §4); name the subdomains one by one";
            draft.warn(&draft.rrset_at(index), message, help);
        }
    }
}

/// Nothing exists below a DNAME (RFC 6672 §2.4).
fn check_below_dnames(draft: &mut Draft) {
    let nodes = 0..draft.zone.names.len() as u32;
    if !nodes.clone().any(|node| draft.zone.names.value(node).has_dname) {
        return;
    }
    for node in nodes {
        let below = draft.zone.node(node);
        let is_empty = below.rrsets().is_empty() && below.steered().is_none();
        if let Some(dname) = dname_above(&draft.zone, node).filter(|_| !is_empty) {
            let (below, dname) = (name(draft, node), name(draft, dname));
            let message = format!("`{below}` lies below the DNAME of `{dname}`");
            let help = "nothing below a DNAME can be answered; remove one of the two";
            draft.error(&draft.node_at(node), message, help);
        }
    }
}

fn dname_above(zone: &Zone, node: u32) -> Option<u32> {
    ancestors(zone.names.key(node))
        .filter_map(|key| zone.names.find(key))
        .find(|&above| zone.names.value(above).has_dname)
}

/// At a cut only NS and what the parent says about it; below it only glue (RFC 1034 §4.2.1).
fn check_cuts(draft: &mut Draft) {
    let glue = name_servers(draft);
    for node in 0..draft.zone.names.len() as u32 {
        let Some(cut) = draft.zone.cut_over(node).map(|cut| cut.index) else {
            continue;
        };
        for index in draft.rrset_indices(node) {
            let rtype = draft.zone.rrsets[index].rtype();
            let is_glue = matches!(rtype, Rtype::A | Rtype::AAAA) && glue.contains(&node);
            let is_parents = matches!(rtype, Rtype::NS | Rtype::DS | Rtype::NSEC);
            let at = draft.rrset_at(index);
            if node == cut && !is_glue && !is_parents {
                let message =
                    format!("`{}` is delegated by NS and also has {rtype}", name(draft, node));
                draft.error(&at, message, "move the record into the zone that it is delegated to");
            } else if node != cut && !is_glue {
                let message = format!(
                    "{rtype} of `{}` is never answered: `{}` is delegated",
                    name(draft, node),
                    name(draft, cut)
                );
                draft.warn(&at, message, "move the record into the zone that it is delegated to");
            }
        }
    }
}

/// Delegations whose servers can be found only through one another: each needs a server with an
/// address here, one outside, or one below a delegation that can be followed (RFC 9471 §3).
fn check_circles(draft: &mut Draft) {
    // For each cut what its servers are below, where nothing else leads to them.
    let mut waiting: HashMap<u32, Vec<u32>> = HashMap::new();
    for cut in (0..draft.zone.names.len() as u32).filter(|&node| is_cut(&draft.zone, node)) {
        let rrsets = draft.rrset_indices(cut);
        let ns = rrsets.filter(|&index| draft.zone.rrsets[index].rtype() == Rtype::NS);
        let over = ns.flat_map(|index| draft.targets(index)).map(|(target, _)| {
            let key = target.prefix_below(&draft.zone.apex)?;
            let reach = reach(&draft.zone, &target);
            let line = std::iter::once(key).chain(ancestors(key));
            let cuts = line.filter_map(|key| draft.zone.names.find(key));
            let cut = cuts.filter(|&above| is_cut(&draft.zone, above)).last()?;
            matches!(reach, Reach::Elsewhere).then_some(cut)
        });
        let over: Option<Vec<u32>> = over.collect();
        if let Some(over) = over.filter(|over| !over.contains(&cut)) {
            waiting.insert(cut, over);
        }
    }
    // And the other way round: what can be followed once a cut can.
    let mut behind: HashMap<u32, Vec<u32>> = HashMap::new();
    for (cut, over) in &waiting {
        over.iter().for_each(|over| behind.entry(*over).or_default().push(*cut));
    }
    let mut found: Vec<u32> = behind.keys().copied().collect();
    found.retain(|cut| !waiting.contains_key(cut));
    while let Some(cut) = found.pop() {
        let freed = behind.remove(&cut).unwrap_or_default();
        found.extend(freed.into_iter().filter(|cut| waiting.remove(cut).is_some()));
    }
    for cut in waiting.into_keys() {
        let message = format!(
            "the servers of `{}` can be found only through delegations that lead back to it",
            name(draft, cut)
        );
        draft.warn(&draft.node_at(cut), message, "add the address of one of them to this zone");
    }
}

/// The nodes that NS records of this zone point to.
fn name_servers(draft: &Draft) -> HashSet<u32> {
    let is_ns = |index: &usize| draft.zone.rrsets[*index].rtype() == Rtype::NS;
    let targets = (0..draft.zone.rrsets.len()).filter(is_ns).flat_map(|index| draft.targets(index));
    targets.filter_map(|(name, _)| draft.zone.find(&name).map(|node| node.index)).collect()
}

/// What steering answers is not also static, and is ours to answer (DESIGN §5, CNAME members).
fn check_steered(draft: &mut Draft) {
    for SteeredName { node, at, answers } in draft.steered.clone() {
        let name = name(draft, node);
        let (answers_cname, extra) = match &answers {
            Answers::Cname => (true, &[][..]),
            Answers::Addresses { extra } => (false, &**extra),
        };
        for index in draft.rrset_indices(node) {
            let rtype = draft.zone.rrsets[index].rtype();
            let is_steered = matches!(rtype, Rtype::A | Rtype::AAAA | Rtype::CNAME);
            if is_steered || answers_cname || extra.contains(&rtype) {
                let (message, help) = if is_steered {
                    (
                        format!("`{name}` is steered and also has a static {rtype}"),
                        "remove the static record, or put the address into a pool",
                    )
                } else if extra.contains(&rtype) {
                    (
                        format!("`{name}` has a static {rtype} and also one from a pool's `extra`"),
                        "remove the static record, or put it into the `extra` of every pool",
                    )
                } else {
                    (
                        format!("`{name}` is steered to a CNAME and also has {rtype}"),
                        "a CNAME must be alone at its name (RFC 1034 §3.6.2); use a pool of addresses",
                    )
                };
                draft.error(&draft.rrset_at(index), message, help);
            }
        }
        if let Some(cut) = draft.zone.cut_over(node).map(|cut| cut.name()) {
            let help = "only the servers that it is delegated to can steer it";
            draft.error(&at, format!("`{name}` is steered, but `{cut}` is delegated"), help);
        }
    }
}

/// What this zone says about the addresses of a name that a record points to.
enum Reach {
    /// Not in this zone, or in a zone delegated to others.
    Elsewhere,
    Addresses,
    Steered,
    /// It is an alias: a CNAME, or below a DNAME.
    Alias,
    /// It lies in this zone and has no address.
    Nothing,
}

fn reach(zone: &Zone, target: &Name) -> Reach {
    if !target.is_at_or_below(&zone.apex) {
        return Reach::Elsewhere;
    }
    let mut qname = QName::default();
    qname.set(target);
    match zone.lookup(&qname) {
        Lookup::Node { node, .. } if node.steered().is_some() => Reach::Steered,
        Lookup::Node { node, .. } if node.rrset(Rtype::CNAME).is_some() => Reach::Alias,
        Lookup::Node { node, .. } if has_addresses(node) => Reach::Addresses,
        Lookup::Node { .. } | Lookup::NxDomain { .. } => Reach::Nothing,
        Lookup::Dname { .. } => Reach::Alias,
        Lookup::Delegation { .. } => match zone.find(target) {
            Some(node) if has_addresses(node) => Reach::Addresses,
            _ => Reach::Elsewhere,
        },
    }
}

/// Name servers and mail servers need plain addresses (RFC 2181 §10.3, RFC 2782).
fn check_targets(draft: &mut Draft) {
    for node in 0..draft.zone.names.len() as u32 {
        for index in draft.rrset_indices(node) {
            let rtype = draft.zone.rrsets[index].rtype();
            let count = draft.zone.rrsets[index].rdatas.count();
            if rtype == Rtype::NS && count > NAME_SERVERS_MAX {
                let message = format!("`{}` has {count} name servers", name(draft, node));
                let help = "referrals to so many may not fit; four to eight are enough";
                draft.warn(&draft.rrset_at(index), message, help);
            }
            for (target, at) in draft.targets(index) {
                // `.` says that there is no such service (RFC 7505, RFC 2782).
                if target.is_root() {
                    continue;
                }
                let reach = reach(&draft.zone, &target);
                match rtype {
                    Rtype::NS => check_name_server(draft, node, &target, reach, &at),
                    Rtype::MX | Rtype::SRV => check_server(draft, rtype, &target, reach, &at),
                    _ => {}
                }
            }
        }
    }
}

fn check_name_server(draft: &mut Draft, node: u32, target: &Name, reach: Reach, at: &super::At) {
    match reach {
        Reach::Addresses => {}
        Reach::Elsewhere => {
            let owner = name(draft, node);
            if is_cut(&draft.zone, node) && target.is_at_or_below(&owner) {
                let message = format!(
                    "name server `{target}` lies in the delegated `{owner}` and has no glue"
                );
                draft.error(at, message, "add its A or AAAA record to this zone");
            }
        }
        Reach::Steered => {
            let message = format!("name server `{target}` is a steered name");
            draft.error(at, message, "a name server needs fixed addresses; use another name");
        }
        Reach::Alias => {
            let message = format!("name server `{target}` is an alias");
            draft.warn(
                at,
                message,
                "resolvers may not follow it (RFC 2181 §10.3); give it addresses of its own",
            );
        }
        Reach::Nothing => {
            let message = format!("name server `{target}` has no address in this zone");
            draft.error(
                at,
                message,
                "add its A or AAAA record; if it is in another zone, end its name with a dot",
            );
        }
    }
}

fn check_server(draft: &mut Draft, rtype: Rtype, target: &Name, reach: Reach, at: &super::At) {
    let (message, help) = match reach {
        Reach::Addresses | Reach::Elsewhere => return,
        Reach::Steered if rtype == Rtype::SRV => return,
        Reach::Steered => (
            "is a steered name",
            "mail then moves with health and place; use a name with fixed addresses",
        ),
        Reach::Alias => (
            "is an alias",
            "senders may not follow it (RFC 2181 §10.3, RFC 2782); give it addresses of its own",
        ),
        Reach::Nothing => (
            "has no address in this zone",
            "add its A or AAAA record; if it is in another zone, end its name with a dot",
        ),
    };
    draft.warn(at, format!("{rtype} target `{target}` {message}"), help);
}

#[cfg(test)]
mod tests;
