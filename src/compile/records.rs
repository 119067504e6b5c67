//! Steered records: a name, a tree, and how its answers may be kept.

use super::{
    maps::{CompiledMap, DependentKey},
    names::{self, Heir, Named, Scope},
    policies,
    pools::{Maker, Slots},
    trees::{Body, Failovers, TreeBuilder},
    zones::Ground,
};
use crate::{
    config::{
        Problem, Problems, Spanned,
        policy::PolicyKind,
        settings::{AllDown, Ecs, RecordSettings, Sticky as WrittenSticky, StickyPrefix, TtlRange},
        zone::{RecordDef, ZoneFile},
    },
    policy::{
        sticky::{Drawn, name_hash},
        tree::{self, ClassTable, EXTRA_TYPES_MAX, EndpointTarget, Kind, Tree},
    },
    snapshot::{Ramp, Sticky, TtlPolicy},
    units::Ttl,
    wire::Name,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock},
};

/// Most names that one record flattens: at one lookup of 20 ms each every two seconds, which no
/// TTL is below, they keep half of one thread busy.
const FLATTENED_MAX: usize = 64;

/// How long answers of a record may be kept when nobody says.
const TTL: Ttl = Ttl::from_secs(30);

/// A steered record as a draft knows it.
#[derive(Debug)]
pub(super) struct RecordDraft {
    pub owner: Name,
    /// `zone/record` as written.
    pub id: Arc<str>,
    /// Index into the draft's plans.
    pub plan: usize,
    pub cohort: u64,
    /// Where its name is written.
    pub span: std::ops::Range<usize>,
}

/// What steers records, with ids of the draft.
#[derive(Clone, Debug)]
pub(super) struct PlanDraft {
    pub tree: Tree,
    pub map: Option<Arc<CompiledMap>>,
    pub ttl: TtlPolicy,
    pub ramp: Option<Ramp>,
    pub sticky: Option<Sticky>,
    pub use_ecs: bool,
    pub has_cname: bool,
}

/// What makes two plans the same: a tree without its table of classes, which follows from the
/// map and is long.
#[derive(PartialEq, Eq, Hash)]
struct PlanKey {
    tree: Tree,
    map: Option<*const CompiledMap>,
    ttl: TtlPolicy,
    ramp: Option<Ramp>,
    sticky: Option<Sticky>,
    use_ecs: bool,
}

/// The steered part of a zone, with ids of its own.
#[derive(Debug, Default)]
pub(super) struct Steered {
    pub records: Vec<RecordDraft>,
    pub plans: Vec<PlanDraft>,
    pub slots: Slots,
    pub failovers: Failovers,
}

/// Compiles the records of `zone`. Trees are made only of definitions without error.
pub(super) fn compile(
    ground: Ground<'_>,
    scope: &Scope<'_>,
    zone: &ZoneFile,
    apex: &Name,
    problems: &mut Problems,
) -> Steered {
    for record in &zone.records {
        names::check_record_settings(scope, &zone.file, &record.settings, problems);
        if let Some(body) = &record.body {
            policies::check_body(scope, &zone.file, body, problems);
        }
    }
    let mut steered = Steered::default();
    let mut plans: HashMap<PlanKey, usize> = HashMap::new();
    let can_build = !problems.has_errors();
    let failovers = zone.records.iter().filter(|record| {
        let kind = record.body.as_ref().map(|body| &body.kind);
        matches!(kind, Some(PolicyKind::Failover(_)))
    });
    let failovers: BTreeSet<&str> = failovers.map(|r| r.name.get_ref().as_str()).collect();
    for record in &zone.records {
        let Some(owner) = owner(zone, record, apex, problems) else {
            continue;
        };
        if !can_build {
            continue;
        }
        let mut context =
            Context { ground, scope, zone, apex, failovers: &failovers, problems: &mut *problems };
        let Some(plan) = context.plan(record, &owner, &mut steered) else {
            continue;
        };
        let key = PlanKey {
            tree: plan.tree.clone(),
            map: plan.map.as_ref().map(Arc::as_ptr),
            ttl: plan.ttl,
            ramp: plan.ramp,
            sticky: plan.sticky,
            use_ecs: plan.use_ecs,
        };
        let index = *plans.entry(key).or_insert_with(|| {
            steered.plans.push(plan.with_classes());
            steered.plans.len() - 1
        });
        let cohort = record.cohort.as_ref().unwrap_or(&record.name);
        steered.records.push(RecordDraft {
            id: format!("{apex}/{}", record.name).into(),
            owner,
            plan: index,
            cohort: name_hash(Drawn::Member, 0, &[cohort.get_ref()]),
            span: record.name.span(),
        });
    }
    steered
}

impl PlanDraft {
    fn with_classes(mut self) -> Self {
        if let Some(map) = &self.map {
            self.tree.classes = map.classes.clone();
        }
        self
    }
}

/// The name of a record; a problem if it is none, or not in the zone.
fn owner(
    zone: &ZoneFile,
    record: &RecordDef,
    apex: &Name,
    problems: &mut Problems,
) -> Option<Name> {
    let written = record.name.get_ref();
    let error = |message: String, help: &str| {
        Problem::error(&zone.file, record.name.span(), message).help(help)
    };
    match Name::parse_relative(written, apex) {
        Ok(owner) if owner.is_at_or_below(apex) => {
            warn_of_doubled_zone(zone, record, apex, problems);
            Some(owner)
        }
        Ok(_) => {
            let message = format!("`{written}` is not in the zone `{apex}`");
            problems.push(error(message, "names without a dot at their end are below the zone"));
            None
        }
        Err(why) => {
            let message = format!("`{written}` is not a domain name: {why}");
            problems.push(error(message, "write `www`, `*.cdn`, or `@` for the zone itself"));
            None
        }
    }
}

/// A name with the zone's own at its end and no dot: `www.a.example` in `a.example`.
fn warn_of_doubled_zone(zone: &ZoneFile, record: &RecordDef, apex: &Name, problems: &mut Problems) {
    let written = record.name.get_ref().to_ascii_lowercase();
    let Some(rest) = written.strip_suffix(&apex.to_string().to_ascii_lowercase()) else {
        return;
    };
    if rest.is_empty() || rest.ends_with('.') {
        let message = format!("this is `{written}.{apex}`: the zone's name is in it twice");
        let help = match rest.strip_suffix('.').unwrap_or(rest) {
            "" => "names stand below the zone: write `@` for the zone itself".to_owned(),
            rest => format!("names stand below the zone: write `{rest}`, or end it with a dot"),
        };
        problems.push(Problem::warning(&zone.file, record.name.span(), message).help(help));
    }
}

/// Where a record is compiled.
struct Context<'s, 'a, 'g> {
    ground: Ground<'g>,
    scope: &'s Scope<'a>,
    zone: &'a ZoneFile,
    apex: &'s Name,
    failovers: &'s BTreeSet<&'a str>,
    problems: &'s mut Problems,
}

impl<'a> Context<'_, 'a, '_> {
    fn plan(
        &mut self,
        record: &'a RecordDef,
        owner: &Name,
        steered: &mut Steered,
    ) -> Option<PlanDraft> {
        let levels = Levels {
            defaults: &self.scope.server.file.defaults,
            zone: &self.zone.settings,
            record: &record.settings,
        };
        let (mut tree, dependents) = self.tree(record, owner, &levels, steered)?;
        let has_cname = self.check_cnames(record, owner, &tree, &steered.slots);
        self.check_extra(record, &tree, has_cname);
        let map = match dependents.is_empty() {
            true => None,
            false => Some(self.map(record, dependents)?),
        };
        tree.classes = EMPTY.clone();
        let ttl = levels
            .find(|s| s.ttl.as_ref())
            .map_or(TtlRange { max: TTL, min: TTL }, |ttl| *ttl.get_ref());
        let prefix = levels.find(|s| s.sticky_prefix.as_ref());
        let prefix = prefix.map_or_else(StickyPrefix::default, |prefix| *prefix.get_ref());
        let is_sticky = levels
            .find(|s| s.sticky.as_ref())
            .is_some_and(|sticky| *sticky.get_ref() == WrittenSticky::Client);
        let ecs = levels.find(|s| s.ecs.as_ref());
        Some(PlanDraft {
            tree,
            map,
            ttl: TtlPolicy { max: ttl.max, min: ttl.min },
            ramp: levels.ramp(),
            sticky: is_sticky.then_some(Sticky { v4: prefix.v4, v6: prefix.v6 }),
            use_ecs: ecs.is_none_or(|ecs| *ecs.get_ref() == Ecs::Use),
            has_cname,
        })
    }

    fn tree(
        &mut self,
        record: &'a RecordDef,
        owner: &Name,
        levels: &Levels<'a>,
        steered: &mut Steered,
    ) -> Option<(Tree, Vec<DependentKey>)> {
        let server = self.scope.server;
        let body = record.body.as_ref()?;
        let above =
            Heir::default().pool(server, &levels.defaults.pool).pool(server, &levels.zone.pool);
        let whole = above.pool(server, &levels.record.pool);
        let mut heir = whole;
        let own = &record.settings.pool.min_healthy;
        let mut own = own.as_ref().map(|min_healthy| *min_healthy.get_ref());
        match body.kind {
            // What the record says of itself is its policy's, not its pools'.
            PolicyKind::Multivalue => {
                heir.answers = None;
                heir.min_healthy = above.min_healthy;
            }
            PolicyKind::Weighted => heir.min_healthy = above.min_healthy,
            _ => own = None,
        }
        let apex = self.apex.to_string();
        let mut builder = TreeBuilder {
            scope: self.scope,
            maker: Maker {
                server,
                zone: &apex,
                owner,
                flattens: flattens(record, owner == self.apex),
                slots: &mut steered.slots,
                problems: self.problems,
            },
            failovers: &mut steered.failovers,
            heir,
            ramp: Levels { record: levels.zone, ..*levels }.ramp(),
            records: self.failovers,
            nodes: Vec::new(),
            dependents: Vec::new(),
            known: HashMap::new(),
        };
        let body = Body {
            file: &self.zone.file,
            name: "",
            id: format!("{apex}/{}", record.name),
            body,
            min_healthy: own,
            answers: whole.answers,
            ramp: levels.ramp(),
        };
        let root = builder.body(&body, 0)?;
        if let Err(what) = builder.bounds(root) {
            let message = format!("the tree of `{}` {what}", record.name);
            let problem = Problem::error(&self.zone.file, record.name.span(), message);
            let help = "each path to a pool counts: refer to fewer policies, or nest less";
            builder.maker.problems.push(problem.help(help));
            return None;
        }
        let all_down = all_down(&mut builder, levels)?;
        let tree = Tree { nodes: builder.nodes.into(), root, all_down, classes: EMPTY.clone() };
        Some((tree, builder.dependents))
    }

    /// Whether some leaf is a CNAME, which then must not be at the apex nor point to itself.
    fn check_cnames(
        &mut self,
        record: &RecordDef,
        owner: &Name,
        tree: &Tree,
        slots: &Slots,
    ) -> bool {
        let targets = tree.pools().flat_map(|pool| &pool.endpoints).filter_map(|endpoint| {
            let (slot, is_flattened) = match endpoint.target {
                EndpointTarget::Cname { slot, .. } => (slot, false),
                EndpointTarget::Flattened { slot } => (slot, true),
                EndpointTarget::Addresses { .. } => return None,
            };
            Some((endpoint, &slots.list[slot.index()].address, is_flattened))
        });
        let mut error = |message: String, help: &str| {
            let span = record.name.span();
            self.problems.push(Problem::error(&self.zone.file, span, message).help(help));
        };
        let (mut has_cname, mut flattened) = (false, 0);
        for (endpoint, target, is_flattened) in targets {
            if owner == self.apex && !is_flattened && !has_cname {
                let message = format!("`{}` answers a CNAME at the zone's apex", endpoint.name);
                error(
                    message,
                    "the apex owns SOA and NS, so it cannot have a CNAME (RFC 1034 §3.6.2): leave \
                     `flatten = false` out",
                );
            }
            has_cname |= !is_flattened;
            flattened += usize::from(is_flattened);
            if Name::parse(&target.to_string()).is_ok_and(|target| target == *owner) {
                let message = format!("`{}` points to the record itself", endpoint.name);
                error(message, "a CNAME must lead somewhere else");
            }
        }
        if flattened > FLATTENED_MAX {
            let message = format!("`{}` flattens {flattened} names", record.name);
            let help = format!("{FLATTENED_MAX} is the most: each is looked up all the time");
            error(message, &help);
        }
        if let Some(flatten) = &record.flatten
            && *flatten.get_ref()
            && flattened == 0
        {
            let message = "`flatten` means nothing here: no member is a CNAME";
            self.problems.push(Problem::warning(&self.zone.file, flatten.span(), message));
        }
        has_cname
    }

    /// Whether what the pools give beside addresses can be given at all.
    fn check_extra(&mut self, record: &RecordDef, tree: &Tree, has_cname: bool) {
        let types = tree.extra_types();
        let (message, help) = match types.len() {
            0 => return,
            _ if has_cname => (
                format!("`{}` answers a CNAME and also has `extra` records", record.name),
                "a CNAME must be alone at its name (RFC 1034 §3.6.2): use pools of addresses, or \
                 leave `extra` out"
                    .to_owned(),
            ),
            n if n > EXTRA_TYPES_MAX => (
                format!("the pools of `{}` have {n} types in their `extra`", record.name),
                format!("{EXTRA_TYPES_MAX} is the most: make records of their own of some"),
            ),
            _ => return,
        };
        let problem = Problem::error(&self.zone.file, record.name.span(), message);
        self.problems.push(problem.help(help));
    }

    fn map(
        &mut self,
        record: &RecordDef,
        dependents: Vec<DependentKey>,
    ) -> Option<Arc<CompiledMap>> {
        let Ground { server, locations, maps, .. } = self.ground;
        match maps.get(server, locations, dependents) {
            Ok(map) => Some(map),
            Err(_) => {
                let message = format!(
                    "the rules of `{}` tell more than 65,535 classes of clients apart",
                    record.name
                );
                let problem = Problem::error(&self.zone.file, record.name.span(), message);
                self.problems.push(problem.help(
                    "every geo and latency policy of a tree multiplies them: use fewer of them in \
                     one tree, fewer members under latency, or a larger `tie`",
                ));
                None
            }
        }
    }
}

/// The table of a tree that depends on nobody: one for all, compared by content anyway.
static EMPTY: LazyLock<Arc<ClassTable>> = LazyLock::new(Arc::default);

/// Where a record's settings may be written, from the outside in.
struct Levels<'a> {
    defaults: &'a RecordSettings,
    zone: &'a RecordSettings,
    record: &'a RecordSettings,
}

impl<'a> Levels<'a> {
    fn find<T>(&self, of: impl Fn(&'a RecordSettings) -> Option<T>) -> Option<T> {
        of(self.record).or_else(|| of(self.zone)).or_else(|| of(self.defaults))
    }

    fn ramp(&self) -> Option<Ramp> {
        self.find(|settings| settings.ramp.as_ref())?.get_ref().map(names::ramp_of)
    }
}

fn all_down<'a>(builder: &mut TreeBuilder<'_, 'a>, levels: &Levels<'a>) -> Option<tree::AllDown> {
    let written = levels.find(|s| s.all_down.as_ref()).map(Spanned::get_ref);
    Some(match written {
        None | Some(AllDown::LastGood) => tree::AllDown::LastGood,
        Some(AllDown::All) => tree::AllDown::All,
        Some(AllDown::First) => tree::AllDown::First,
        Some(AllDown::NoData) => tree::AllDown::Nodata,
        Some(AllDown::Pool(name)) => match builder.scope.find(name)? {
            named @ Named::Pool(_) => tree::AllDown::Pool(builder.named(named, 0)?),
            Named::Policy(_) => return None,
        },
    })
}

/// Whether the CNAMEs of `record` are answered as addresses: if it says so, and at the apex.
fn flattens(record: &RecordDef, is_apex: bool) -> bool {
    record.flatten.as_ref().map_or(is_apex, |flatten| *flatten.get_ref())
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Whether `target` has an address of it.
    pub fn is_in(self, target: &EndpointTarget) -> bool {
        match (target, self) {
            (EndpointTarget::Addresses { v4, .. }, Family::V4) => v4.is_some(),
            (EndpointTarget::Addresses { v6, .. }, Family::V6) => v6.is_some(),
            // Which ones its name has, nobody knows beforehand.
            (EndpointTarget::Flattened { .. }, _) => true,
            (EndpointTarget::Cname { .. }, _) => false,
        }
    }

    /// Whether `kind` is a pool of addresses without one of it.
    pub fn lacks_in(self, kind: &Kind) -> bool {
        let Kind::Pool(pool) = kind else {
            return false;
        };
        let mut targets = pool.endpoints.iter().map(|endpoint| &endpoint.target);
        targets
            .all(|target| matches!(target, EndpointTarget::Addresses { .. }) && !self.is_in(target))
    }
}
