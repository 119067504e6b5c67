//! Zones that come with their signatures: what they must hold so that a validating resolver
//! believes every answer, and the chain that proves what is not there.
//!
//! Strict where a resolver would find the zone bogus: such a zone is refused, and what was served
//! before goes on being served. The signatures themselves are not verified; whether they have
//! expired is for those to say who know the time.

use std::collections::BTreeSet;

use super::build::Draft;
use super::denial::{Denial, Signed, canonical, label_count};
use super::link::{ancestors, is_wildcard};
use super::lookup::{APEX, Zone};
use super::nsec3::{self, Chain, ITERATIONS_MAX, Link, Parameters, Place};
use super::problem::{At, Told};
use super::rrset::{Companions, NONE};
use crate::wire::Name;
use crate::wire::types::Rtype;

/// Bits of a DNSKEY's flags (RFC 4034 §2.1.1): it signs zones.
const ZONE_KEY: u16 = 0x0100;

/// What stands in front of the signer's name (RFC 4034 §3.1).
const RRSIG_FIXED: usize = 18;

/// Checks a signed zone and finds its chain. A zone is signed if it has a key and anything that
/// is made with one. With one of the two alone no resolver can take it for signed, unless a DS
/// above says so: it is served without, as it would be elsewhere.
pub(super) fn link(draft: &mut Draft) {
    let keys = keys(&draft.zone);
    let (has_signatures, has_nsec) = (has_signatures(draft), has_nsec(&draft.zone));
    match (keys.is_empty(), has_signatures || has_nsec) {
        (true, _) if !has_signatures => return,
        (false, false) => {
            let message =
                format!("the zone `{}` has a key, but nothing signed with it", draft.zone.apex);
            let help = "it is served unsigned; sign it before its DS is put into the zone above";
            draft.warn(&apex_at(draft, Rtype::DNSKEY), message, help);
            return;
        }
        (true, _) => {
            let message =
                format!("the zone `{}` has signatures or proofs, but no key", draft.zone.apex);
            let help = "it is served without them; sign it with `dnssec-signzone -S` or its like, which add the DNSKEY records";
            draft.warn(&draft.at.clone(), message, help);
            draft.zone.companions.iter_mut().for_each(|row| row.signatures = None);
            return;
        }
        (false, true) => {}
    }
    if let Some(at) = draft.steered.first().map(|steered| steered.at.clone()) {
        let help = "steered names cannot be signed yet; delegate a zone of their own to them, without a DS";
        draft.error(&at, "a steered record stands in a zone that is signed".into(), help);
        return;
    }
    let expires = check_signatures(draft, &keys);
    let denial = match draft.zone.node(APEX).rrset(Rtype::NSEC3PARAM).is_some() {
        true => nsec3_chain(draft, &keys),
        false => Some(Denial::Nsec(nsec_chain(draft))),
    };
    let negative_ttl = draft.zone.negative_ttl;
    for rrset in &mut draft.zone.rrsets {
        if rrset.rtype() == Rtype::NSEC {
            // RFC 9077 §3.2; signers that are older than that RFC took the MINIMUM alone.
            rrset.ttl = rrset.ttl.min(negative_ttl);
        }
    }
    draft.zone.signed = denial.map(|denial| Box::new(Signed { denial, expires }));
}

/// Whether a zone has an NSEC record; without a key that is data like any other.
fn has_nsec(zone: &Zone) -> bool {
    zone.rrsets.iter().any(|rrset| rrset.rtype() == Rtype::NSEC)
}

/// Whether a zone has signatures, or NSEC3 records, which are of no other use.
fn has_signatures(draft: &Draft) -> bool {
    let is_signed = |row: &Companions| row.signatures.is_some();
    draft.zone.companions.iter().any(is_signed) || !draft.links.is_empty()
}

/// Algorithm and tag of each of the zone's keys.
fn keys(zone: &Zone) -> BTreeSet<(u8, u16)> {
    let keys = zone.node(APEX).rrset(Rtype::DNSKEY);
    let keys = keys.map(|keys| keys.rdatas.iter(None).filter_map(|rdata| key(&rdata)).collect());
    keys.unwrap_or_default()
}

/// Algorithm and tag (RFC 4034 appendix B) of the zone key in `rdata`.
fn key(rdata: &[u8]) -> Option<(u8, u16)> {
    let [f0, f1, _protocol, algorithm] = *rdata.first_chunk()?;
    let sum = rdata.chunks(2).fold(0u32, |sum, pair| {
        sum + (u32::from(pair[0]) << 8) + pair.get(1).map_or(0, |&low| u32::from(low))
    });
    let is_zone_key = u16::from_be_bytes([f0, f1]) & ZONE_KEY != 0;
    is_zone_key.then_some((algorithm, (sum + (sum >> 16)) as u16))
}

/// The remedy for nearly everything.
const SIGN_AGAIN: &str =
    "sign the zone again after every change; resolvers that validate would get no answer";

/// Every RRset that is the zone's own has a signature which one of its keys can have made. When
/// the first expires, of each RRset that which holds longest.
fn check_signatures(draft: &mut Draft, keys: &BTreeSet<(u8, u16)>) -> u32 {
    let (mut told, mut expires) = (Told::default(), u32::MAX);
    for node in 0..draft.zone.names.len() as u32 {
        let labels = labels_signed(&draft.zone, node);
        for index in draft.rrset_indices(node) {
            let rrset = &draft.zone.rrsets[index];
            if !is_authoritative(&draft.zone, node, rrset.rtype()) {
                continue;
            }
            match last_expiry(&draft.zone, rrset, labels, keys) {
                Some(expiry) => expires = expires.min(expiry),
                None => told.note(draft.rrset_at(index), || {
                    let (name, rtype) = (draft.zone.node(node).name(), rrset.rtype());
                    format!(
                        "the {rtype} records of `{name}` have no signature by a key of the zone"
                    )
                }),
            }
        }
    }
    draft.problems.extend(told.error(SIGN_AGAIN));
    expires
}

/// The labels that a signature of a node's records counts: neither root nor `*`
/// (RFC 4034 §3.1.3).
fn labels_signed(zone: &Zone, node: u32) -> usize {
    let key = zone.names.key(node);
    zone.apex_labels + label_count(key) - usize::from(is_wildcard(key))
}

/// Of the signatures of `rrset` that a key of the zone can have made the last expiry.
fn last_expiry(
    zone: &Zone,
    rrset: &super::Rrset,
    labels: usize,
    keys: &BTreeSet<(u8, u16)>,
) -> Option<u32> {
    let signatures = zone.signatures(rrset)?.iter(None);
    let usable = signatures.filter_map(|rdata| {
        let (fixed, rest) = rdata.split_first_chunk::<RRSIG_FIXED>()?;
        let [_, _, algorithm, its_labels, .., e0, e1, e2, e3, _, _, _, _, t0, t1] = *fixed;
        let key = (algorithm, u16::from_be_bytes([t0, t1]));
        let signer = zone.apex.as_wire();
        let is_ours = rest.get(..signer.len())?.eq_ignore_ascii_case(signer);
        let is_usable = is_ours && usize::from(its_labels) == labels && keys.contains(&key);
        is_usable.then(|| u32::from_be_bytes([e0, e1, e2, e3]))
    });
    usable.max()
}

/// Whether an RRset of the zone is signed: not what is delegated away, but for what the parent
/// says of it (RFC 4035 §2.2).
fn is_authoritative(zone: &Zone, node: u32, rtype: Rtype) -> bool {
    match zone.cut_over(node) {
        None => true,
        Some(cut) => cut.index == node && matches!(rtype, Rtype::DS | Rtype::NSEC),
    }
}

/// Whether a node is one that the chain must name: it is not hidden below a cut.
fn is_visible(zone: &Zone, node: u32) -> bool {
    zone.cut_over(node).is_none_or(|cut| cut.index == node)
}

/// The types that the chain must show of a node.
fn types(zone: &Zone, node: u32) -> BTreeSet<u16> {
    let is_cut = zone.cut_over(node).is_some();
    let mut types = BTreeSet::new();
    for rrset in zone.node(node).rrsets() {
        let rtype = rrset.rtype();
        if is_authoritative(zone, node, rtype) {
            types.extend([rtype.0, Rtype::RRSIG.0]);
        } else if is_cut && rtype == Rtype::NS {
            types.insert(rtype.0);
        }
    }
    types
}

/// The types in a bitmap (RFC 4034 §4.1.2).
fn types_in(mut bitmap: &[u8]) -> BTreeSet<u16> {
    let mut types = BTreeSet::new();
    while let Some(([window, len], rest)) = bitmap.split_first_chunk() {
        let (bits, behind) = rest.split_at(rest.len().min(usize::from(*len)));
        for (place, byte) in bits.iter().enumerate() {
            let set = (0..8).filter(|bit| byte & (0x80 >> bit) != 0);
            types.extend(set.map(|bit| u16::from(*window) << 8 | (place * 8) as u16 | bit));
        }
        bitmap = behind;
    }
    types
}

/// The NSEC chain: each name with data leads to the next in canonical order, the last to the apex.
fn nsec_chain(draft: &mut Draft) -> Box<[u32]> {
    let zone = &draft.zone;
    let owns = |&node: &u32| is_visible(zone, node) && !zone.node(node).rrsets().is_empty();
    let mut order: Vec<u32> = (0..zone.names.len() as u32).filter(owns).collect();
    order.sort_by(|a, b| canonical(zone.names.key(*a), zone.names.key(*b)));
    let (mut missing, mut wrong) = (Told::default(), Told::default());
    for (place, &node) in order.iter().enumerate() {
        let (owner, at) = (zone.node(node).name(), draft.node_at(node));
        let Some(nsec) = zone.node(node).rrset(Rtype::NSEC) else {
            missing.note(at, || format!("`{owner}` has no NSEC record"));
            continue;
        };
        let next = zone.node(order[(place + 1) % order.len()]).name();
        let rdata = nsec.rdatas.iter(None).next().unwrap_or_default();
        let (leads_to, bitmap) = rdata.split_at(next.as_wire().len().min(rdata.len()));
        if !leads_to.eq_ignore_ascii_case(next.as_wire()) || nsec.rdatas.count() > 1 {
            wrong.note(at, || {
                format!("the NSEC record of `{owner}` does not lead to `{next}`, the next name")
            });
        } else if types_in(bitmap) != types(zone, node) {
            wrong
                .note(at, || format!("the NSEC record of `{owner}` shows other types than it has"));
        }
    }
    draft.problems.extend(missing.error(SIGN_AGAIN));
    draft.problems.extend(wrong.error(SIGN_AGAIN));
    order.into()
}

/// The NSEC3 chain of the zone's NSEC3PARAM record.
fn nsec3_chain(draft: &mut Draft, keys: &BTreeSet<(u8, u16)>) -> Option<Denial> {
    let parameters = parameters(draft)?;
    let links = links(draft, &parameters, keys)?;
    let mut places = vec![Place::default(); draft.zone.names.len()];
    let mut told = Told::default();
    let mut is_used = vec![false; links.len()];
    let zone = &draft.zone;
    let label = |parts: &[&[u8]]| parameters.label(&[&parts.concat(), zone.apex.as_wire()]);
    let mut without = Vec::new();
    let is_needed = needed(zone);
    for node in (0..zone.names.len() as u32).filter(|&node| is_visible(zone, node)) {
        let own = label(&[zone.names.key(node)]);
        let link = nsec3::at_or_before(&links, &own);
        let said = links[link as usize].said();
        if links[link as usize].label != own {
            if is_needed[node as usize] || said.is_none_or(|said| !said.opt_out) {
                let name = zone.node(node).name();
                told.note(draft.node_at(node), || format!("`{name}` has no NSEC3 record"));
            }
            without.push((node, link));
            continue;
        }
        is_used[link as usize] = true;
        if said.is_none_or(|said| types_in(&said.types) != types(zone, node)) {
            let name = zone.node(node).name();
            told.note(draft.node_at(node), || {
                format!("the NSEC3 record of `{name}` shows other types than it has")
            });
        }
        let wildcard = nsec3::at_or_before(&links, &label(&[b"\x01*", zone.names.key(node)]));
        places[node as usize] = Place { closest: link, next_closer: NONE, wildcard };
    }
    let mut hollow = Told::default();
    for (node, link) in without {
        places[node as usize] = place_without(zone, &places, &links, (node, link), &label);
        if zone.cut_over(node).is_none()
            && let Some(wildcard) = wildcard_beside(zone, node, &links, &label)
        {
            let name = zone.node(node).name();
            hollow.note(draft.node_at(node), || {
                format!("`{name}` is left out of the chain below the wildcard `{wildcard}`")
            });
        }
    }
    for (link, _) in links.iter().zip(is_used).filter(|(_, is_used)| !is_used) {
        let label = String::from_utf8_lossy(&link.label[1..]);
        told.note(draft.at.clone(), || {
            format!("the NSEC3 record `{label}` is of no name in the zone")
        });
    }
    draft.problems.extend(told.error(SIGN_AGAIN));
    let help = "resolvers that validate get no answer for what does not exist there; sign the zone without opt-out";
    draft.problems.extend(hollow.warning(help));
    Some(Denial::Nsec3(Chain { parameters, links, places: places.into() }))
}

/// For each node whether the chain must name it: not where it is an unsigned delegation, or leads
/// to nothing but such (RFC 5155 §7.1).
fn needed(zone: &Zone) -> Vec<bool> {
    let mut is_needed = vec![false; zone.names.len()];
    for node in (0..zone.names.len() as u32).filter(|&node| is_visible(zone, node)) {
        let is_optional = match zone.cut_over(node) {
            Some(cut) => cut.rrset(Rtype::DS).is_none(),
            None => zone.node(node).rrsets().is_empty(),
        };
        let key = zone.names.key(node);
        let line = std::iter::once(key).chain(ancestors(key));
        let line = line.filter_map(|key| zone.names.find(key)).filter(|_| !is_optional);
        for above in line {
            if std::mem::replace(&mut is_needed[above as usize], true) {
                break;
            }
        }
    }
    is_needed
}

/// The wildcard below the nearest name above `node` that the chain names: `node` keeps it from
/// what is asked below (RFC 4592 §3.3.1), and nothing can prove that.
fn wildcard_beside(
    zone: &Zone,
    node: u32,
    links: &[Link],
    label: &dyn Fn(&[&[u8]]) -> nsec3::Label,
) -> Option<Name> {
    let is_named = |key: &&[u8]| {
        let own = label(&[key]);
        links[nsec3::at_or_before(links, &own) as usize].label == own
    };
    let encloser = ancestors(zone.names.key(node)).find(is_named)?;
    let wildcard = zone.names.find(&[b"\x01*", encloser].concat())?;
    Some(zone.node(wildcard).name())
}

/// The place of a node that opted out, covered by `link`: that of the nearest above it which did
/// not.
fn place_without(
    zone: &Zone,
    places: &[Place],
    links: &[Link],
    (node, link): (u32, u32),
    label: &dyn Fn(&[&[u8]]) -> nsec3::Label,
) -> Place {
    let mut next_closer = link;
    for key in ancestors(zone.names.key(node)) {
        let above = zone.names.find(key).map_or(APEX, |above| above);
        let own = label(&[key]);
        let link = nsec3::at_or_before(links, &own);
        if links[link as usize].label == own {
            return Place { next_closer, ..places[above as usize] };
        }
        next_closer = link;
    }
    Place::default()
}

/// How the zone's names are hashed: by its first NSEC3PARAM record that anybody can follow.
fn parameters(draft: &mut Draft) -> Option<Parameters> {
    let rrset = draft.zone.node(APEX).rrset(Rtype::NSEC3PARAM)?;
    // Flags must be zero (RFC 5155 §4.1.2).
    let usable = rrset.rdatas.iter(None).filter(|rdata| rdata.get(1) == Some(&0));
    let parameters = usable.filter_map(|rdata| Some(Parameters::read(&rdata)?.0)).next();
    let at = apex_at(draft, Rtype::NSEC3PARAM);
    let Some(parameters) = parameters else {
        let message = "this NSEC3PARAM record names no hash that is known (RFC 5155 §4.1)";
        draft.error(&at, message.into(), "sign the zone with NSEC, or NSEC3 with SHA-1");
        return None;
    };
    let iterations = parameters.iterations;
    let help = "sign the zone with `-3 - -H 0` (dnssec-signzone) or `-n -t 0` (ldns-signzone): RFC 9276 §3.1";
    if iterations > ITERATIONS_MAX {
        let message = format!(
            "names are hashed {iterations} times more; above {ITERATIONS_MAX} resolvers do not follow"
        );
        draft.error(&at, message, help);
        return None;
    }
    if iterations > 0 || !parameters.salt.is_empty() {
        let message = format!(
            "names are hashed with {iterations} more iterations and a salt of {} bytes, which protects nothing",
            parameters.salt.len()
        );
        draft.warn(&at, message, help);
    }
    Some(parameters)
}

fn apex_at(draft: &Draft, rtype: Rtype) -> At {
    let mut rrsets = draft.rrset_indices(APEX);
    let index = rrsets.find(|&index| draft.zone.rrsets[index].rtype() == rtype);
    index.map_or_else(|| draft.at.clone(), |index| draft.rrset_at(index))
}

/// The zone's NSEC3 records as a ring of links; none if there are none.
fn links(
    draft: &mut Draft,
    parameters: &Parameters,
    keys: &BTreeSet<(u8, u16)>,
) -> Option<Box<[Link]>> {
    let mut links = std::mem::take(&mut draft.links);
    // Records of another chain are of no use with this one (RFC 5155 §7.2).
    links.retain(|link| link.said().is_some_and(|said| said.parameters == *parameters));
    links.sort_by_key(|link| link.label);
    if links.is_empty() {
        let at = apex_at(draft, Rtype::NSEC3PARAM);
        let message =
            format!("the zone `{}` has no NSEC3 records for this NSEC3PARAM", draft.zone.apex);
        draft.error(&at, message, SIGN_AGAIN);
        return None;
    }
    let mut told = Told::default();
    let labels = draft.zone.apex_labels + 1;
    for link in &mut links {
        link.rrset.ttl = link.rrset.ttl.min(draft.zone.negative_ttl);
        let owner = String::from_utf8_lossy(&link.label[1..]).into_owned();
        if last_expiry(&draft.zone, &link.rrset, labels, keys).is_none() {
            told.note(draft.at.clone(), || {
                format!("the NSEC3 record `{owner}` has no signature by a key of the zone")
            });
        }
    }
    for (link, next) in links.iter().zip(links.iter().cycle().skip(1)) {
        if link.said().is_none_or(|said| said.next != next.label) {
            let [owner, next] =
                [link, next].map(|link| String::from_utf8_lossy(&link.label[1..]).into_owned());
            told.note(draft.at.clone(), || {
                format!("the NSEC3 record `{owner}` does not lead to `{next}`, the next one")
            });
        }
    }
    draft.problems.extend(told.error(SIGN_AGAIN));
    Some(links.into())
}

#[cfg(test)]
mod tests;
