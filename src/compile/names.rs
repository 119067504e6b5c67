//! Words to definitions: which pools and policies a zone sees, what is inherited from where, and
//! whether every name that is referred to exists.

use super::{
    checks::{self, CheckSpec},
    server::Server,
};
use crate::{
    config::{
        Problem, Problems, Spanned,
        policy::{MemberTarget, PolicyDef},
        pool::{EndpointDef, PoolDef},
        settings::{
            self, AllDown, EndpointSettings, MinHealthy, PoolSettings, ProbeAt, RecordSettings,
        },
        zone::ZoneFile,
    },
    ids::RegionId,
    policy::tree,
    snapshot::Ramp,
    units::Share,
};
use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

/// A definition that a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    Pool(&'a PoolDef),
    Policy(&'a PolicyDef),
}

impl<'a> Named<'a> {
    pub fn name(self) -> &'a Spanned<String> {
        match self {
            Named::Pool(pool) => &pool.name,
            Named::Policy(policy) => &policy.name,
        }
    }
    pub fn file(self) -> &'a Arc<Path> {
        match self {
            Named::Pool(pool) => &pool.file,
            Named::Policy(policy) => &policy.file,
        }
    }
}

/// What a member stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member<'a> {
    Named(Named<'a>),
    Inline(&'a EndpointDef),
}

/// The names that may be used in one place: a zone's own and those all zones share.
pub(super) struct Scope<'a> {
    pub server: &'a Server,
    named: BTreeMap<&'a str, Named<'a>>,
}

impl<'a> Scope<'a> {
    /// What the server file itself sees.
    pub fn shared(server: &'a Server, problems: &mut Problems) -> Self {
        let mut scope = Scope { server, named: BTreeMap::new() };
        scope.define(&server.file.pools, &server.file.policies, problems);
        scope
    }

    /// What a zone sees.
    pub fn zone(server: &'a Server, zone: &'a ZoneFile, problems: &mut Problems) -> Self {
        // The shared names' problems are the server file's.
        let mut scope = Scope::shared(server, &mut Problems::default());
        scope.define(&zone.pools, &zone.policies, problems);
        scope
    }

    fn define(&mut self, pools: &'a [PoolDef], policies: &'a [PolicyDef], to: &mut Problems) {
        let pools = pools.iter().map(Named::Pool);
        for named in pools.chain(policies.iter().map(Named::Policy)) {
            let name = named.name();
            if let Some(first) = self.named.get(name.get_ref().as_str()) {
                let problem =
                    Problem::error(named.file(), name.span(), format!("`{name}` is defined twice"));
                let problem = problem.related(first.file(), first.name().span(), "first here");
                to.push(problem.help(
                    "pools and policies share one namespace, and shared ones cannot be redefined \
                     in a zone: rename one",
                ));
                continue;
            }
            self.named.insert(name.get_ref(), named);
        }
    }

    /// The definition of `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<Named<'a>> {
        self.named.get(name).copied()
    }

    /// What a member stands for; nothing, with a problem, if it names nothing.
    pub fn member(
        &self,
        file: &Arc<Path>,
        target: &'a MemberTarget,
        problems: &mut Problems,
    ) -> Option<Member<'a>> {
        match target {
            MemberTarget::Inline(endpoint) => Some(Member::Inline(endpoint)),
            MemberTarget::Either(name) => {
                let found = self.resolve(file, name, "pool or policy", problems)?;
                Some(Member::Named(found))
            }
            MemberTarget::Pool(name) | MemberTarget::Policy(name) => {
                let wants_pool = matches!(target, MemberTarget::Pool(_));
                let what = if wants_pool { "pool" } else { "policy" };
                let found = self.resolve(file, name, what, problems)?;
                let is_pool = matches!(found, Named::Pool(_));
                if is_pool != wants_pool {
                    let other = if is_pool { "pool" } else { "policy" };
                    let problem =
                        Problem::error(file, name.span(), format!("`{name}` is a {other}"));
                    problems.push(problem.help(format!("write `{other} = \"{name}\"`")));
                }
                Some(Member::Named(found))
            }
        }
    }

    /// The definition `name` stands for; a problem if there is none.
    pub fn resolve(
        &self,
        file: &Arc<Path>,
        name: &Spanned<String>,
        what: &str,
        problems: &mut Problems,
    ) -> Option<Named<'a>> {
        let found = self.find(name.get_ref());
        if found.is_none() {
            let candidates = self.named.keys().copied();
            problems.push(Problem::unknown(file, name.span(), what, name.get_ref(), candidates));
        }
        found
    }

    /// The region `name` stands for; a problem if there is none.
    fn check_region(&self, file: &Arc<Path>, name: &Spanned<String>, problems: &mut Problems) {
        if self.server.region(name.get_ref()).is_none() {
            let names = self.server.region_names();
            problems.push(Problem::unknown(file, name.span(), "region", name.get_ref(), names));
        }
    }
}

/// Whether what is written at one level names things that exist.
pub(super) fn check_settings(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    settings: &EndpointSettings,
    problems: &mut Problems,
) {
    if let Some(region) = &settings.region {
        scope.check_region(file, region, problems);
    }
    if let Some(check) = &settings.check {
        checks::exists(scope.server, file, check, problems);
    }
}

/// The same of a record, a zone or the server.
pub(super) fn check_record_settings(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    settings: &RecordSettings,
    problems: &mut Problems,
) {
    check_settings(scope, file, &settings.pool.endpoint, problems);
    if let Some(all_down) = &settings.all_down
        && let AllDown::Pool(name) = all_down.get_ref()
    {
        let name = Spanned::new(all_down.span(), name.clone());
        if let Some(Named::Policy(_)) = scope.resolve(file, &name, "pool", problems) {
            let message = format!("`{name}` is a policy; `all_down` takes a pool");
            problems.push(Problem::error(file, name.span(), message));
        }
    }
}

/// What holds at some place of the tree, as inherited and overridden on the way down.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heir<'a> {
    pub check: Option<&'a CheckSpec>,
    pub region: Option<RegionId>,
    pub probe: Option<&'a ProbeAt>,
    pub answers: Option<u16>,
    pub min_healthy: Option<tree::MinHealthy>,
}

impl<'a> Heir<'a> {
    pub fn endpoint(mut self, server: &'a Server, written: &'a EndpointSettings) -> Self {
        if let Some(check) = &written.check {
            // `none`, or one whose absence is a problem already told.
            self.check = server.checks.get(check.get_ref());
        }
        if let Some(region) = &written.region {
            self.region = server.region(region.get_ref());
        }
        if let Some(probe) = &written.probe {
            self.probe = Some(probe.get_ref());
        }
        self
    }

    pub fn pool(self, server: &'a Server, written: &'a PoolSettings) -> Self {
        let mut heir = self.endpoint(server, &written.endpoint);
        if let Some(answers) = &written.answers {
            heir.answers = Some(*answers.get_ref() as u16);
        }
        if let Some(min_healthy) = &written.min_healthy {
            heir.min_healthy = Some(min_healthy_of(*min_healthy.get_ref()));
        }
        heir
    }
}

/// As the tree has it: shares in millionths.
pub(super) fn min_healthy_of(written: MinHealthy) -> tree::MinHealthy {
    match written {
        MinHealthy::Share(share) => tree::MinHealthy::Share((share * 1e6).round() as u32),
        MinHealthy::Count(count) => tree::MinHealthy::Count(count as u16),
    }
}

/// As plans and failovers have it.
pub(super) fn ramp_of(written: settings::Ramp) -> Ramp {
    let start = written.start.map_or(Ramp::START, Share::from_fraction);
    Ramp { over: written.over, start }
}

/// The bytes at a line and column (both from 1; in characters) of `text`, up to the next blank
/// or comma; the whole line for column 1.
pub(super) fn place(text: &str, line: u32, column: u32) -> Range<usize> {
    let mut start = 0;
    for _ in 1..line {
        match text[start..].find('\n') {
            Some(newline) => start += newline + 1,
            None => return text.len()..text.len(),
        }
    }
    let line = text[start..].lines().next().unwrap_or("");
    let blank = line.len() - line.trim_start().len();
    let chars = line.char_indices().map(|(offset, _)| offset);
    match chars.clone().nth(column.saturating_sub(1) as usize) {
        Some(offset) if column > 1 => {
            let rest = &line[offset..];
            let end = rest.find([' ', '\t', ',', ';']).unwrap_or(rest.len());
            start + offset..start + offset + end.max(1).min(rest.len())
        }
        _ => start + blank..start + line.trim_end().len().max(blank),
    }
}

/// Line numbers of a text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub fn new(text: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Lines(newlines.map(|(at, _)| at).collect())
    }
    /// The line of the byte at `offset`, from 1.
    pub fn line(&self, offset: usize) -> u32 {
        self.0.partition_point(|newline| *newline < offset) as u32 + 1
    }
}
