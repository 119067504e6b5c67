//! Files compiled as a server would, and commands as they are typed, for this room's tests.

use super::{Command, Done, Hand, Now, Refusal, Wish, command::Planned};
use crate::{
    clock::{Clock, Moment},
    compile::{CounterName, Input, Memory, compile},
    config::{Progress, Sources},
    control::publish::Control,
    forecast::Clients,
    ids::CounterSlot,
    place::LazyTable,
    snapshot::Snapshot,
    units::{Share, Weight},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(super) const SERVER: &str = r#"
[regions.us]
cloud = "aws:us-east-1"
[regions.eu]
cloud = "aws:eu-west-1"
[pools.spare]
region = "eu"
endpoints = [{ name = "x1", ipv4 = "203.0.113.9" }]
"#;
pub(super) const ZONE: &str = r#"
zone   = "g.example"
ns     = ["ns.g.example"]
check  = "web"
static = "ns IN A 192.0.2.53"
[pools.stable]
region = "us"
endpoints = [{ name = "s1", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }, { name = "s2", ipv4 = "192.0.2.2" }]
[pools.canary]
region = "us"
endpoints = [{ name = "c1", ipv4 = "192.0.2.3" }]
[pools.dub]
region = "eu"
check = "other"
endpoints = [{ name = "d1", ipv4 = "198.51.100.1" }]
[policies.split]
policy  = "weighted"
members = [{ pool = "stable", weight = 3 }, { pool = "dub", weight = 1 }]
[policies.pair]
policy  = "failover"
members = ["dub", "stable"]
[records.www]
policy  = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10, absorb = false }]
[records.www2]
policy  = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10, absorb = false }]
[records.app]
policy  = "failover"
members = ["stable", "dub"]
[records.near]
policy  = "latency"
members = ["stable", "dub"]
[records."*.cdn"]
policy  = "geo"
rules   = [{ match = ["continent:EU"], use = ["split"] }, { match = ["*"], use = ["pair", "spare"] }]
"#;
const CHECKS: &str = "[web]\ntype = \"tcp\"\nport = 80\n[other]\ntype = \"tcp\"\nport = 81\n";

/// `server` and `zones` (the first is g.example) compiled.
pub(super) fn compiled(server: &str, zones: &[&str]) -> Arc<Snapshot> {
    let mut files = vec![
        ("tradewind.toml".to_owned(), server.to_owned()),
        ("healthchecks/web.toml".to_owned(), CHECKS.to_owned()),
    ];
    for (index, zone) in zones.iter().enumerate() {
        files.push((format!("zones/{index}.toml"), (*zone).to_owned()));
    }
    let sources = Sources::in_memory(files.iter().map(|(path, text)| (&**path, &**text)));
    let mut counter = |_: CounterName<'_>| CounterSlot(0);
    let input = Input {
        sources: &sources,
        last_good: &BTreeMap::new(),
        locations: Some(&LazyTable::embedded()),
        serials: &HashMap::new(),
        progress: &Progress::default(),
        counter: &mut counter,
        secret: &|_| Err("there are no secrets here".into()),
    };
    let compiled = compile(input, &mut Memory::default()).unwrap();
    assert!(!compiled.problems.has_errors(), "{}", compiled.problems.render(&sources, false));
    Arc::new(compiled.snapshot)
}

/// [`SERVER`] and [`ZONE`] compiled.
pub(crate) fn snapshot() -> Arc<Snapshot> {
    compiled(SERVER, &[ZONE])
}

/// `secs` after the process began, on a day in 2026.
pub(crate) fn at(secs: u64) -> Now {
    let wall = UNIX_EPOCH + Duration::from_secs(1_790_000_000 + secs);
    Now { at: Moment(1_000_000_000 * (1_000 + secs)), wall }
}

/// A command of `ana`'s as she types it: verb, target, and the rest of its words.
pub(in crate::control) fn command(text: &str) -> Command {
    let mut words: Vec<&str> = text.split(' ').collect();
    let mut take = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        let value = words.remove(at + 1);
        words.remove(at);
        Some(value)
    };
    let duration = |text: &str| crate::config::parse_duration(text).unwrap();
    let over = take("--over").map(duration);
    let lasts = take("--for").map(duration);
    let begins = take("--at")
        .map(|text| super::command::Begins::After(duration(text.strip_prefix('+').unwrap())));
    let reason = take("--reason").map(Arc::from);
    let to = take("--to");
    let who = take("--as").unwrap_or("ana");
    let mut flag = |name: &str| {
        let before = words.len();
        words.retain(|word| *word != name);
        words.len() < before
    };
    let (break_glass, dry_run) = (flag("--break-glass"), flag("--dry-run"));
    let even_if_unknown = flag("--even-if-unknown");
    Command {
        wish: wish(&words, over, to),
        who: who.into(),
        reason,
        begins,
        lasts,
        break_glass,
        dry_run,
        if_version: None,
        even_if_unknown,
        instead_of: None,
        for_whom: Vec::new(),
    }
}

fn wish(words: &[&str], over: Option<Duration>, to: Option<&str>) -> Wish {
    let target = || words[1].to_owned();
    match words[0] {
        "drain" => Wish::Drain { target: target(), over },
        "undrain" => Wish::Undrain { target: target() },
        "force" => Wish::Force {
            target: target(),
            to: match words[2] {
                "up" => Some(super::ForceTo::Up),
                "down" => Some(super::ForceTo::Down),
                _ => None,
            },
        },
        "weight" => {
            let (member, weight) = match words[2].split_once('=') {
                Some((member, weight)) => (Some(member.into()), weight),
                None => (None, words[2]),
            };
            if let Some(percent) = weight.strip_suffix('%') {
                let share = Share::from_fraction(percent.parse::<f64>().unwrap() / 100.0);
                return Wish::Share { target: target(), member: member.unwrap(), share };
            }
            let weight = weight.parse().ok().map(|weight| Weight::new(weight).unwrap());
            Wish::Weight { target: target(), member, weight }
        }
        "failover" => Wish::Failover { target: target(), to: to.unwrap().into() },
        "failback" => Wish::Failback { target: target() },
        "approve" => Wish::Approve { target: target() },
        "reject" => Wish::Reject { target: target() },
        "hold" => Wish::Hold { target: target() },
        "unhold" => Wish::Unhold { target: target() },
        "pin" => Wish::Pin,
        "unpin" => Wish::Unpin { target: words.get(1).map(|word| (*word).to_owned()) },
        "confirm" if words.get(1) == Some(&"--falls") => Wish::ConfirmFalls,
        "confirm" => Wish::Confirm { id: words.get(1).map(|id| id.parse().unwrap()) },
        other => panic!("{other}"),
    }
}

impl Hand {
    /// Takes what comes of `text`, or panics.
    pub(super) fn told(&mut self, text: &str, snapshot: &Snapshot, now: Now) -> Planned {
        let planned = self.planned(&command(text), snapshot, now);
        let planned = planned.unwrap_or_else(|why| panic!("{text}: {why}"));
        *self = planned.hand.clone();
        planned
    }
}

/// A clock that is set by hand.
pub(super) struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A control loop over a Snapshot, at a time of its own.
pub(super) struct Bench {
    pub control: Control,
    clock: Arc<Hands>,
    pub(super) clients: Clients,
}

impl Bench {
    pub(super) fn over(snapshot: &Arc<Snapshot>) -> Bench {
        let clock = Arc::new(Hands(AtomicU64::new(1_000_000_000_000)));
        let mut control = Control::new(Arc::clone(&clock) as Arc<dyn Clock>);
        control.install(Arc::clone(snapshot), 1);
        control.warm();
        let clients = Clients::of_files(snapshot, &LazyTable::embedded(), &Clients::default());
        Bench { control, clock, clients }
    }

    pub(super) fn tell(&mut self, text: &str) -> Result<Done, Refusal> {
        self.control.command(&command(text), &self.clients)
    }

    /// Lets time pass, a tick a second.
    pub(super) fn pass(&mut self, secs: u64) {
        for _ in 0..secs {
            self.clock.0.fetch_add(1_000_000_000, Ordering::Relaxed);
            self.control.tick();
        }
    }

    /// The number of the World in force.
    pub(super) fn swap(&self) -> u64 {
        self.control.world().swap
    }

    /// The words of what happened to overrides, oldest first.
    pub(super) fn happened(&self) -> Vec<String> {
        let journal = self.control.journal();
        let journal = journal.lock();
        let events = journal.since(0).filter(|event| event.kind.word() == "hand");
        events.map(|event| event.kind.to_string()).collect()
    }
}
