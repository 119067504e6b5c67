//! `drills/*.toml`: game days, as written. One file, one drill.
//!
//! ```toml
//! [drill]                      what, by whom, how, for how long at most
//! [[steady]]                   what is asked before, during and after, and what is expected
//! [[step]]                     what is done
//! [[stop]]                     what ends it at once
//! [[rollback]]                 what is done at the end beside taking back what steps did
//! [expect]                     budgets for the verdict
//! ```
//!
//! Past 500 lines: a flat list of readers, one for each table; times and conditions have files of
//! their own.

use super::{
    Pattern, Problem, Problems, Spanned,
    reader::{Reader, Table, Value},
    safety, scalar,
    stop::{self, StopDef},
    window::{self, Days, Slot, Window},
};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::Arc, time::Duration};

/// The longest a drill may take: whoever needs more makes two of it. Bounds its journal too.
pub const DURATION_MAX: Duration = Duration::from_secs(3_600);
/// Questions a second over all of `[[steady]]`: enough to see a change within a millisecond, a
/// small part of what one core answers.
pub const RATE_MAX: u32 = 1_000;
/// Clients of one query: a place on each continent and some more.
pub const CLIENTS_MAX: usize = 64;
/// Tables of one kind.
const TABLES_MAX: usize = 32;

/// A drill as written.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillDef {
    /// The file it is in.
    pub file: Arc<Path>,
    /// That file, for the journal.
    pub text: Arc<str>,
    /// What it is called.
    pub name: Spanned<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// What it does to answers.
    pub mode: Spanned<Mode>,
    /// After so long everything is taken back.
    pub max_duration: Spanned<Duration>,
    /// Whether somebody must type its name.
    pub needs_ack: bool,
    /// At least so many regions stay up.
    pub min_regions: u32,
    /// How long the steady state is looked at before anything is done.
    pub before: Duration,
    /// How long the way back may take.
    pub after: Duration,
    /// Under `mode = "canary"`: the records that feel it.
    pub canaries: Vec<Spanned<Pattern>>,
    /// When it may run; always, without.
    pub windows: Vec<Spanned<Window>>,
    /// The days on which it may not.
    pub deny: Vec<Spanned<Days>>,
    /// When it runs by itself.
    pub schedule: Vec<Spanned<Slot>>,
    /// What is asked.
    pub steady: Vec<SteadyDef>,
    /// What is done.
    pub steps: Vec<StepDef>,
    /// What ends it.
    pub stops: Vec<Spanned<StopDef>>,
    /// What is done at the end besides.
    pub rollbacks: Vec<RollbackDef>,
    /// Budgets.
    pub expect: BTreeMap<Measure, Spanned<Budget>>,
}

impl DrillDef {
    /// Its budgets by name: milliseconds, or counts.
    pub fn budgets(&self) -> BTreeMap<String, f64> {
        let value = |budget: &Budget| match budget {
            Budget::Time(time) => time.as_secs_f64() * 1e3,
            Budget::Count(count) => f64::from(*count),
        };
        let budgets = self.expect.iter();
        budgets.map(|(of, budget)| (of.word().to_owned(), value(budget.get_ref()))).collect()
    }
}

/// What a drill does to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: what would come of it is computed.
    Simulate,
    /// Nothing: would-be answers are computed beside real ones.
    Shadow,
    /// Only records named as canaries feel it.
    Canary,
    /// Everybody feels it.
    Live,
}

impl Mode {
    /// The words, as written.
    pub const WORDS: &'static [(&'static str, Mode)] = &[
        ("simulate", Mode::Simulate),
        ("shadow", Mode::Shadow),
        ("canary", Mode::Canary),
        ("live", Mode::Live),
    ];

    /// As written.
    pub fn word(self) -> &'static str {
        let known = Mode::WORDS.iter().find(|(_, mode)| *mode == self);
        known.map_or("", |(word, _)| word)
    }

    /// Whether it changes what anybody is answered.
    pub fn is_real(self) -> bool {
        matches!(self, Mode::Canary | Mode::Live)
    }
}

/// A question asked all the time.
#[derive(Clone, Debug, PartialEq)]
pub struct SteadyDef {
    /// What it is called in the report.
    pub name: Spanned<String>,
    /// The domain name.
    pub qname: Spanned<String>,
    /// Whether AAAA is asked; else A.
    pub aaaa: bool,
    /// For whom; for nobody in particular, if empty.
    pub clients: Vec<IpNet>,
    /// So many a second over all clients.
    pub rate: Spanned<u32>,
    /// The rcode of every answer.
    pub rcode: String,
    /// The region of every answer before and after.
    pub region: Option<Spanned<String>>,
    /// The least number of records.
    pub min_records: u32,
}

/// Something that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct StepDef {
    /// What others refer to it by.
    pub id: Spanned<String>,
    /// What.
    pub action: Spanned<ActionDef>,
    /// To what, as the command line names it: `region:eu-west-1`.
    pub target: Option<Spanned<String>>,
    /// For how long; nothing for what happens once.
    pub lasts: Option<Spanned<Duration>>,
    /// Not before these are over.
    pub after: Vec<Spanned<String>>,
    /// So much later.
    pub delay: Duration,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionDef {
    /// Holds endpoints up or down, as `tradewind force`.
    Force {
        /// Whether up.
        up: bool,
    },
    /// Takes a region out, as `tradewind drain`.
    Drain {
        /// How long clients may take to leave.
        over: Option<Duration>,
    },
    /// Lets our probes fail.
    Fault(FaultDef),
    /// Lets every probe and guard fail, as if this checker were cut off.
    Isolate,
    /// Loads the files in force with a zone that does not compile.
    BadConfig,
    /// Locates clients by the embedded table alone.
    StaleGeo,
    /// Loads a damaged location database.
    BadGeo,
    /// The state database cannot be written.
    LoseState,
    /// Lets falls through that the breaker holds, as `tradewind confirm --falls`.
    ConfirmFalls,
}

/// How probes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultDef {
    /// At once.
    Refuse,
    /// At the time-out.
    Hang,
    /// They answer so much later.
    Slow(Duration),
    /// Every other one.
    Flap,
    /// With this status.
    Status(u16),
}

/// What is done at the end besides.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackDef {
    /// What.
    pub action: Spanned<RollbackAction>,
    /// To what.
    pub target: Spanned<String>,
    /// Only if the drill is aborted (`strategy = "deviated"`).
    pub only_aborted: bool,
}

/// What can be done at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackAction {
    /// `health.force` with `state = "auto"`: said for readers; what steps forced always ends.
    Auto,
    /// `region.undrain`: the same of drains.
    Undrain,
    /// Lets a failover go back to the member it would rather use.
    Failback,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// From the injection until the first endpoint counts as down.
    Detect,
    /// From that decision until every thread answers anew.
    Swap,
    /// From the injection until the first answer without what was hit.
    FirstChange,
    /// From the injection until the last answer with it.
    LastOld,
    /// From the injection until half of the caches let go of the old answer.
    TtlTailP50,
    /// Nine in ten of them.
    TtlTailP90,
    /// Ninety-nine in a hundred of them.
    TtlTailP99,
    /// From the end of the injection until all is answered as before.
    Recover,
    /// Answers with another rcode, too few records, or addresses of nobody.
    WrongAnswers,
    /// Answers without records.
    EmptyAnswers,
    /// Questions without a reply.
    LostQueries,
    /// Changes of answers that had nothing to do with it, or went to and fro.
    SpuriousChanges,
}

impl Measure {
    /// All of them, as written and in the order of the report; whether a time, else a count.
    pub const ALL: [(Measure, &'static str, bool); 12] = [
        (Measure::Detect, "detect", true),
        (Measure::Swap, "swap", true),
        (Measure::FirstChange, "first_change", true),
        (Measure::LastOld, "last_old", true),
        (Measure::TtlTailP50, "ttl_tail_p50", true),
        (Measure::TtlTailP90, "ttl_tail_p90", true),
        (Measure::TtlTailP99, "ttl_tail_p99", true),
        (Measure::Recover, "recover", true),
        (Measure::WrongAnswers, "wrong_answers", false),
        (Measure::EmptyAnswers, "empty_answers", false),
        (Measure::LostQueries, "lost_queries", false),
        (Measure::SpuriousChanges, "spurious_changes", false),
    ];

    /// As written.
    pub fn word(self) -> &'static str {
        Measure::ALL.iter().find(|(known, ..)| *known == self).map_or("", |(_, word, _)| word)
    }

    /// The measure written `word`.
    pub fn of(word: &str) -> Option<Measure> {
        Measure::ALL.iter().find(|(_, known, _)| *known == word).map(|(measure, ..)| *measure)
    }
}

/// The most that a measure may come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// A time.
    Time(Duration),
    /// A count.
    Count(u32),
}

/// Reads one drill; nothing if it has mistakes, all of which are told.
pub fn read(file: &Arc<Path>, text: &str, problems: &mut Problems) -> Option<DrillDef> {
    let mut found = Problems::default();
    let drill = Reader::open(file, text, &mut found)
        .and_then(|(mut reader, root)| drill(&mut reader, root, text));
    let is_sound = !found.has_errors();
    problems.append(found);
    drill.filter(|_| is_sound)
}

fn drill<'i>(reader: &mut Reader<'i, '_>, mut root: Table<'i>, text: &str) -> Option<DrillDef> {
    const LATER: &[&str] = &["observe"];
    if !root.has("drill") {
        let help =
            "write [drill] with `name = \"region-loss\"`; the examples in drills/ have all keys";
        reader.push(Problem::of_file(&reader.file.clone(), "there is no [drill]").help(help));
    }
    let head = root.take_table(reader, "drill");
    let steady = tables(reader, &mut root, "steady", "a steady state", self::steady);
    let steps = tables(reader, &mut root, "step", "a step", self::step);
    let stops = tables(reader, &mut root, "stop", "a stop condition", stop::read);
    let rollbacks = tables(reader, &mut root, "rollback", "a rollback", self::rollback);
    let expect = root.take_table(reader, "expect").map(|table| self::expect(reader, table));
    root.finish(reader);
    let mut head = head?;
    let name = head.require(reader, "name", "\"region-loss\"", scalar::name);
    if let Some(name) = &name
        && !is_name(name.get_ref())
    {
        let help = "its journals stand in a folder of that name: letters, digits, `-` and `_`";
        reader.report_help(name.span(), format!("a drill cannot be called `{name}`"), help);
    }
    let take_text = |head: &mut Table<'i>, reader: &mut Reader<'i, '_>, key| {
        head.take(reader, key, scalar::string).map(Spanned::into_inner)
    };
    let description = take_text(&mut head, reader, "description");
    let owner = take_text(&mut head, reader, "owner");
    let mode =
        head.require(reader, "mode", "\"simulate\"", scalar::choice("mode", Mode::WORDS, LATER));
    let max_duration = head.require(reader, "max_duration", "\"5m\"", max_duration);
    let needs_ack = head.take(reader, "needs_ack", scalar::boolean);
    let min_regions = head.take(reader, "min_regions", scalar::integer(0..=1_000));
    let before = head.take(reader, "before", stage);
    let after = head.take(reader, "after", stage);
    let canaries = head.take(reader, "canaries", |reader, value| {
        reader.list(value, "records, such as \"gtm.example.com/www\"", safety::pattern)
    });
    let windows = head.take(reader, "windows", window::windows);
    let schedule = head.take(reader, "schedule", |reader, value| {
        reader.list(value, "times, such as \"tue 10:00\"", window::slot)
    });
    let span = head.span.clone();
    head.finish(reader);
    if steps.is_empty() {
        reader.report_help(
            span,
            "this drill does nothing",
            "add [[step]] with `id`, `action` and what goes with it",
        );
    }
    let (windows, deny) = windows.map(Spanned::into_inner).unwrap_or_default();
    let drill = DrillDef {
        file: reader.file.clone(),
        text: text.into(),
        name: name?,
        description,
        owner,
        mode: mode?,
        max_duration: max_duration?,
        needs_ack: needs_ack.is_none_or(Spanned::into_inner),
        min_regions: min_regions.map_or(2, Spanned::into_inner),
        before: before.map_or(Duration::from_secs(3), Spanned::into_inner),
        after: after.map_or(Duration::from_secs(60), Spanned::into_inner),
        canaries: canaries.map(Spanned::into_inner).unwrap_or_default(),
        windows,
        deny,
        schedule: schedule.map(Spanned::into_inner).unwrap_or_default(),
        steady,
        steps,
        stops,
        rollbacks,
        expect: expect.unwrap_or_default(),
    };
    Some(drill)
}

/// Whether a drill can be called `name`: its journals stand in a folder of that name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// All tables `[[key]]`.
fn tables<'i, T>(
    reader: &mut Reader<'i, '_>,
    root: &mut Table<'i>,
    key: &'static str,
    what: &str,
    read: impl Fn(&mut Reader<'i, '_>, Table<'i>) -> Option<T>,
) -> Vec<T> {
    let all = root.take(reader, key, |reader, value| {
        let span = value.span();
        let items = reader.array(value, &format!("tables: write [[{key}]]"))?;
        if items.len() > TABLES_MAX {
            reader.report(span, format!("more than {TABLES_MAX} of [[{key}]] are too many"));
        }
        let table = |item| reader.table(what.to_owned(), item);
        let tables: Vec<Table<'i>> = items.into_iter().filter_map(table).collect();
        Some(tables.into_iter().filter_map(|table| read(reader, table)).collect())
    });
    all.map(Spanned::into_inner).unwrap_or_default()
}

fn max_duration<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let span = value.span();
    let duration = scalar::duration(reader, value)?;
    if duration.is_zero() || duration > DURATION_MAX {
        reader.report(span, "`max_duration` is above zero and at most 1h");
        return None;
    }
    Some(duration)
}

/// How long one looks on.
fn stage<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let span = value.span();
    let duration = scalar::duration(reader, value)?;
    if duration > DURATION_MAX {
        reader.report(span, "nothing of a drill lasts longer than 1h");
        return None;
    }
    Some(duration)
}

fn steady<'i>(reader: &mut Reader<'i, '_>, mut table: Table<'i>) -> Option<SteadyDef> {
    let name = table.require(reader, "name", "\"answers\"", scalar::name);
    let query = table.require(reader, "query", "{ name = \"api.example.com\" }", query);
    let expect = table.take(reader, "expect", steady_expect).map(Spanned::into_inner);
    table.finish(reader);
    let (qname, aaaa, clients, rate) = query?.into_inner();
    let (rcode, region, min_records) = expect.unwrap_or_else(|| ("NOERROR".into(), None, 1));
    Some(SteadyDef { name: name?, qname, aaaa, clients, rate, rcode, region, min_records })
}

type Query = (Spanned<String>, bool, Vec<IpNet>, Spanned<u32>);

fn query<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Query> {
    const TYPES: &[(&str, bool)] = &[("A", false), ("AAAA", true)];
    let span = value.span();
    let mut table = reader.table("`query`".into(), value)?;
    let name = table.require(reader, "name", "\"api.example.com\"", scalar::string);
    let rtype = table.take(reader, "type", scalar::choice("type", TYPES, &[]));
    let clients = table.take(reader, "clients", |reader, value| {
        let span = value.span();
        let clients = reader.list(value, "clients, such as \"203.0.113.7\"", client)?;
        if clients.len() > CLIENTS_MAX {
            reader.report(span, format!("at most {CLIENTS_MAX} clients are asked for"));
        }
        Some(clients.into_iter().map(Spanned::into_inner).collect())
    });
    let rate = table.take(reader, "rate", rate);
    table.finish(reader);
    let rate = rate.unwrap_or_else(|| Spanned::new(span, 100));
    let clients = clients.map(Spanned::into_inner).unwrap_or_default();
    Some((name?, rtype.is_some_and(Spanned::into_inner), clients, rate))
}

/// `203.0.113.7`: told as resolvers do, by its network of 24 (56) bits; `ecs:203.0.113.0/24`: by
/// just that.
fn client<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<IpNet> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    let network = match text.strip_prefix("ecs:") {
        Some(network) => scalar::parse_network(network),
        None => match text.parse::<IpAddr>() {
            Ok(address) => {
                let bits = if address.is_ipv4() { 24 } else { 56 };
                IpNet::new(address, bits).map(|net| net.trunc()).map_err(|e| e.to_string())
            }
            Err(_) => Err(format!("`{text}` is not a client")),
        },
    };
    match network {
        Ok(network) => Some(network),
        Err(why) => {
            let help = "write an address, or \"ecs:203.0.113.0/24\" for a network as it is sent";
            reader.report_help(span, why, help);
            None
        }
    }
}

/// `"200/s"`.
fn rate<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<u32> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    let rate = text.strip_suffix("/s").and_then(|number| number.trim().parse().ok());
    match rate.filter(|rate| (1..=RATE_MAX).contains(rate)) {
        Some(rate) => Some(rate),
        None => {
            let help = format!("write \"200/s\"; 1 to {RATE_MAX} a second");
            reader.report_help(span, format!("`{text}` is not a rate"), help);
            None
        }
    }
}

type Expected = (String, Option<Spanned<String>>, u32);

fn steady_expect<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Expected> {
    const RCODES: &[(&str, &str)] =
        &[("NOERROR", "NOERROR"), ("NXDOMAIN", "NXDOMAIN"), ("REFUSED", "REFUSED")];
    let mut table = reader.table("`expect`".into(), value)?;
    let rcode = table.take(reader, "rcode", scalar::choice("rcode", RCODES, &[]));
    let region = table.take(reader, "region", scalar::string);
    let min_records = table.take(reader, "min_records", scalar::integer(0..=64));
    table.finish(reader);
    let rcode = rcode.map_or("NOERROR", Spanned::into_inner);
    let usual = u32::from(rcode == "NOERROR");
    Some((rcode.to_owned(), region, min_records.map_or(usual, Spanned::into_inner)))
}

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Force,
    Drain,
    Fault,
    Isolate,
    BadConfig,
    StaleGeo,
    BadGeo,
    LoseState,
    Breaker,
}

const ACTIONS: &[(&str, Action)] = &[
    ("health.force", Action::Force),
    ("region.drain", Action::Drain),
    ("probe.fault", Action::Fault),
    ("checker.isolate", Action::Isolate),
    ("config.bad", Action::BadConfig),
    ("geo.stale", Action::StaleGeo),
    ("geo.bad", Action::BadGeo),
    ("state.lost", Action::LoseState),
    ("breaker", Action::Breaker),
];
/// What needs several nodes, or is another's to do.
const ACTIONS_LATER: &[&str] =
    &["node.stop", "node.pause", "store.partition", "clock.skew", "rollout.bad"];

impl ActionDef {
    /// As written.
    pub fn word(self) -> &'static str {
        let action = match self {
            ActionDef::Force { .. } => Action::Force,
            ActionDef::Drain { .. } => Action::Drain,
            ActionDef::Fault(_) => Action::Fault,
            ActionDef::Isolate => Action::Isolate,
            ActionDef::BadConfig => Action::BadConfig,
            ActionDef::StaleGeo => Action::StaleGeo,
            ActionDef::BadGeo => Action::BadGeo,
            ActionDef::LoseState => Action::LoseState,
            ActionDef::ConfirmFalls => Action::Breaker,
        };
        ACTIONS.iter().find(|(_, known)| *known == action).map_or("", |(word, _)| word)
    }
}

fn step<'i>(reader: &mut Reader<'i, '_>, mut table: Table<'i>) -> Option<StepDef> {
    let id = table.require(reader, "id", "\"cut\"", scalar::name);
    let action = table.require(
        reader,
        "action",
        "\"probe.fault\"",
        scalar::choice("action", ACTIONS, ACTIONS_LATER),
    );
    let Some(action) = action else {
        // The keys of an action nobody knows are not known either.
        return None;
    };
    let kind = *action.get_ref();
    let target = match kind {
        Action::Force | Action::Drain | Action::Fault => {
            table.require(reader, "target", "\"region:eu-west-1\"", scalar::string)
        }
        Action::BadConfig => {
            table.require(reader, "target", "\"zone:gtm.example.com\"", scalar::string)
        }
        _ => {
            let why = "it is about everything this server has of the sort";
            table.elsewhere(reader, "target", why);
            None
        }
    };
    let params = match table.take_table(reader, "params") {
        Some(mut params) => {
            params.what = "`params`".into();
            self::params(reader, kind, action.span(), Some(params))
        }
        None => self::params(reader, kind, action.span(), None),
    };
    let lasts = match kind {
        Action::Breaker => {
            table.elsewhere(reader, "for", "what was confirmed stays so");
            None
        }
        _ => Some(table.require(reader, "for", "\"30s\"", scalar::duration)?),
    };
    let after = table
        .take(reader, "after", |reader, value| reader.list(value, "ids of steps", scalar::string));
    let delay = table.take(reader, "delay", scalar::duration);
    table.finish(reader);
    Some(StepDef {
        id: id?,
        action: Spanned::new(action.span(), params?),
        target,
        lasts,
        after: after.map(Spanned::into_inner).unwrap_or_default(),
        delay: delay.map_or(Duration::ZERO, Spanned::into_inner),
    })
}

/// What an action does, by its `params`.
fn params<'i>(
    reader: &mut Reader<'i, '_>,
    kind: Action,
    at: std::ops::Range<usize>,
    table: Option<Table<'i>>,
) -> Option<ActionDef> {
    let (example, needs) = match kind {
        Action::Force => ("{ state = \"down\" }", true),
        Action::Fault => ("{ kind = \"refuse\" }", true),
        Action::Breaker => ("{ falls = \"confirm\" }", true),
        _ => ("", false),
    };
    let Some(mut table) = table else {
        if needs {
            let message = "this action has no `params`";
            reader.report_help(at, message, format!("add `params = {example}`"));
            return None;
        }
        return Some(match kind {
            Action::Drain => ActionDef::Drain { over: None },
            Action::Isolate => ActionDef::Isolate,
            Action::BadConfig => ActionDef::BadConfig,
            Action::StaleGeo => ActionDef::StaleGeo,
            Action::BadGeo => ActionDef::BadGeo,
            _ => ActionDef::LoseState,
        });
    };
    let action = match kind {
        Action::Force => {
            const STATES: &[(&str, bool)] = &[("up", true), ("down", false)];
            let state =
                table.require(reader, "state", "\"down\"", scalar::choice("state", STATES, &[]));
            state.map(|up| ActionDef::Force { up: up.into_inner() })
        }
        Action::Drain => {
            let over = table.take(reader, "over", scalar::duration).map(Spanned::into_inner);
            Some(ActionDef::Drain { over })
        }
        Action::Fault => fault(reader, &mut table).map(ActionDef::Fault),
        Action::Breaker => {
            const FALLS: &[(&str, ())] = &[("confirm", ())];
            let falls =
                table.require(reader, "falls", "\"confirm\"", scalar::choice("word", FALLS, &[]));
            falls.map(|_| ActionDef::ConfirmFalls)
        }
        Action::Isolate => Some(ActionDef::Isolate),
        Action::BadConfig => Some(ActionDef::BadConfig),
        Action::StaleGeo => Some(ActionDef::StaleGeo),
        Action::BadGeo => Some(ActionDef::BadGeo),
        Action::LoseState => Some(ActionDef::LoseState),
    };
    table.finish(reader);
    action
}

fn fault<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Option<FaultDef> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Refuse,
        Hang,
        Slow,
        Flap,
        Status,
    }
    const KINDS: &[(&str, Kind)] = &[
        ("refuse", Kind::Refuse),
        ("hang", Kind::Hang),
        ("slow", Kind::Slow),
        ("flap", Kind::Flap),
        ("status", Kind::Status),
    ];
    let kind = table.require(reader, "kind", "\"refuse\"", scalar::choice("kind", KINDS, &[]))?;
    Some(match kind.into_inner() {
        Kind::Refuse => FaultDef::Refuse,
        Kind::Hang => FaultDef::Hang,
        Kind::Flap => FaultDef::Flap,
        Kind::Slow => {
            let delay = table.require(reader, "delay", "\"500ms\"", scalar::duration)?;
            FaultDef::Slow(delay.into_inner())
        }
        Kind::Status => {
            let status = table.take(reader, "status", scalar::integer(100..=599));
            FaultDef::Status(status.map_or(503, |status| status.into_inner() as u16))
        }
    })
}

fn rollback<'i>(reader: &mut Reader<'i, '_>, mut table: Table<'i>) -> Option<RollbackDef> {
    const ACTIONS: &[(&str, RollbackAction)] = &[
        ("health.force", RollbackAction::Auto),
        ("region.undrain", RollbackAction::Undrain),
        ("failback", RollbackAction::Failback),
    ];
    const STRATEGIES: &[(&str, bool)] = &[("always", false), ("deviated", true)];
    const STATES: &[(&str, ())] = &[("auto", ())];
    let action =
        table.require(reader, "action", "\"failback\"", scalar::choice("action", ACTIONS, &[]));
    let target = table.require(reader, "target", "\"record:a/b\"", scalar::string);
    let strategy = table.take(reader, "strategy", scalar::choice("strategy", STRATEGIES, &[]));
    if let Some(mut params) = table.take_table(reader, "params") {
        params.take(reader, "state", scalar::choice("state", STATES, &[]));
        params.finish(reader);
    }
    table.finish(reader);
    Some(RollbackDef {
        action: action?,
        target: target?,
        only_aborted: strategy.is_some_and(Spanned::into_inner),
    })
}

fn expect<'i>(
    reader: &mut Reader<'i, '_>,
    mut table: Table<'i>,
) -> BTreeMap<Measure, Spanned<Budget>> {
    let mut budgets = BTreeMap::new();
    for (measure, word, is_time) in Measure::ALL {
        let budget = table.take(reader, word, |reader, value| match is_time {
            true => scalar::micros(reader, value).map(Budget::Time),
            false => scalar::integer(0..=u32::MAX)(reader, value).map(Budget::Count),
        });
        budgets.extend(budget.map(|budget| (measure, budget)));
    }
    table.finish(reader);
    budgets
}

#[cfg(test)]
#[path = "drill/tests.rs"]
mod tests;
