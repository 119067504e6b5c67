//! `[policies.*]` and the policy of a record, as written: kind, members, rules.

use super::{
    Problem, Spanned,
    pool::{self, EndpointDef},
    reader::{Reader, Table, Value},
    scalar,
    settings::{self, MinHealthy, Ramp, refuse_record_keys},
};
use crate::units::Weight;
use ipnet::IpNet;
use std::{ops::Range, path::Path, sync::Arc, time::Duration};
use toml::de::DeValue;

/// A named policy as written: it may stand wherever a pool can.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyDef {
    /// The file it is in: a zone's, or the server's for a shared one.
    pub file: Arc<Path>,
    /// What it is referred to by.
    pub name: Spanned<String>,
    /// What it does; absent if its kind could not be read.
    pub body: Option<PolicyBody>,
    /// Of a weighted one, how much of its absorbing weight must be available; of a multivalue
    /// one, how many of its members.
    pub min_healthy: Option<Spanned<MinHealthy>>,
    /// Of a multivalue one: how many addresses it answers.
    pub answers: Option<Spanned<u32>>,
    /// Of a failover: how fast clients follow it. A record's own stands among its settings.
    pub ramp: Option<Spanned<Option<Ramp>>>,
}

/// What a policy does with what.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyBody {
    /// Where its kind is written.
    pub span: Range<usize>,
    /// Its kind, with what only that kind has.
    pub kind: PolicyKind,
    /// Its members, in order; none for geo, which has rules, or if they could not be read.
    pub members: Option<Spanned<Vec<MemberDef>>>,
}

/// The kinds of policies.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyKind {
    /// Clients divided by weight.
    Weighted,
    /// The first member that works, with a memory.
    Failover(FailoverDef),
    /// By where the client is.
    Geo(Option<Spanned<Vec<RuleDef>>>),
    /// The member nearest to the client.
    Latency(LatencyDef),
    /// Several addresses at once.
    Multivalue,
}

impl PolicyKind {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            PolicyKind::Weighted => "weighted",
            PolicyKind::Failover(_) => "failover",
            PolicyKind::Geo(_) => "geo",
            PolicyKind::Latency(_) => "latency",
            PolicyKind::Multivalue => "multivalue",
        }
    }
}

/// How a failover moves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailoverDef {
    /// Who decides to leave a member that is down.
    pub failover: Option<Spanned<Failover>>,
    /// How long it must have been down before.
    pub failover_delay: Option<Spanned<Duration>>,
    /// When it goes back.
    pub failback: Option<Spanned<Failback>>,
    /// After how long of unbroken health.
    pub failback_delay: Option<Spanned<Duration>>,
    /// Share of clients that keeps the next member warm.
    pub trickle: Option<Spanned<f64>>,
    /// Checks that must be up before clients are moved to any member.
    pub require: Vec<Spanned<String>>,
}

/// Who decides to leave a member that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// The server.
    Auto,
    /// An operator.
    Manual,
}

/// How a failover goes back to an earlier member that works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failback {
    /// At once.
    Auto,
    /// After `failback_delay` of unbroken health.
    After,
    /// When an operator says so.
    Manual,
}

/// How latencies are compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyDef {
    /// Members this close to the best share by weight.
    pub tie: Option<Spanned<Duration>>,
    /// Milliseconds added to a member's score.
    pub bias: Vec<(Spanned<String>, Spanned<f64>)>,
}

/// A member as written.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberDef {
    /// All of it.
    pub span: Range<usize>,
    /// What it is.
    pub target: MemberTarget,
    /// Its share of its policy.
    pub weight: Option<Spanned<Weight>>,
    /// Whether it takes what unavailable members leave.
    pub absorb: Option<Spanned<bool>>,
    /// Of a failover: checks that must be up before clients are moved to it.
    pub require: Option<Spanned<Vec<Spanned<String>>>>,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberTarget {
    /// A pool or a policy.
    Either(Spanned<String>),
    /// A pool.
    Pool(Spanned<String>),
    /// A policy.
    Policy(Spanned<String>),
    /// An endpoint of its own.
    Inline(Box<EndpointDef>),
}

/// A rule of a geo policy as written.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDef {
    /// All of it.
    pub span: Range<usize>,
    /// Which clients.
    pub matchers: Vec<Spanned<Matcher>>,
    /// Pools and policies, the first available of which they get; empty = NODATA. Absent if it
    /// could not be read.
    pub uses: Option<Vec<Spanned<String>>>,
    /// Whether the search stops here when none is available.
    pub fence: bool,
}

/// Which clients a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matcher {
    /// Those in a network.
    Subnet(IpNet),
    /// Those of an autonomous system.
    Asn(u32),
    /// Those in a part of a country: `US-CA` (ISO 3166-2).
    Subdivision(String),
    /// Those in a country: `DE` (ISO 3166-1).
    Country(String),
    /// Those on a continent: `EU`.
    Continent(String),
    /// Everybody.
    Any,
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Matcher::Subnet(network) => write!(f, "subnet:{network}"),
            Matcher::Asn(number) => write!(f, "asn:{number}"),
            Matcher::Subdivision(code) => write!(f, "subdivision:{code}"),
            Matcher::Country(code) => write!(f, "country:{code}"),
            Matcher::Continent(code) => write!(f, "continent:{code}"),
            Matcher::Any => f.write_str("*"),
        }
    }
}

/// Reads all `[policies.*]` of a file.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> Vec<PolicyDef> {
    let named = root.take_named(reader, "policies", "policy");
    named.into_iter().map(|(name, table)| policy(reader, name, table)).collect()
}

fn policy<'i>(
    reader: &mut Reader<'i, '_>,
    name: Spanned<String>,
    mut table: Table<'i>,
) -> PolicyDef {
    reader.check_name(&name);
    let ramp = table.take(reader, "ramp", settings::ramp);
    refuse_record_keys(reader, &mut table);
    for key in ["check", "region", "probe"] {
        table.elsewhere(reader, key, "write it at the pool, the record or the zone");
    }
    let body = body(reader, &mut table);
    let is = |word| body.as_ref().is_some_and(|body| body.kind.word() == word);
    if body.is_some() && !is("weighted") && !is("multivalue") {
        let help = "it belongs to pools, and to weighted and multivalue policies";
        table.elsewhere(reader, "min_healthy", help);
    }
    if body.is_some() && !is("multivalue") {
        table.elsewhere(reader, "answers", "it belongs to pools and to multivalue policies");
    }
    if let Some(ramp) = ramp.as_ref().filter(|_| body.is_some() && !is("failover")) {
        let message = format!("`ramp` does not belong to {}", table.what);
        let help = "it belongs to `failover` policies, and to records with their whole tree";
        reader.report_help(ramp.span(), message, help);
    }
    let policy = PolicyDef {
        file: reader.file.clone(),
        name,
        ramp,
        body,
        min_healthy: table.take(reader, "min_healthy", settings::min_healthy),
        answers: table.take(reader, "answers", settings::answers),
    };
    table.finish(reader);
    policy
}

/// Keys that only one kind of policy has.
const KEYS_OF_ONE: &[(&str, &str)] = &[
    ("rules", "geo"),
    ("tie", "latency"),
    ("bias", "latency"),
    ("failover", "failover"),
    ("failover_delay", "failover"),
    ("failback", "failover"),
    ("failback_delay", "failover"),
    ("trickle", "failover"),
    ("require", "failover"),
];

/// The keys that make a policy, of a record or of its own.
pub(super) fn body<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Option<PolicyBody> {
    const KINDS: &[(&str, &str)] = &[
        ("weighted", "weighted"),
        ("failover", "failover"),
        ("geo", "geo"),
        ("latency", "latency"),
        ("multivalue", "multivalue"),
    ];
    let word = scalar::choice("policy", KINDS, &[]);
    let word = table.require(reader, "policy", "\"weighted\"", word);
    let kind = word.as_ref().map_or("", |word| *word.get_ref());
    for (key, owner) in KEYS_OF_ONE.iter().filter(|(_, owner)| *owner != kind) {
        match kind {
            // Without a kind nobody knows which keys are right: read and forget them.
            "" => drop(table.take(reader, key, |_, _| Some(()))),
            _ => table.elsewhere(reader, key, &format!("it belongs to `{owner}` policies")),
        }
    }
    let members = match kind {
        "geo" => {
            table.elsewhere(reader, "members", "a geo policy has `rules`, each with its `use`");
            None
        }
        "" => table.take(reader, "members", members),
        _ => table.require(reader, "members", "[\"…\"]", members),
    };
    let kind = match kind {
        "weighted" => PolicyKind::Weighted,
        "failover" => PolicyKind::Failover(failover(reader, table)),
        "geo" => PolicyKind::Geo(rules(reader, table)),
        "latency" => PolicyKind::Latency(latency(reader, table)),
        "multivalue" => PolicyKind::Multivalue,
        _ => return None,
    };
    refuse_member_keys(reader, &kind, members.as_ref());
    Some(PolicyBody { span: word?.span(), kind, members })
}

/// Weights, `absorb` and `require` where they would mean nothing.
fn refuse_member_keys(
    reader: &mut Reader<'_, '_>,
    kind: &PolicyKind,
    members: Option<&Spanned<Vec<MemberDef>>>,
) {
    let weighs = matches!(kind, PolicyKind::Weighted | PolicyKind::Latency(_));
    for member in members.into_iter().flat_map(|members| members.get_ref()) {
        if let Some(weight) = member.weight.as_ref().filter(|_| !weighs) {
            let message = format!("`weight` means nothing under `{}`", kind.word());
            reader.report_help(weight.span(), message, "leave it out");
        }
        let absorb = member.absorb.as_ref();
        if let Some(absorb) = absorb.filter(|_| *kind != PolicyKind::Weighted) {
            let message = format!("`absorb` means nothing under `{}`", kind.word());
            reader.report_help(absorb.span(), message, "it belongs to `weighted` policies");
        }
        let require = member.require.as_ref();
        if let Some(require) = require.filter(|_| !matches!(kind, PolicyKind::Failover(_))) {
            let message = format!("`require` means nothing under `{}`", kind.word());
            reader.report_help(require.span(), message, "it belongs to `failover` policies");
        }
    }
}

fn failover<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> FailoverDef {
    const FAILOVER: &[(&str, Failover)] = &[("auto", Failover::Auto), ("manual", Failover::Manual)];
    const FAILBACK: &[(&str, Failback)] =
        &[("auto", Failback::Auto), ("after", Failback::After), ("manual", Failback::Manual)];
    let mode = scalar::choice("failover", FAILOVER, &[]);
    let failback = scalar::choice("failback", FAILBACK, &[]);
    FailoverDef {
        failover: table.take(reader, "failover", mode),
        failover_delay: table.take(reader, "failover_delay", scalar::duration),
        failback: table.take(reader, "failback", failback),
        failback_delay: table.take(reader, "failback_delay", scalar::duration),
        trickle: table.take(reader, "trickle", trickle),
        require: table.take(reader, "require", gates).map(Spanned::into_inner).unwrap_or_default(),
    }
}

/// A share that keeps a member warm: up to a half, or it would be no trickle.
fn trickle<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<f64> {
    let span = value.span();
    let share = scalar::number(reader, value)?;
    if (0.0..=0.5).contains(&share) {
        return Some(share);
    }
    let help = match share > 1.0 && share <= 50.0 {
        true => format!("write {} for {share} %", share / 100.0),
        false => "write a share from 0 to 0.5; to divide clients, use a weighted policy".into(),
    };
    reader.report_help(span, format!("{share} is not a trickle"), help);
    None
}

/// `["check:NAME"]`: names of checks.
fn gates<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<Spanned<String>>> {
    reader.list(value, "checks such as \"check:db-eu\"", |reader, value| {
        let span = value.span();
        let text = scalar::string(reader, value)?;
        let name = text.strip_prefix("check:").filter(|name| !name.is_empty());
        if name.is_none() {
            let message = format!("`{text}` is nothing that can be required");
            reader.report_help(span, message, "write `check:` and the name of a check");
        }
        name.map(str::to_owned)
    })
}

fn latency<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> LatencyDef {
    let tie = table.take(reader, "tie", scalar::duration);
    let bias = table.take_table(reader, "bias").map(Table::into_values);
    let bias = bias.unwrap_or_default().into_iter();
    let bias = bias.filter_map(|(member, value)| {
        let span = value.span();
        let ms = scalar::signed_ms(reader, value)?;
        Some((member, Spanned::new(span, ms)))
    });
    LatencyDef { tie, bias: bias.collect() }
}

fn members<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Vec<MemberDef>> {
    let items = reader.array(value, "members")?;
    let read = items.into_iter().filter_map(|item| member(reader, item));
    Some(read.collect())
}

fn member<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<MemberDef> {
    let span = value.span();
    if value.get_ref().is_str() {
        let name = scalar::name(reader, value)?;
        return Some(MemberDef {
            target: MemberTarget::Either(Spanned::new(span.clone(), name)),
            span,
            weight: None,
            absorb: None,
            require: None,
        });
    }
    let mut table = reader.table("a member".into(), value)?;
    refuse_record_keys(reader, &mut table);
    let weight = table.take(reader, "weight", scalar::weight);
    let absorb = table.take(reader, "absorb", scalar::boolean);
    let require = table.take(reader, "require", gates);
    let target = member_target(reader, &mut table);
    table.finish(reader);
    Some(MemberDef { span, target: target?, weight, absorb, require })
}

fn member_target<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Option<MemberTarget> {
    let inline = ["ipv4", "ipv6", "cname"].iter().any(|key| table.has(key));
    let kinds = [table.has("pool"), table.has("policy"), inline];
    if kinds.iter().filter(|&&kind| kind).count() != 1 {
        reader.report_help(
            table.span.clone(),
            "a member is exactly one of a pool, a policy or an endpoint",
            "write `pool = \"…\"`, `policy = \"…\"`, or `ipv4`, `ipv6` or `cname`",
        );
    }
    if inline {
        let endpoint = pool::inline_endpoint(reader, table);
        return Some(MemberTarget::Inline(Box::new(endpoint)));
    }
    let pool = table.take(reader, "pool", scalar::name);
    let policy = table.take(reader, "policy", scalar::name);
    pool.map(MemberTarget::Pool).or(policy.map(MemberTarget::Policy))
}

fn rules<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Option<Spanned<Vec<RuleDef>>> {
    let example = "[{ match = [\"*\"], use = [\"…\"] }]";
    table.require(reader, "rules", example, |reader, value| {
        let items = reader.array(value, "rules")?;
        let read = items.into_iter().filter_map(|item| rule(reader, item));
        Some(read.collect())
    })
}

fn rule<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<RuleDef> {
    let mut table = reader.table("a rule".into(), value)?;
    let matchers = table.require(reader, "match", "[\"country:DE\"]", |reader, value| {
        reader.list(value, "matchers such as \"country:DE\"", matcher)
    });
    if let Some(empty) = matchers.as_ref().filter(|list| list.get_ref().is_empty()) {
        // An array that was written empty; one with unreadable items has been reported.
        if reader.text[empty.span()].chars().all(|c| "[] \t\r\n".contains(c)) {
            let help = "name at least one matcher; `*` is everybody";
            reader.report_help(empty.span(), "this rule matches nobody", help);
        }
    }
    let uses = table.require(reader, "use", "[\"…\"]", one_or_more_names);
    let fence = table.take(reader, "fence", scalar::boolean);
    let span = table.span.clone();
    table.finish(reader);
    Some(RuleDef {
        span,
        matchers: matchers.map(Spanned::into_inner).unwrap_or_default(),
        uses: uses.map(Spanned::into_inner),
        fence: fence.is_some_and(Spanned::into_inner),
    })
}

fn one_or_more_names<'i>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
) -> Option<Vec<Spanned<String>>> {
    let span = value.span();
    match value.get_ref() {
        DeValue::String(_) => Some(vec![Spanned::new(span, scalar::name(reader, value)?)]),
        _ => reader.list(value, "names of pools and policies", scalar::name),
    }
}

fn matcher<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Matcher> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    match parse_matcher(&text) {
        Ok(matcher) => Some(matcher),
        Err((why, help)) => {
            let problem = Problem::error(&reader.file, span, why);
            reader.push(problem.help(help));
            None
        }
    }
}

/// The matcher as written, or what is wrong and what to do about it.
fn parse_matcher(text: &str) -> Result<Matcher, (String, String)> {
    const KINDS: [&str; 5] = ["subnet", "asn", "subdivision", "country", "continent"];
    const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
    let fail = |why: String, help: &str| Err((why, help.to_owned()));
    if text == "*" {
        return Ok(Matcher::Any);
    }
    let Some((kind, rest)) = text.split_once(':') else {
        return fail(
            format!("`{text}` is not a matcher"),
            "write `subnet:`, `asn:`, `subdivision:`, `country:` or `continent:` and a code, or `*`",
        );
    };
    let upper =
        |length: usize| rest.len() == length && rest.chars().all(|c| c.is_ascii_uppercase());
    match kind {
        "subnet" => match scalar::parse_network(rest) {
            Ok(network) => Ok(Matcher::Subnet(network)),
            Err(why) => fail(why, "write `subnet:192.0.2.0/24` or `subnet:2001:db8::/32`"),
        },
        "asn" => match rest.trim_start_matches("AS").parse() {
            Ok(number) => Ok(Matcher::Asn(number)),
            Err(_) => fail(format!("`{rest}` is not an AS number"), "write `asn:64500`"),
        },
        "subdivision" if is_subdivision(rest) => Ok(Matcher::Subdivision(rest.to_owned())),
        "subdivision" => fail(
            format!("`{rest}` is not a subdivision"),
            "write country and part as in ISO 3166-2: `subdivision:US-CA`",
        ),
        "country" if upper(2) => Ok(Matcher::Country(rest.to_owned())),
        "country" => fail(
            format!("`{rest}` is not a country"),
            "write two capitals as in ISO 3166-1: `country:DE`",
        ),
        "continent" if CONTINENTS.contains(&rest) => Ok(Matcher::Continent(rest.to_owned())),
        "continent" => {
            fail(format!("`{rest}` is not a continent"), "there is AF, AN, AS, EU, NA, OC and SA")
        }
        _ => {
            let meant =
                super::nearest(kind, KINDS).map(|meant| format!("; did you mean `{meant}:`?"));
            fail(
                format!("`{kind}:` is not a kind of matcher{}", meant.unwrap_or_default()),
                "there is `subnet:`, `asn:`, `subdivision:`, `country:`, `continent:` and `*`",
            )
        }
    }
}

fn is_subdivision(code: &str) -> bool {
    let Some((country, part)) = code.split_once('-') else {
        return false;
    };
    let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    country.len() == 2
        && country.chars().all(|c| c.is_ascii_uppercase())
        && (1..=3).contains(&part.len())
        && part.chars().all(letter)
}
