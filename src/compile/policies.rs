//! Policies as defined: whether they name what exists, absorb, end, and do not contain
//! themselves. Each definition is checked once, whoever uses it; [`super::trees`] makes nodes.

use super::{
    checks,
    names::{Member, Named, Scope},
    pools,
};
use crate::{
    config::{
        Problem, Problems, Spanned,
        policy::{
            Failback, Failover, FailoverDef, LatencyDef, Matcher, MemberDef, MemberTarget,
            PolicyBody, PolicyDef, PolicyKind, RuleDef,
        },
    },
    place::{Country, Subdivision, distance, fold::fold_rule},
    policy::tree::MEMBERS_MAX,
};
use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// A chain of rules counts them in a byte.
const RULES_MAX: usize = 256;

/// Policies of a loop that are named; the middle of a longer one is left out.
const LOOP_SHOWN: usize = 10;

/// Checks a named policy as it is defined, once, whoever uses it.
pub(super) fn check_definition(scope: &Scope<'_>, def: &PolicyDef, problems: &mut Problems) {
    if let Some(body) = &def.body {
        check_body(scope, &def.file, body, problems);
    }
}

/// Checks what a policy does, of a record or of its own.
pub(super) fn check_body(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    body: &PolicyBody,
    problems: &mut Problems,
) {
    if let Some(members) = &body.members {
        check_members(scope, file, members, problems);
    }
    match &body.kind {
        PolicyKind::Weighted => check_absorbing(file, body, problems),
        PolicyKind::Geo(rules) => {
            if let Some(rules) = rules {
                check_rules(scope, file, rules, problems);
            }
        }
        PolicyKind::Latency(latency) => check_bias(file, body, latency, problems),
        PolicyKind::Failover(failover) => check_failover(scope, file, body, failover, problems),
        PolicyKind::Multivalue => {}
    }
}

fn check_failover(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    body: &PolicyBody,
    failover: &FailoverDef,
    problems: &mut Problems,
) {
    let mut useless = |delay: &Option<Spanned<Duration>>, key, with, instead| {
        if let Some(delay) = delay {
            let message = format!("`{key}` means nothing with `{with}`");
            let problem = Problem::error(file, delay.span(), message);
            problems.push(problem.help(format!("write `{instead}`, or leave it out")));
        }
    };
    let back = failover.failback.as_ref().map(Spanned::get_ref);
    if let Some(word) = match back {
        Some(Failback::Auto) => Some("failback = \"auto\""),
        Some(Failback::Manual) => Some("failback = \"manual\""),
        _ => None,
    } {
        useless(&failover.failback_delay, "failback_delay", word, "failback = \"after\"");
    }
    if failover.failover.as_ref().map(Spanned::get_ref) == Some(&Failover::Manual) {
        let word = "failover = \"manual\"";
        useless(&failover.failover_delay, "failover_delay", word, "failover = \"auto\"");
    }
    let members = body.members.iter().flat_map(|members| members.get_ref());
    let of_members = members.flat_map(|member| member.require.iter()).flat_map(|r| r.get_ref());
    for gate in failover.require.iter().chain(of_members) {
        checks::required(scope.server, file, gate, problems);
    }
}

fn check_members(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    members: &Spanned<Vec<MemberDef>>,
    problems: &mut Problems,
) {
    let list = members.get_ref();
    if list.is_empty() {
        let problem = Problem::error(file, members.span(), "there is no member that can be used");
        problems.push(problem.help("name at least one pool or policy"));
    }
    if list.len() > MEMBERS_MAX {
        let message = format!("there are {} members; {MEMBERS_MAX} is the most", list.len());
        let help = "put some of them into a policy of their own";
        problems.push(Problem::error(file, members.span(), message).help(help));
    }
    let mut first: HashMap<String, Range<usize>> = HashMap::new();
    for member in list {
        if let Some(Member::Inline(endpoint)) = scope.member(file, &member.target, problems) {
            pools::check_endpoint(scope, file, endpoint, problems);
        }
        let name = target_name(&member.target);
        if let Some(first) = first.get(&name) {
            let message = format!("`{name}` is a member twice");
            let problem = Problem::error(file, member.span.clone(), message);
            let problem = problem.related(file, first.clone(), "first here");
            problems.push(problem.help("name it once; a larger share is a larger weight"));
        }
        first.insert(name, member.span.clone());
    }
}

/// What a member is called.
pub(super) fn target_name(target: &MemberTarget) -> String {
    match target {
        MemberTarget::Either(name) | MemberTarget::Pool(name) | MemberTarget::Policy(name) => {
            name.get_ref().clone()
        }
        MemberTarget::Inline(endpoint) => pools::inline_name(endpoint),
    }
}

pub(super) fn absorbs(member: &MemberDef) -> bool {
    member.absorb.as_ref().is_none_or(|absorb| *absorb.get_ref())
}

fn check_absorbing(file: &Arc<Path>, body: &PolicyBody, problems: &mut Problems) {
    let Some(members) = body.members.as_ref().filter(|m| !m.get_ref().is_empty()) else {
        return;
    };
    if !members.get_ref().iter().any(absorbs) {
        let message = "no member of this policy absorbs";
        problems.push(Problem::error(file, members.span(), message).help(
            "somebody must take the clients of a member that is down: leave `absorb = false` out \
             of at least one",
        ));
    }
}

fn check_bias(file: &Arc<Path>, body: &PolicyBody, latency: &LatencyDef, problems: &mut Problems) {
    let members = body.members.iter().flat_map(|members| members.get_ref());
    let names: Vec<String> = members.map(|member| target_name(&member.target)).collect();
    for (name, _) in &latency.bias {
        if !names.contains(name.get_ref()) {
            let candidates = names.iter().map(String::as_str);
            let word = name.get_ref();
            problems.push(Problem::unknown(file, name.span(), "member", word, candidates));
        }
    }
}

fn check_rules(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    rules: &Spanned<Vec<RuleDef>>,
    problems: &mut Problems,
) {
    let list = rules.get_ref();
    if list.len() > RULES_MAX {
        let message = format!("there are {} rules; {RULES_MAX} is the most", list.len());
        let help = "a rule may have many matchers";
        problems.push(Problem::error(file, rules.span(), message).help(help));
    }
    let mut first: HashMap<Matcher, Range<usize>> = HashMap::new();
    for rule in list {
        for matcher in &rule.matchers {
            check_matcher(file, matcher, problems);
            let meant = folded(matcher.get_ref());
            if let Some(first) = first.get(&meant) {
                let message = format!("`{}` is matched twice", matcher.get_ref());
                let problem = Problem::error(file, matcher.span(), message);
                let problem = problem.related(file, first.clone(), "first here");
                problems.push(problem.help("the most specific matcher wins, whatever the order"));
            }
            first.insert(meant, matcher.span());
        }
        let uses = rule.uses.iter().flatten();
        let mut known = BTreeSet::new();
        for name in uses {
            scope.resolve(file, name, "pool or policy", problems);
            if !known.insert(name.get_ref()) {
                let message = format!("`{name}` is used twice in one rule");
                problems.push(Problem::error(file, name.span(), message));
            }
        }
        if known.len() > MEMBERS_MAX {
            let message = format!("a rule uses {MEMBERS_MAX} names at most");
            problems.push(Problem::error(file, rule.span.clone(), message));
        }
    }
    if !first.contains_key(&Matcher::Any) {
        let problem = Problem::error(file, rules.span(), "there is no catch-all rule");
        problems.push(problem.help(
            "add { match = [\"*\"], use = [\"…\"] } for everybody whom no other rule matches \
             (`use = []` answers them nothing)",
        ));
    }
}

/// The matcher as maps see it: IPv4 hidden in IPv6 is IPv4.
pub(super) fn folded(matcher: &Matcher) -> Matcher {
    match matcher {
        Matcher::Subnet(network) => Matcher::Subnet(fold_rule(*network)),
        other => other.clone(),
    }
}

fn check_matcher(file: &Arc<Path>, matcher: &Spanned<Matcher>, problems: &mut Problems) {
    let country = match matcher.get_ref() {
        Matcher::Country(code) => Country::parse(code),
        Matcher::Subdivision(code) => Subdivision::parse_full(code).map(|(country, _)| country),
        _ => return,
    };
    if country.and_then(distance::country).is_none() {
        let message = format!("`{}` names a country that does not exist", matcher.get_ref());
        let help = "countries are two letters of ISO 3166-1, such as GB (not UK)";
        problems.push(Problem::error(file, matcher.span(), message).help(help));
    }
}

/// The names a policy refers to, with their places.
pub(super) fn references(body: &PolicyBody) -> Vec<&Spanned<String>> {
    let members = body.members.iter().flat_map(|members| members.get_ref());
    let members = members.filter_map(|member| match &member.target {
        MemberTarget::Either(name) | MemberTarget::Pool(name) | MemberTarget::Policy(name) => {
            Some(name)
        }
        MemberTarget::Inline(_) => None,
    });
    let rules = match &body.kind {
        PolicyKind::Geo(Some(rules)) => rules.get_ref().as_slice(),
        _ => &[],
    };
    let uses = rules.iter().flat_map(|rule| rule.uses.iter().flatten());
    members.chain(uses).collect()
}

/// Finds policies that contain themselves; each loop is reported once. Walks with a stack of its
/// own: a chain of policies is as long as the operator made it.
pub(super) fn check_loops(scope: &Scope<'_>, policies: &[PolicyDef], problems: &mut Problems) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for policy in policies {
        // The policies that led here, each with what of it is still to be followed.
        let mut path = vec![Step::new(policy)];
        while let Some(step) = path.last_mut() {
            let (name, from) = (step.name, step.file);
            let Some(reference) = step.rest.pop().filter(|_| !done.contains(name)) else {
                done.insert(name);
                path.pop();
                continue;
            };
            let word = reference.get_ref().as_str();
            if let Some(start) = path.iter().position(|step| step.name == word) {
                let mut around: Vec<&str> = path[start..].iter().map(|step| step.name).collect();
                if around.len() > LOOP_SHOWN {
                    around.splice(LOOP_SHOWN / 2..around.len() - LOOP_SHOWN / 2, ["…"]);
                }
                let message = format!("policies in a loop: `{}` → `{word}`", around.join("` → `"));
                let problem = Problem::error(from, reference.span(), message);
                problems.push(problem.help("a policy cannot contain itself"));
            } else if let Some(Named::Policy(next)) = scope.find(word) {
                path.push(Step::new(next));
            }
        }
    }
}

struct Step<'s> {
    name: &'s str,
    file: &'s Arc<Path>,
    rest: Vec<&'s Spanned<String>>,
}

impl<'s> Step<'s> {
    fn new(policy: &'s PolicyDef) -> Self {
        Step {
            name: policy.name.get_ref(),
            file: &policy.file,
            rest: policy.body.iter().flat_map(references).collect(),
        }
    }
}
