//! What all zones share: regions, checks, latency tables, defaults, shared pools and policies.

use super::{
    SecretReader,
    checks::{self, CheckSpec},
    entry::{self, Entry},
    guard::{self, Doors},
    names::{self, Scope},
    policies, pools, safety,
};
use crate::{
    checkplan::{BreakerSettings, Token, denied},
    config::{
        Problem, Problems, Sources, Spanned,
        checks::read as read_checks,
        server::{self as config, HealthSection, RegionPlace, ServerFile, ServerSection},
        sources::SERVER_FILE,
    },
    ids::RegionId,
    place::{distance, latency::LatencyTable},
    snapshot::Region,
    units::Coordinates,
    units::TenthMs,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

/// What all zones share, compiled.
pub(super) struct Server {
    pub file: ServerFile,
    pub regions: Vec<Region>,
    region_ids: BTreeMap<String, RegionId>,
    pub checks: BTreeMap<String, CheckSpec>,
    /// Names of checks that have problems of their own.
    pub broken_checks: BTreeSet<String>,
    /// With the file each stands in.
    pub latency: Vec<(Arc<Path>, Arc<LatencyTable>)>,
    pub deny: Vec<IpNet>,
    pub guards: Vec<SocketAddr>,
    pub breaker: BreakerSettings,
    /// Who may ask, and who the server says it is.
    pub doors: Doors,
    /// Who may use the admin API from another machine.
    pub entry: Entry,
    /// Of push checks, by name.
    pub tokens: BTreeMap<Arc<str>, Token>,
    /// How much further, or nearer, somebody supposes members of latency policies to be.
    pub biased: BTreeMap<String, TenthMs>,
    /// Whether it has an error, so that nothing of this compile may be used.
    pub is_broken: bool,
}

impl Server {
    pub fn section(&self) -> ServerSection {
        self.file.server.clone()
    }
    pub fn region(&self, name: &str) -> Option<RegionId> {
        self.region_ids.get(name).copied()
    }
    pub fn region_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.region_ids.keys().map(String::as_str)
    }
}

/// Compiles what all zones share. Nothing only if the server file is not TOML at all: with any
/// other error zones can still be looked at, so that their problems are told as well.
pub(super) fn compile(
    sources: &Sources,
    secret: SecretReader<'_>,
    problems: &mut Problems,
) -> Option<Server> {
    let mut found = Problems::default();
    sources.server.problems(&mut found);
    let path: Arc<Path> = Path::new(SERVER_FILE).into();
    let text = sources.server.text(&path).unwrap_or_default();
    let file = config::read(&path, text, &mut found);
    let server = file.map(|file| {
        let mut server = Server {
            deny: file.health.deny.iter().map(|net| *net.get_ref()).collect(),
            guards: file.health.guards.iter().map(|guard| *guard.get_ref()).collect(),
            breaker: breaker(&file.health),
            doors: guard::compile(&file, secret, &mut found),
            entry: entry::compile(&file, secret, &mut found),
            tokens: BTreeMap::new(),
            file,
            regions: Vec::new(),
            region_ids: BTreeMap::new(),
            checks: BTreeMap::new(),
            broken_checks: BTreeSet::new(),
            latency: Vec::new(),
            biased: BTreeMap::new(),
            is_broken: false,
        };
        server.add_regions(&mut found);
        server.check_guards(&mut found);
        server.add_checks(sources, secret, &mut found);
        server.add_latency(sources, &mut found);
        server.check_shared(&mut found);
        server
    });
    let is_broken = found.has_errors();
    problems.append(found);
    server.map(|server| Server { is_broken, ..server })
}

impl Server {
    fn add_regions(&mut self, problems: &mut Problems) {
        for def in &self.file.regions {
            let name = def.name.get_ref();
            let at = match &def.place {
                Some(RegionPlace::At(at)) => *at,
                Some(RegionPlace::Cloud(cloud)) => cloud_region(&self.file.file, cloud, problems),
                None => NOWHERE,
            };
            self.region_ids.insert(name.clone(), RegionId::at(self.regions.len()));
            self.regions.push(Region { name: name.as_str().into(), at });
        }
        // Far above any cloud's; below what the id holds.
        if self.regions.len() > usize::from(u16::MAX) {
            let message = "there are more than 65,535 regions";
            problems.push(Problem::of_file(&self.file.file, message));
        }
    }

    fn check_guards(&self, problems: &mut Problems) {
        for guard in &self.file.health.guards {
            let ip = guard.get_ref().ip();
            if denied(ip, &self.deny) {
                let message = format!("{ip} is never probed: it is denied");
                problems.push(Problem::error(&self.file.file, guard.span(), message).help(
                    "a guard is somebody outside whom you may ask: a resolver, a router, a host of \
                     another network",
                ));
            }
        }
    }

    fn add_checks(&mut self, sources: &Sources, secret: SecretReader<'_>, problems: &mut Problems) {
        for (path, _) in sources.server.in_folder("healthchecks", "toml") {
            let Some(text) = sources.server.text(path) else {
                continue;
            };
            for def in read_checks(path, text, problems) {
                let name = def.name.get_ref().clone();
                if let Some(first) = self.checks.get(&name) {
                    let message = format!("check `{name}` is defined twice");
                    let problem = Problem::error(path, def.name.span(), message);
                    problems.push(problem.related(&first.file, first.span.clone(), "first here"));
                    continue;
                }
                if let Some(token) = checks::token(&def, secret, problems) {
                    self.tokens.insert(name.as_str().into(), token);
                }
                match checks::compile(&def, &self.deny, problems) {
                    Some(spec) => drop(self.checks.insert(name, spec)),
                    None => drop(self.broken_checks.insert(name)),
                }
            }
        }
    }

    fn add_latency(&mut self, sources: &Sources, problems: &mut Problems) {
        for (path, _) in sources.server.in_folder("geoip", "csv") {
            let Some(text) = sources.server.text(path) else {
                continue;
            };
            match LatencyTable::parse(text) {
                Ok(table) => {
                    self.check_rows(path, text, &table, problems);
                    self.latency.push((path.clone(), Arc::new(table)));
                }
                Err(found) => problems.extend(found.into_iter().map(|problem| {
                    let span = names::place(text, problem.line, problem.column);
                    Problem::error(path, span, problem.fault.to_string())
                })),
            }
        }
    }

    /// A table may say more than this server needs to know; but a slip in a name should be seen.
    fn check_rows(
        &self,
        path: &Arc<Path>,
        text: &str,
        table: &LatencyTable,
        problems: &mut Problems,
    ) {
        let mut told = HashSet::new();
        for row in table.rows() {
            if self.region(&row.region).is_none() && told.insert(&row.region) {
                let span = names::place(text, row.line, row.region_column);
                let names = self.region_names();
                let problem = Problem::unknown(path, span, "region", &row.region, names);
                problems.push(Problem {
                    severity: crate::config::Severity::Warning,
                    ..problem.note("its rows are not used")
                });
            }
        }
    }

    fn check_shared(&self, problems: &mut Problems) {
        let scope = Scope::shared(self, problems);
        names::check_record_settings(&scope, &self.file.file, &self.file.defaults, problems);
        for pool in &self.file.pools {
            pools::check(&scope, pool, problems);
        }
        for policy in &self.file.policies {
            policies::check_definition(&scope, policy, problems);
        }
        policies::check_loops(&scope, &self.file.policies, problems);
        safety::check(self, problems);
    }
}

fn breaker(written: &HealthSection) -> BreakerSettings {
    let default = BreakerSettings::default();
    BreakerSettings {
        share: written.breaker_share.map_or(default.share, |share| (share * 1e6).round() as u32),
        hold: written.breaker_hold.unwrap_or(default.hold),
    }
}

/// For regions that could not be read; their error keeps the coordinates from being used.
const NOWHERE: Coordinates = Coordinates { lat: 0.0, lon: 0.0 };

fn cloud_region(file: &Arc<Path>, cloud: &Spanned<String>, problems: &mut Problems) -> Coordinates {
    distance::cloud_region(cloud.get_ref()).unwrap_or_else(|unknown| {
        let message = match unknown.suggestion {
            Some(meant) => format!("no such cloud region `{cloud}`; did you mean `{meant}`?"),
            None => format!("no such cloud region `{cloud}`"),
        };
        problems.push(Problem::error(file, cloud.span(), message).help(
            "the catalogue has `provider:region` of the large clouds; `at = [latitude, longitude]` \
             does for any other",
        ));
        NOWHERE
    })
}
