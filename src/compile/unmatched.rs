//! Rules and measurements that no loaded database can ever match: they load, and do nothing.

use super::{names, server::Server, zones::Served};
use crate::{
    config::{
        Problem, Problems, Sources,
        policy::{Matcher, PolicyBody, PolicyKind},
    },
    place::{LazyTable, TableKind, latency::Client},
};
use std::{path::Path, sync::Arc};

const HELP: &str = "put one that does into geoip/";

/// What a database has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    Asn,
    Subdivision,
}

impl Fact {
    fn of_matcher(matcher: &Matcher) -> Option<Fact> {
        match matcher {
            Matcher::Asn(_) => Some(Fact::Asn),
            Matcher::Subdivision(_) => Some(Fact::Subdivision),
            // The embedded table knows countries and continents.
            _ => None,
        }
    }
    fn of_client(client: &Client) -> Option<Fact> {
        match client {
            Client::AsnIn(..) => Some(Fact::Asn),
            Client::Subdivision(..) => Some(Fact::Subdivision),
            Client::Net(_) | Client::Country(_) => None,
        }
    }
    fn is_in(self, kind: TableKind) -> bool {
        match self {
            Fact::Asn => kind.has_asn,
            Fact::Subdivision => kind.has_subdivisions,
        }
    }
    fn word(self) -> &'static str {
        match self {
            Fact::Asn => "AS numbers",
            Fact::Subdivision => "subdivisions",
        }
    }
    /// Whether any of `locations` has it. Reads them only when it is asked.
    fn is_known(self, locations: Option<&LazyTable>) -> bool {
        self.is_in(locations.map(|locations| locations.table().kind()).unwrap_or_default())
    }
}

/// The matchers in the rules of `body` that nobody can match, warned about; their texts come back.
pub(super) fn rules(
    file: &Arc<Path>,
    body: &PolicyBody,
    locations: Option<&LazyTable>,
    problems: &mut Problems,
) -> Vec<String> {
    let PolicyKind::Geo(Some(rules)) = &body.kind else { return Vec::new() };
    let mut found = Vec::new();
    for matcher in rules.get_ref().iter().flat_map(|rule| &rule.matchers) {
        let text = matcher.get_ref();
        let Some(fact) = Fact::of_matcher(text).filter(|fact| !fact.is_known(locations)) else {
            continue;
        };
        let message = format!("`{text}` can match nobody: no loaded database has {}", fact.word());
        problems.push(Problem::warning(file, matcher.span(), message).help(HELP));
        found.push(text.to_string());
    }
    found
}

/// The same for policies that zones share, and for rows of latency tables.
pub(super) fn shared(
    server: &Server,
    served: &[Served],
    sources: &Sources,
    locations: Option<&LazyTable>,
    problems: &mut Problems,
) {
    let plans = served.iter().filter_map(|served| served.draft.as_ref()).flat_map(|d| &d.plans);
    // Where no record looks at the client, nothing needs a database, nor this.
    if plans.into_iter().all(|plan| plan.map.is_none()) {
        return;
    }
    for policy in server.file.policies.iter().filter_map(|policy| policy.body.as_ref()) {
        rules(&server.file.file, policy, locations, problems);
    }
    for (path, table) in &server.latency {
        for fact in [Fact::Asn, Fact::Subdivision] {
            let mut rows =
                table.rows().iter().filter(|row| Fact::of_client(&row.client) == Some(fact));
            let Some(first) = rows.next().filter(|_| !fact.is_known(locations)) else { continue };
            let more = match rows.count() {
                0 => String::new(),
                more => format!(", nor can {more} more rows"),
            };
            let (client, word) = (&first.client, fact.word());
            let message =
                format!("`{client}` can match nobody{more}: no loaded database has {word}");
            let span = names::place(sources.text(path).unwrap_or(""), first.line, 1);
            problems.push(Problem::warning(path, span, message).help(HELP));
        }
    }
}
