//! A small set of files for this room's tests, compiled as a server would compile it.

use super::{
    Running,
    suppose::{calm, suppose},
};
use crate::{
    compile::{CounterName, Input, Memory, compile},
    config::{Progress, Sources},
    control::{plan::Planner, revisions::Manifest},
    drill::Drills,
    health::{Beat, HeartbeatError, Impairment, ProbeDurations, TargetState},
    ids::CounterSlot,
    place::LazyTable,
    snapshot::Snapshot,
    world::World,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

const SERVER: &str = r#"
[regions.us]
cloud = "aws:us-east-1"
[regions.eu]
cloud = "aws:eu-west-1"
"#;
const CHECKS: &str = "[web]\ntype = \"tcp\"\nport = 80\n";
const ZONE: &str = r#"
zone   = "g.example"
ns     = ["ns.g.example"]
check  = "web"
static = """
ns      IN A     192.0.2.53
*.cdn   IN CNAME ns
sub     IN NS    ns.sub
ns.sub  IN A     192.0.2.54
"""
[pools.stable]
region = "us"
endpoints = [{ name = "s1", ipv4 = "192.0.2.1" }, { name = "s2", ipv4 = "192.0.2.2" }]
[pools.canary]
region = "us"
endpoints = [{ name = "c1", ipv4 = "192.0.2.3" }]
extra = '''
@ TXT "canary"
@ SRV 0 5 443 c1
'''
[pools.dub]
region = "eu"
endpoints = [{ name = "d1", ipv4 = "198.51.100.1", ipv6 = "2001:db8::1" }]
[records.www]
policy  = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10, absorb = false }]
[records.sticky]
policy  = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10, absorb = false }]
sticky  = "client"
[records.app]
policy  = "failover"
members = ["stable", "dub"]
ttl     = { max = "30s", min = "5s" }
[records."*.near"]
policy  = "latency"
members = ["stable", "dub"]
"#;

/// What the files compile to.
pub(super) fn snapshot() -> Snapshot {
    let sources = Sources::in_memory([
        ("tradewind.toml", SERVER),
        ("healthchecks/web.toml", CHECKS),
        ("zones/g.example.toml", ZONE),
    ]);
    let mut counter = |_: CounterName<'_>| CounterSlot(0);
    let input = Input {
        sources: &sources,
        last_good: &BTreeMap::new(),
        locations: Some(&LazyTable::embedded()),
        serials: &HashMap::new(),
        secret: &|_| Err("there are no secrets here".into()),
        progress: &Progress::default(),
        counter: &mut counter,
    };
    let compiled = compile(input, &mut Memory::default()).unwrap();
    assert!(!compiled.problems.has_errors(), "{}", compiled.problems.render(&sources, false));
    compiled.snapshot
}

/// The World of those files while what `suppositions` say is so.
pub(super) fn world(suppositions: &[&str]) -> Arc<World> {
    let suppositions: Vec<_> = suppositions.iter().map(|text| text.parse().unwrap()).collect();
    suppose(&calm(snapshot()), &suppositions).unwrap()
}

/// A server without health and history, but with trouble if there is to be some.
#[derive(Default)]
pub(super) struct Quiet {
    pub impairment: Option<Impairment>,
    pub planner: Planner,
}

impl Running for Quiet {
    fn targets(&self) -> Vec<TargetState> {
        Vec::new()
    }
    fn impairment(&self) -> Option<Impairment> {
        self.impairment.clone()
    }
    fn durations(&self) -> Vec<(Arc<str>, ProbeDurations)> {
        vec![("web".into(), ProbeDurations::default())]
    }
    /// Knows the token `secret` of the check `beats`, and its endpoint `z/p/e`.
    fn is_token_of(&self, check: &str, token: &[u8]) -> bool {
        check == "beats" && token == b"secret"
    }
    fn heartbeat(
        &self,
        check: &str,
        endpoint: &str,
        token: &[u8],
        _: Beat,
    ) -> Result<(), HeartbeatError> {
        match (check, endpoint, token) {
            ("beats", "z/p/e" | "", b"secret") => Ok(()),
            ("beats", _, b"secret") => Err(HeartbeatError::Unknown),
            _ => Err(HeartbeatError::Unauthorized),
        }
    }
    fn hooks(&self) -> Vec<super::schema::HookLine> {
        Vec::new()
    }
    fn planner(&self) -> &Planner {
        &self.planner
    }
    fn revisions(&self) -> Vec<Manifest> {
        Vec::new()
    }
    fn drills(&self) -> Option<&Arc<Drills>> {
        None
    }
}
