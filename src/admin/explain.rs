//! Why one client gets one answer.
//!
//! Walks the way a query goes, zone, name, class, Selection, draw, through the very functions
//! that answer packets: [`select`] with a trace beside it, [`steer`] with the client's network.
//! What it prints is therefore what is answered, and shares are sums over all draws, not
//! samples. Must not know sockets, or how it will be shown.
//!
//! Past 500 lines with its tests, because an account is one walk from top to bottom.

use super::{
    schema::{
        AnswerShare, DrawLine, DrawnBy, Explanation, MemberShare, Outcome, Place, SCHEMA_VERSION,
        Steered, StepLine, StepMark,
    },
    status::basis_words,
    suppose::suppose,
};
use crate::{
    clock::Dice,
    control::simulate::{Supposition, SuppositionError},
    engine::steer::{Client, draw_for, network, steer, steers},
    ids::{Class, SlotId},
    place::{ClassMask, LazyTable, fold, fold_net},
    policy::{
        Branch, Choice, Found, Part, Split, Wanted, select,
        sticky::{Drawn, Key, name_hash, number, pick},
        trace::{Mark, Steps},
    },
    snapshot::{Plan, Record, SlotAddress, TtlPolicy},
    steering::{Draw, Selection, Variant},
    units::Share,
    wire::{
        Name, NameProblem, QName, Rdatas,
        types::{Rtype, UnknownMnemonic},
    },
    world::World,
    zone::{Lookup, Node, Zone, rdata_text},
};
use ipnet::IpNet;
use std::{net::IpAddr, sync::Arc};

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: Rtype,
    /// The client: an address, or the network a resolver sends for it.
    pub client: IpNet,
    /// What is to be taken as true.
    pub suppositions: Vec<Supposition>,
}

/// Why a question cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The name is none.
    #[error("`{0}` is not a name: {1}")]
    Name(Box<str>, NameProblem),
    /// The type is none.
    #[error("{0}; write A, AAAA, MX, … or TYPE65280")]
    Type(#[from] UnknownMnemonic),
    /// The client is none.
    #[error("`{0}` is neither an address nor a network like 203.0.113.0/24")]
    Client(Box<str>),
    /// A supposition is none.
    #[error(transparent)]
    Supposition(#[from] SuppositionError),
}

impl Ask {
    /// Reads a question from its parts as people write them.
    ///
    /// # Errors
    /// At the first part that cannot be read.
    pub fn read<'t>(
        name: &str,
        rtype: &str,
        client: &str,
        suppositions: impl IntoIterator<Item = &'t str>,
    ) -> Result<Ask, AskError> {
        let address = || client.parse::<IpAddr>().map(IpNet::from);
        Ok(Ask {
            name: Name::parse(name).map_err(|problem| AskError::Name(name.into(), problem))?,
            rtype: rtype.parse()?,
            client: client
                .parse()
                .or_else(|_| address())
                .map(|net| net.trunc())
                .map_err(|_| AskError::Client(client.into()))?,
            suppositions: suppositions
                .into_iter()
                .filter(|text| !text.is_empty())
                .map(str::parse)
                .collect::<Result<_, SuppositionError>>()?,
        })
    }
}

/// Explains what `ask` is answered in `world`. `locations` is what its maps were made from.
///
/// # Errors
/// When a supposition concerns nothing.
pub fn explain(
    world: &Arc<World>,
    locations: Option<&LazyTable>,
    ask: &Ask,
) -> Result<Explanation, SuppositionError> {
    let supposed = suppose(world, &ask.suppositions)?;
    let mut said = Explanation {
        schema_version: SCHEMA_VERSION,
        name: ask.name.to_string(),
        rtype: ask.rtype.to_string(),
        client: shown(ask.client),
        supposed: ask.suppositions.iter().map(Supposition::to_string).collect(),
        ..Explanation::default()
    };
    if world.warming {
        said.notes.push(
            "first health results are awaited: steered names are silent until then; this is \
             what they would be answered"
                .into(),
        );
    }
    let mut qname = QName::default();
    qname.set(&ask.name);
    let snapshot = &supposed.snapshot;
    let Some(id) = snapshot.apexes.closest(&qname, ask.rtype) else {
        said.sentence = format!("{} is in no zone of this server: REFUSED", said.name);
        return Ok(said);
    };
    let entry = snapshot.zone(id);
    said.zone = Some(entry.apex.to_string());
    let Some(zone) = &entry.zone else {
        said.outcome = Outcome::ServFail;
        said.sentence = format!("zone {} never compiled: SERVFAIL", entry.apex);
        return Ok(said);
    };
    let about = About { world: &supposed, locations, ask, zone };
    match zone.lookup(&qname) {
        Lookup::Node { node, wildcard } => {
            if wildcard {
                said.owner = Some(node.name().to_string());
                said.notes.push(format!("the wildcard {} stands in for it", node.name()));
            }
            about.node(node, entry.records.start, &mut said);
        }
        Lookup::Delegation { cut, at_cut: true } if ask.rtype == Rtype::DS => {
            about.owned(cut, &mut said);
        }
        Lookup::Delegation { cut, .. } => {
            said.outcome = Outcome::Delegation;
            said.owner = Some(cut.name().to_string());
            said.records = about.lines(cut, Rtype::NS);
            said.sentence = format!("{} is delegated: a referral to its servers", cut.name());
        }
        Lookup::Dname { node, .. } => {
            said.outcome = Outcome::Dname;
            said.owner = Some(node.name().to_string());
            said.records = about.lines(node, Rtype::DNAME);
            said.sentence = format!("the DNAME at {} redirects it", node.name());
        }
        Lookup::NxDomain { .. } => {
            said.outcome = Outcome::NxDomain;
            said.sentence = format!("{} does not exist: NXDOMAIN", said.name);
        }
    }
    Ok(said)
}

/// A network, or a single address without its length.
fn shown(net: IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

/// One question in one zone.
struct About<'a> {
    world: &'a World,
    locations: Option<&'a LazyTable>,
    ask: &'a Ask,
    zone: &'a Zone,
}

impl About<'_> {
    fn node(&self, node: Node<'_>, first_record: u32, said: &mut Explanation) {
        let Some(steered) = node.steered() else { return self.owned(node, said) };
        let record = &self.world.snapshot.records[(first_record + steered.index) as usize];
        if !steers(self.world.snapshot.plan(record.plan), self.ask.rtype) {
            let rtype = self.ask.rtype;
            said.notes.push(format!("the name is steered, {rtype} at it is not"));
            return self.owned(node, said);
        }
        said.outcome = Outcome::Steered;
        let (steered, is_unknown) = self.steered(record);
        said.sentence = sentence(said, &steered);
        if is_unknown {
            said.outcome = Outcome::ServFail;
            said.sentence =
                format!("{} {}: its addresses were not found yet: SERVFAIL", said.name, said.rtype);
        }
        said.steering = Some(steered);
    }

    /// What the zone's own data says of `node`.
    fn owned(&self, node: Node<'_>, said: &mut Explanation) {
        let rtype = self.ask.rtype;
        let any = node.rrsets().first().map(|rrset| rrset.rtype());
        let owned = match rtype {
            Rtype::ANY => any,
            _ => [rtype, Rtype::CNAME].into_iter().find(|rtype| node.rrset(*rtype).is_some()),
        };
        let Some(owned) = owned else {
            said.outcome = Outcome::NoData;
            said.sentence = format!("{} exists without {rtype}: no data", said.name);
            return;
        };
        said.outcome = Outcome::Static;
        said.records = self.lines(node, owned);
        let one = if said.records.len() == 1 { "record" } else { "records" };
        said.sentence = format!(
            "{} is answered from the zone's own data: {} {owned} {one}",
            said.name,
            said.records.len()
        );
        if owned == Rtype::CNAME && rtype != Rtype::CNAME {
            said.notes.push("its target is answered along with it where it is ours".into());
        }
    }

    /// The RRset of `node` as zone file lines.
    fn lines(&self, node: Node<'_>, rtype: Rtype) -> Vec<String> {
        let Some(rrset) = node.rrset(rtype) else { return Vec::new() };
        let owner = node.name();
        let line = |data| format!("{owner}. {} IN {rtype} {data}", rrset.ttl.as_secs());
        texts(&rrset.rdatas, Some(self.zone.apex())).into_iter().map(line).collect()
    }

    /// What steering says, and whether that is nothing because nobody has found it yet.
    fn steered(&self, record: &Record) -> (Steered, bool) {
        let World { snapshot, steering, state, .. } = self.world;
        let plan = snapshot.plan(record.plan);
        // What a resolver that sends this network would be answered, scope and all.
        let net = self.ask.client;
        let client = Client { from: net.addr(), subnet: Some((net.addr(), net.prefix_len())) };
        let (ip, len) = client.seen_by(plan);
        let (class, place) = self.place(plan, ip, len);

        let moved = state.moved();
        let flattened =
            |slot: SlotId| snapshot.aliases.iter().find(|alias| alias.slots.contains(&slot));
        let verdict = |slot: SlotId| {
            let words = match state.verdict(slot) {
                Some(verdict) => format!("{}: {}", verdict.sight.standing.word(), verdict.reason),
                None => "up: no check".to_owned(),
            };
            match (flattened(slot), moved.directives.found(slot)) {
                (None, _) => words,
                (Some(alias), None) => format!("{words}; nobody has found {} yet", alias.name),
                (Some(alias), Some(found)) => format!("{words}; {} is {found}", alias.name),
            }
        };
        let mut steps = Steps::new(&verdict);
        let ramps = moved.ramps_of(plan);
        let directives = moved.directives(&ramps);
        let decision = select(&plan.tree, class, &state.standings, &directives, &mut steps);
        let mut members = Vec::new();
        shares(&decision.choice, wanted(plan, self.ask.rtype), (0, 1.0), &mut members);

        let selection = steering.plan(record.plan).selection(class);
        let draw = draw_for(plan, selection, self.ask.rtype);
        let given = steer(
            self.world,
            (record, plan),
            self.ask.rtype,
            &client,
            &mut Dice::seeded(0),
            &mut None,
        );
        let (ttl_why, scope_why) = (self.ttl_why(plan), scope_why(plan, given.scope));
        let steered = Steered {
            record: record.id.to_string(),
            place,
            steps: steps.steps.into_iter().map(step_line).collect(),
            members,
            answers: self.answers(plan, selection, draw, given.variant),
            draw: drawn(plan, record, draw, &decision.choice, (ip, len)),
            ttl_s: given.variant.ttl.as_secs(),
            ttl_why,
            scope: given.scope,
            scope_why,
            basis: basis_words(selection.basis),
        };
        (steered, given.variant.is_unknown)
    }

    /// The client's class, and the row of the map that says so.
    fn place(&self, plan: &Plan, ip: IpAddr, len: u8) -> (Class, Option<Place>) {
        let Some(map) = plan.map else { return (Plan::ONLY_CLASS, None) };
        let map = &self.world.snapshot.maps[map.index()];
        let hit = map.lookup_net(ip, len);
        let table = self.locations.map(LazyTable::table);
        let found = table.and_then(|table| table.lookup(fold(ip)));
        let mut networks: Vec<&IpNet> =
            map.nets().iter().filter(|net| net.contains(&fold_net(ip, len).ip)).collect();
        networks.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
        let row = IpNet::new(ip, map.scope(&hit, &ClassMask::single(hit.class)));
        let place = Place {
            known: hit.known,
            prefix: row.map_or_else(|_| ip.to_string(), |row| row.trunc().to_string()),
            location: found.map(|(_, location)| location.to_string()),
            location_prefix: found.map(|(net, _)| net.to_string()),
            database: table.map(|table| table.sources_of(fold(ip))),
            networks: networks.iter().map(|net| net.to_string()).collect(),
            class: hit.class.0,
            classes: plan.tree.classes.classes(),
        };
        (hit.class, Some(place))
    }

    /// Every answer, the most frequent first.
    fn answers(
        &self,
        plan: &Plan,
        selection: &Selection,
        draw: &Draw,
        given: &Variant,
    ) -> Vec<AnswerShare> {
        let snapshot = &self.world.snapshot;
        let answer = |(variant, share): (usize, f64)| {
            let variant = &selection.variants[variant];
            let records = variant.rdatas.as_ref().map(|rdatas| texts(rdatas, None));
            let records = records.unwrap_or_default();
            let region = plan.spots.get(usize::from(variant.spot)).and_then(|spot| spot.region);
            AnswerShare {
                share,
                endpoint: records.first().and_then(|first| self.endpoint(plan, first)),
                records,
                region: region.map(|region| snapshot.region_name(region).to_owned()),
                this_client: !matches!(draw, Draw::Chance(_)) && variant == given,
            }
        };
        let mut answers: Vec<AnswerShare> = draw.shares().into_iter().map(answer).collect();
        answers.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.records.cmp(&b.records)));
        answers
    }

    /// The endpoint of `plan` that answers `data`.
    fn endpoint(&self, plan: &Plan, data: &str) -> Option<String> {
        let moved = self.world.state.moved();
        let found = |slot: SlotId| moved.directives.found(slot);
        let has = |found: &Found, data: &str| {
            found.v4().iter().any(|ip| ip.to_string() == data)
                || found.v6().iter().any(|ip| ip.to_string() == data)
        };
        let slots = &self.world.snapshot.slots;
        let answers = |slot: SlotId| match &slots[slot.index()].address {
            SlotAddress::Ip(ip) => ip.to_string() == data,
            SlotAddress::Name(_) if found(slot).is_some_and(|found| has(found, data)) => true,
            SlotAddress::Name(name) => {
                name.trim_end_matches('.').eq_ignore_ascii_case(data.trim_end_matches('.'))
            }
        };
        let slot = plan.slots.iter().find(|slot| answers(**slot))?;
        Some(slots[slot.index()].name.to_string())
    }

    fn ttl_why(&self, plan: &Plan) -> String {
        let TtlPolicy { max, min } = plan.ttl;
        let World { snapshot, state, .. } = self.world;
        let failing = plan.slots.iter().find(|slot| state.standings.of(**slot).failing);
        match failing {
            _ if max == min => "fixed".to_owned(),
            Some(slot) => {
                let name = &snapshot.slots[slot.index()].name;
                format!("shortened from {max}: {name} has a failing probe")
            }
            None => format!("{min} while an endpoint has a failing probe"),
        }
    }
}

fn scope_why(plan: &Plan, scope: u8) -> String {
    let why = match (plan.use_ecs, plan.map.is_some(), plan.sticky.is_some()) {
        (false, _, _) => "ecs = \"ignore\": the resolver's own address decides",
        (true, false, false) => "the answer does not depend on the client",
        (true, true, false) if scope == 0 => "all clients get the same answer now",
        (true, true, false) => "the widest prefix that gets the same answer now",
        (true, false, true) => "one client network of a sticky record",
        (true, true, true) => "the longer of the client network and the map's prefix",
    };
    why.to_owned()
}

fn step_line(step: crate::policy::trace::Step) -> StepLine {
    let mark = match step.mark {
        Mark::Kept => StepMark::Kept,
        Mark::Dropped => StepMark::Dropped,
        Mark::Note => StepMark::Note,
    };
    StepLine { depth: step.depth, mark, name: step.name, why: step.why }
}

/// What `rtype` asks of a pool of `plan`; ANY is answered as A is.
fn wanted(plan: &Plan, rtype: Rtype) -> Wanted {
    match rtype {
        Rtype::A | Rtype::ANY => Wanted::A,
        Rtype::AAAA => Wanted::Aaaa,
        _ if plan.extra.contains(&rtype) => Wanted::Extra(rtype),
        _ => Wanted::Other,
    }
}

/// The levels of `choice`, with what each member gets of all clients.
fn shares(
    choice: &Choice<'_>,
    wanted: Wanted,
    (depth, whole): (u8, f64),
    out: &mut Vec<MemberShare>,
) {
    let mut member = |name: &str, weight, share| {
        out.push(MemberShare { depth, name: name.to_owned(), weight, share });
    };
    match choice {
        Choice::Nodata => member("(no data)", 1, whole),
        Choice::Leaf(leaf) => {
            let answers = leaf.answers_to(wanted);
            let sum: u64 = answers.iter().map(|answer| answer.weight).sum();
            // As written, not as they stand on the ring.
            let led = |candidate| answers.iter().find(|answer| answer.endpoints[0] == candidate);
            for answer in leaf.candidates.iter().filter_map(led) {
                let share = whole * answer.weight as f64 / sum as f64;
                let leader = answer.endpoints[0].endpoint;
                member(&leader.name, leader.weight.get().into(), share);
            }
            if answers.is_empty() {
                member("(no data)", 1, whole);
            }
        }
        Choice::Draw(branches) => {
            let sum: u64 = branches.iter().map(|branch| branch.weight).sum();
            for branch in branches {
                let share = whole * branch.weight as f64 / sum as f64;
                let (name, weight) = (member_name(branch), branch.weight);
                out.push(MemberShare { depth, name, weight, share });
                shares(&branch.choice, wanted, (depth + 1, share), out);
            }
        }
        Choice::Split(split) => {
            for (part, width) in split.parts() {
                let share = whole * width.as_fraction();
                let (name, weight) = (part_name(split, part), width.as_millionths().into());
                out.push(MemberShare { depth, name, weight, share });
                shares(&part.choice, wanted, (depth + 1, share), out);
            }
        }
    }
}

fn drawn(
    plan: &Plan,
    record: &Record,
    draw: &Draw,
    choice: &Choice<'_>,
    (ip, len): (IpAddr, u8),
) -> DrawLine {
    let by = match draw {
        Draw::Fixed(_) => DrawnBy::Nothing,
        Draw::Chance(_) => DrawnBy::Chance,
        Draw::Sticky(_) => DrawnBy::Client,
    };
    let Some(sticky) = plan.sticky.filter(|_| by == DrawnBy::Client) else {
        return DrawLine { by, network: None, path: Vec::new() };
    };
    let looked_at = network(ip, len, sticky);
    let key = Key::new(looked_at.bits, record.cohort);
    let network = IpNet::new(ip, looked_at.len).ok().map(|net| net.trunc().to_string());
    let mut path = Vec::new();
    follow(choice, key, &mut path);
    DrawLine { by, network, path }
}

/// What a branch is called. Those who share what exact members leave have no name of their own
/// where they are several; a single one is known by its pool.
fn member_name(branch: &Branch<'_>) -> String {
    match &branch.choice {
        _ if !branch.name.is_empty() => branch.name.to_owned(),
        Choice::Leaf(leaf) if leaf.candidates.iter().all(|c| !c.merged) => {
            let pool = leaf.candidates.first().map_or("", |candidate| &candidate.pool.id);
            pool.rsplit('/').next().unwrap_or(pool).to_owned()
        }
        _ => "(the rest)".to_owned(),
    }
}

/// What the clients of a part have in common.
fn part_name(split: &Split<'_>, part: &Part<'_>) -> String {
    let is_last = part.below == Share::ONE;
    match (split.by, is_last) {
        (Drawn::Failover, false) => "(those who followed)".to_owned(),
        (Drawn::Trickle, false) => "(the trickle)".to_owned(),
        (_, false) => format!("(those below {})", part.below),
        (_, true) => "(the rest)".to_owned(),
    }
}

/// The members that `key` is given, level by level, as [`steer`] draws them.
fn follow(choice: &Choice<'_>, key: Key, path: &mut Vec<String>) {
    if let Choice::Split(split) = choice {
        let number = number(key, split.salt());
        let last = split.parts.len() - 1;
        let above = split.parts[..last].iter().position(|part| number < part.below.cut());
        let part = &split.parts[above.unwrap_or(last)];
        path.push(part_name(split, part));
        return follow(&part.choice, key, path);
    }
    let Choice::Draw(branches) = choice else { return };
    let arms = branches
        .iter()
        .map(|branch| (name_hash(Drawn::Member, branch.salt, &[branch.name]), branch.weight));
    let Some(branch) = branches.get(pick(key, arms)) else { return };
    path.push(member_name(branch));
    follow(&branch.choice, key, path);
}

fn sentence(said: &Explanation, steered: &Steered) -> String {
    let asked = format!("{} {}", said.name, said.rtype);
    let answer = |answer: &AnswerShare| match &answer.records[..] {
        [] => "no data".to_owned(),
        records => records.join(" + "),
    };
    let ttl = steered.ttl_s;
    let mine = steered.answers.iter().find(|answer| answer.this_client);
    let said = match mine {
        Some(mine) => format!("{asked}: this client gets {} for {ttl} s", answer(mine)),
        None => {
            let shares = steered.answers.iter().take(ANSWERS_NAMED);
            let shares: Vec<String> =
                shares.map(|a| format!("{} ({})", answer(a), percent(a.share))).collect();
            let more = match steered.answers.len().checked_sub(ANSWERS_NAMED) {
                Some(more) if more > 0 => format!(" or one of {more} others"),
                _ => String::new(),
            };
            format!("{asked}: this client gets {}{more} for {ttl} s", shares.join(" or "))
        }
    };
    match &*steered.basis {
        "healthy" => said,
        basis => format!("{said}, on these grounds: {basis}"),
    }
}

/// Answers named one by one in the sentence.
const ANSWERS_NAMED: usize = 3;

/// A share as people read it: `10 %`, `33.33 %`, never rounded to none.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = format!("{percent:.2}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "0" if share > 0.0 => format!("{percent:.1e} %"),
        text => format!("{text} %"),
    }
}

/// The data of each record of `rdatas`, in order, as zone files have it.
fn texts(rdatas: &Rdatas, apex: Option<&Name>) -> Vec<String> {
    rdatas.iter(apex).map(|rdata| rdata_text(rdatas.rtype(), &rdata)).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::testkit, *};
    use crate::{
        engine::Desk,
        telemetry::{Telemetry, Via},
        wire::testing::Packet,
    };

    fn explained(name: &str, rtype: &str, client: &str, what_if: &[&str]) -> Explanation {
        let ask = Ask::read(name, rtype, client, what_if.iter().copied()).unwrap();
        explain(&testkit::world(&[]), Some(&LazyTable::embedded()), &ask).unwrap()
    }

    fn steered(name: &str, client: &str, what_if: &[&str]) -> Steered {
        explained(name, "A", client, what_if).steering.unwrap()
    }

    /// The answers with their shares in whole per cent.
    fn shares(steered: &Steered) -> Vec<(String, u32)> {
        let share = |a: &AnswerShare| (a.records.join(" "), (a.share * 100.0).round() as u32);
        steered.answers.iter().map(share).collect()
    }

    /// What became of each candidate, notes left out.
    fn fates(steered: &Steered) -> Vec<String> {
        let steps = steered.steps.iter().filter(|step| step.mark != StepMark::Note);
        let sign = |step: &StepLine| if step.mark == StepMark::Kept { '+' } else { '-' };
        steps.map(|step| format!("{}{}{}", step.depth, sign(step), step.name)).collect()
    }

    #[test]
    fn shares_of_a_split_are_exact() {
        let www = steered("www.g.example", "203.0.113.7", &[]);
        let wanted = [("192.0.2.1", 45), ("192.0.2.2", 45), ("192.0.2.3", 10)];
        assert_eq!(shares(&www), wanted.map(|(answer, share)| (answer.to_owned(), share)));
        assert!((www.answers[2].share - 0.1).abs() < 1e-12);
        assert_eq!(www.draw.by, DrawnBy::Chance);
        assert!(www.answers.iter().all(|answer| !answer.this_client));
        let members: Vec<&str> = www.members.iter().map(|m| &*m.name).collect();
        assert_eq!(members, ["canary", "c1", "stable", "s1", "s2"]);
    }

    #[test]
    fn what_goes_along_with_addresses_is_explained_like_them() {
        let txt = explained("www.g.example", "TXT", "203.0.113.7", &[]);
        let wanted = "this client gets no data (90 %) or \"canary\" (10 %) for 30 s";
        assert!(txt.sentence.ends_with(wanted), "{}", txt.sentence);
        let srv = explained("www.g.example", "SRV", "203.0.113.7", &[]).steering.unwrap();
        let wanted = [("", 90), ("0 5 443 c1.www.g.example.", 10)];
        assert_eq!(shares(&srv), wanted.map(|(answer, share)| (answer.to_owned(), share)));
        let members: Vec<&str> = srv.members.iter().map(|m| &*m.name).collect();
        assert_eq!(members, ["canary", "c1", "stable", "s1", "s2"]);
    }

    #[test]
    fn a_sticky_client_is_explained_what_packets_answer_it() {
        let world = testkit::world(&[]);
        let telemetry = Telemetry::default();
        let mut desk = Desk::new(7, telemetry.thread());
        for n in 0..64_u8 {
            let ask = Ask::read("sticky.g.example", "A", &format!("10.{n}.3.0/24"), []).unwrap();
            let said = explain(&world, None, &ask).unwrap().steering.unwrap();
            let mine = said.answers.iter().find(|answer| answer.this_client).unwrap();

            let query = Packet::asking("sticky.g.example", Rtype::A).ecs(1, 24, &[10, n, 3]);
            let mut buf = query.build();
            let len = buf.len();
            buf.resize(1232, 0);
            let from = "192.0.2.250".parse().unwrap();
            let len = desk.answer(&world, &mut buf, len, from, Via::Udp);
            // The one record's data is the last of the answer section; the OPT follows it.
            let answered =
                |data: [u8; 4]| buf[..len].windows(6).any(|w| w == [&[0, 4], &data[..]].concat());
            let ip: std::net::Ipv4Addr = mine.records[0].parse().unwrap();
            assert!(answered(ip.octets()), "10.{n}.3.0/24 is not answered {ip}");
            assert_eq!((said.draw.by, said.scope), (DrawnBy::Client, 24));
            assert_eq!(said.draw.network.as_deref(), Some(&*format!("10.{n}.3.0/24")));
        }
    }

    #[test]
    fn a_supposed_failure_shows_who_is_dropped_and_who_steps_in() {
        let before = steered("app.g.example", "203.0.113.7", &[]);
        assert_eq!(fates(&before), ["1+stable", "2+s1", "2+s2"]);
        assert_eq!(
            (before.ttl_s, &*before.ttl_why),
            (30, "5s while an endpoint has a failing probe")
        );

        let after = steered("app.g.example", "203.0.113.7", &["pool:stable=down"]);
        assert_eq!(fates(&after), ["1-stable", "2-s1", "2-s2", "1+dub", "2+d1"]);
        assert_eq!(shares(&after), [("198.51.100.1".to_owned(), 100)]);
        assert_eq!((after.ttl_s, &*after.basis), (5, "healthy"));
        assert!(after.ttl_why.contains("s1 has a failing probe"), "{}", after.ttl_why);
    }

    #[test]
    fn a_last_resort_is_called_one() {
        let said = explained("app.g.example", "A", "203.0.113.7", &["endpoint:*=down"]);
        assert_eq!(said.steering.unwrap().basis, "all-down: last-good");
        assert!(said.sentence.ends_with("on these grounds: all-down: last-good"));
    }

    #[test]
    fn the_map_row_says_where_the_client_is_and_who_says_so() {
        let said = explained("x.near.g.example", "A", "193.0.6.139", &[]);
        assert_eq!(said.owner.as_deref(), Some("*.near.g.example"));
        let near = said.steering.unwrap();
        let place = near.place.as_ref().unwrap();
        assert_eq!((place.known, place.location.as_deref()), (true, Some("NL")));
        assert_eq!(place.location_prefix.as_deref(), Some("193.0.0.0/20"));
        assert!(place.database.as_ref().unwrap().contains("geo-whois"));
        assert_eq!(shares(&near), [("198.51.100.1".to_owned(), 100)]);
        assert_eq!(near.answers[0].endpoint.as_deref(), Some("g.example/dub/d1"));
        assert_eq!(near.answers[0].region.as_deref(), Some("eu"));
        assert!(near.answers[0].this_client);
        let row: IpNet = place.prefix.parse().unwrap();
        assert_eq!(row.prefix_len(), near.scope);

        let unknown = steered("x.near.g.example", "10.0.0.1", &[]);
        assert!(!unknown.place.unwrap().known);
    }

    #[test]
    fn what_is_not_steered_is_explained_from_the_zone() {
        for (name, rtype, outcome, sentence) in [
            ("ns.g.example", "A", Outcome::Static, "1 A record"),
            ("ns.g.example", "TXT", Outcome::NoData, "exists without TXT"),
            ("a.b.cdn.g.example", "A", Outcome::Static, "1 CNAME record"),
            ("nope.g.example", "A", Outcome::NxDomain, "NXDOMAIN"),
            ("x.sub.g.example", "A", Outcome::Delegation, "sub.g.example is delegated"),
            ("app.g.example", "MX", Outcome::NoData, "exists without MX"),
            ("elsewhere.example", "A", Outcome::Refused, "REFUSED"),
        ] {
            let said = explained(name, rtype, "192.0.2.9", &[]);
            assert_eq!(said.outcome, outcome, "{name} {rtype}");
            assert!(said.sentence.contains(sentence), "{}", said.sentence);
            assert!(said.steering.is_none());
        }
        let wildcard = explained("a.b.cdn.g.example", "A", "192.0.2.9", &[]);
        assert_eq!(wildcard.records, ["*.cdn.g.example. 3600 IN CNAME ns.g.example."]);
    }

    #[test]
    fn a_supposition_about_nothing_is_an_error() {
        let ask = Ask::read("app.g.example", "A", "192.0.2.9", ["pool:none=down"]).unwrap();
        assert!(explain(&testkit::world(&[]), None, &ask).is_err());
    }

    #[test]
    fn small_shares_are_never_shown_as_none() {
        for (share, text) in
            [(0.1, "10 %"), (1.0 / 3.0, "33.33 %"), (1e-6, "1.0e-4 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
