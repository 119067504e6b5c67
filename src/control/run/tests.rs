//! The loop as those who send changes see it.

use super::*;
use crate::{
    control::{
        audit::Outcome,
        change::DRILL,
        journal::SharedJournal,
        reload::{Agreed, Rehearsal},
        store::Keeper,
        vantage::Nobody,
    },
    telemetry::Telemetry,
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

/// A clock that panics once when it is asked the time of day, if it was told to: a load asks
/// when it accepts a set of files.
#[derive(Default)]
struct Mine(AtomicBool);

impl Clock for Mine {
    fn now(&self) -> Moment {
        Moment(0)
    }
    fn wall(&self) -> SystemTime {
        assert!(!self.0.swap(false, Ordering::Relaxed), "on purpose");
        SystemTime::UNIX_EPOCH
    }
}

/// A running loop over the files of a folder.
struct Bench {
    changes: mpsc::UnboundedSender<Change>,
    report: watch::Receiver<Arc<Report>>,
    journal: SharedJournal,
}

impl Bench {
    fn start(dir: &Path, clock: &Arc<Mine>) -> Bench {
        let (main, report) = main_loop(dir, clock);
        let journal = main.control.journal();
        let (changes, taken) = mpsc::unbounded_channel();
        tokio::spawn(main.run(taken));
        Bench { changes, report, journal }
    }

    async fn reload(&self, cause: &str) -> Report {
        let (reply, report) = oneshot::channel();
        let (cause, by) = (cause.into(), Origin::itself(cause));
        let reply = Some(reply);
        self.changes.send(Change::Reload { cause, by, force: false, reply }).unwrap();
        report.await.unwrap()
    }
}

/// A loop over the files of a folder that has begun.
fn main_loop(dir: &Path, clock: &Arc<Mine>) -> (Loop, watch::Receiver<Arc<Report>>) {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let telemetry = Arc::new(Telemetry::default());
    let mut loader = Loader::new(dir, &dir.join("state"), Arc::clone(&clock), telemetry);
    let prepared = loader.load(&Wish::Start, "start").unwrap();
    let control = Control::new(Arc::clone(&clock));
    let (report, reports) = watch::channel(Arc::default());
    let locations = Arc::new(ArcSwap::new(Arc::clone(&prepared.locations)));
    let hooks = Hooks {
        vantage: Arc::new(Nobody),
        heard: Arc::default(),
        notify: Box::new(|_| {}),
        telemetry: Box::new(|_| {}),
        flatten: Box::new(|_, _| {}),
        rollouts: Box::new(|_, _| {}),
        demo: Box::new(|_, _| Ok(())),
    };
    let mut main = Loop::new(
        control,
        loader,
        clock,
        hooks,
        Shown { report, locations, entry: Arc::default(), drills: Arc::default() },
    );
    main.begin(prepared, "start");
    (main, reports)
}

const ZONE: &str = "@ 60 IN SOA ns.a.example. h.a.example. 1 1 1 1 1\n@ 60 IN NS ns.b.example.\n";

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("zones")).unwrap();
    fs::write(dir.path().join("tradewind.toml"), "schema = 1\n").unwrap();
    fs::write(dir.path().join("zones/a.example.zone"), ZONE).unwrap();
    dir
}

#[test]
fn a_load_that_waits_stands_for_all_that_want_the_same() {
    let (dir, clock) = (folder(), Arc::new(Mine::default()));
    let (mut main, _report) = main_loop(dir.path(), &clock);
    let mut want = |cause: &str, reply| {
        let (cause, by) = (cause.into(), Origin::itself(cause));
        main.take(Change::Reload { cause, by, force: false, reply });
        main.queue.len()
    };
    assert_eq!([want("SIGHUP", None), want("SIGHUP", None), want("SIGHUP", None)], [1; 3]);
    assert_eq!(want("geoip", None), 2, "this one looks elsewhere");
    assert_eq!(want("SIGHUP", None), 3);
    let (reply, _outcome) = oneshot::channel();
    assert_eq!(want("tradewind reload", Some(reply)), 4, "somebody waits for this one");
}

#[tokio::test]
async fn a_load_that_panics_is_refused_and_the_next_one_is_done() {
    let (dir, clock) = (folder(), Arc::new(Mine::default()));
    let bench = Bench::start(dir.path(), &clock);
    let more = format!("{ZONE}www 60 IN A 192.0.2.1\n");
    fs::write(dir.path().join("zones/a.example.zone"), more).unwrap();
    clock.0.store(true, Ordering::Relaxed);
    let report = bench.reload("SIGHUP").await;
    assert!(!report.accepted && report.errors == 1, "{report:?}");
    assert!(report.rendered.contains("a fault in tradewind itself"), "{}", report.rendered);
    assert!(bench.reload("SIGHUP").await.accepted);
    let journal = bench.journal.lock();
    let words: Vec<&str> = journal.since(0).map(|event| event.kind.word()).collect();
    assert_eq!(words.iter().filter(|word| **word == "refused").count(), 1, "{words:?}");
}

#[tokio::test]
async fn the_end_of_a_rehearsal_leaves_the_alarms_that_were_there_without_it() {
    let (dir, clock) = (folder(), Arc::new(Mine::default()));
    fs::write(
        dir.path().join("zones/b.example.zone"),
        ZONE.replace("ns.b.", "ns.c.").replace("a.ex", "b.ex"),
    )
    .unwrap();
    let bench = Bench::start(dir.path(), &clock);
    let rehearse = async |what: Option<&str>| {
        let (reply, report) = oneshot::channel();
        let what = what.map(|zone| Rehearsal::BrokenZone(zone.into()));
        let change = Change::Rehearse { what, cause: "drill x".into(), reply: Some(reply) };
        bench.changes.send(change).unwrap();
        report.await.unwrap();
        let mut held = bench.report.borrow().held.clone();
        held.sort();
        held.iter().map(|zone| zone.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(rehearse(Some("b.example")).await, ["b.example"]);
    fs::write(dir.path().join("zones/a.example.zone"), "not a zone\n").unwrap();
    assert_eq!(bench.reload("SIGHUP").await.held, ["a.example".into()]);
    assert_eq!(rehearse(Some("b.example")).await, ["a.example", "b.example"]);
    assert_eq!(rehearse(None).await, ["a.example"]);
    let zone = fs::write(dir.path().join("zones/a.example.zone"), ZONE);
    zone.unwrap();
    assert!(bench.reload("SIGHUP").await.held.is_empty());
    assert!(rehearse(None).await.is_empty());
    fs::write(dir.path().join("tradewind.toml"), "no such key\n").unwrap();
    assert!(!bench.reload("SIGHUP").await.accepted);
    rehearse(None).await;
    assert!(!bench.report.borrow().accepted, "files that are refused still are");
}

#[tokio::test]
async fn what_a_person_does_ends_the_rehearsed_loss_of_the_database() {
    let (dir, clock) = (folder(), Arc::new(Mine::default()));
    let shared = Arc::clone(&clock) as Arc<dyn Clock>;
    let (keeper, saved, _) = Keeper::open(&dir.path().join("state"), shared).unwrap();
    let (mut main, _report) = main_loop(dir.path(), &clock);
    main.control = Control::with_saved(Arc::clone(&clock) as Arc<dyn Clock>, saved, keeper);
    let keeper = main.control.keeper().unwrap();
    let wished = |from: &str| {
        let by = Origin { who: "ana".into(), from: from.into(), reason: None };
        let (what, said, event) = ("x".into(), "".into(), store_event());
        match from {
            DRILL => Change::Audited { by, event },
            _ => Change::Wished {
                by,
                what,
                outcome: Outcome::Refused,
                said,
                rules: vec![],
                stood: None,
            },
        }
    };
    keeper.lose(Some(Moment(u64::MAX)));
    main.take(wished(DRILL));
    assert!(keeper.flush().await.is_err(), "what a drill does itself leaves it lost");
    main.take(wished("control socket"));
    assert!(keeper.flush().await.is_ok());
}

fn store_event() -> EventKind {
    let [drill, run, what] = ["x", "y", "begins"].map(Arc::from);
    EventKind::Drill { drill, run, what, alarm: false }
}

#[tokio::test]
async fn a_look_into_geoip_does_not_end_the_alarm_of_a_zone_held_back() {
    let (dir, clock) = (folder(), Arc::new(Mine::default()));
    let bench = Bench::start(dir.path(), &clock);
    fs::write(dir.path().join("zones/a.example.zone"), "not a zone\n").unwrap();
    assert_eq!(bench.reload("SIGHUP").await.held, ["a.example".into()]);
    assert_eq!(bench.reload("geoip").await.held, ["a.example".into()]);
    assert_eq!(bench.report.borrow().held, ["a.example".into()]);
    fs::write(dir.path().join("tradewind.toml"), "no such key\n").unwrap();
    assert!(!bench.reload("SIGHUP").await.accepted);
    assert!(!bench.reload("geoip").await.accepted);
    fs::write(dir.path().join("tradewind.toml"), "schema = 1\n").unwrap();
    fs::write(dir.path().join("zones/a.example.zone"), ZONE).unwrap();
    assert!(bench.reload("SIGHUP").await.held.is_empty());
    assert!(bench.report.borrow().accepted);
}

/// Three regions, of which a rule wants two.
fn three_regions() -> tempfile::TempDir {
    let dir = folder();
    let places = [("us", "aws:us-east-1"), ("eu", "aws:eu-west-1"), ("ap", "aws:ap-south-1")];
    let regions = places.map(|(name, cloud)| format!("[regions.{name}]\ncloud = \"{cloud}\"\n"));
    let rule = "[[safety]]\nname = \"two\"\nmin_active_regions = 2\n";
    fs::write(dir.path().join("tradewind.toml"), regions.concat() + rule).unwrap();
    write_zone(dir.path(), &["us", "eu", "ap"]);
    dir
}

/// A record with a member in each of `regions`.
fn write_zone(dir: &Path, regions: &[&str]) {
    let pools = ["us", "eu", "ap"].map(|name| {
        format!(
            "[pools.{name}]\nregion = \"{name}\"\n\
             endpoints = [{{ name = \"{name}-1\", ipv4 = \"192.0.2.1\" }}]\n"
        )
    });
    let members = regions.iter().map(|name| format!("{{ pool = \"{name}\", weight = 1 }}"));
    let members = members.collect::<Vec<String>>().join(", ");
    let zone = format!(
        "zone = \"g.example\"\nns = [\"ns1.g.example\"]\nttl = \"20s\"\n\
         static = \"ns1 60 IN A 127.0.0.53\"\n{}[records.www]\npolicy = \"weighted\"\n\
         members = [{members}]\n",
        pools.concat()
    );
    fs::write(dir.join("zones/g.example.toml"), zone).unwrap();
}

/// What becomes of files that are applied; `meanwhile` happens after they were compiled, while their
/// answers are made.
async fn applied(
    main: &mut Loop,
    dir: &Path,
    break_glass: bool,
    meanwhile: impl FnOnce(&mut Loop),
) -> Report {
    let (reply, report) = oneshot::channel();
    let hash = crate::config::Sources::read(dir, &crate::config::Progress::default());
    let agreed =
        Agreed { base: main.control.world().revision, hash: hash.unwrap().hash(), break_glass };
    let by = Origin { reason: Some("INC-42".into()), ..Origin::itself("ana") };
    main.take(Change::Apply { agreed, cause: "tradewind apply".into(), by, reply });
    let (load, mut loader) = (main.queue.pop_front().unwrap(), main.loader.take().unwrap());
    let prepared = loader.load(&load.wish, &load.cause);
    let mut job = main.done(Done::Loaded(loader, load, prepared));
    meanwhile(main);
    while job.is_some() {
        let done = finished(&mut job).await;
        job = main.done(done);
    }
    report.await.unwrap()
}

#[tokio::test]
async fn files_that_were_safe_when_planned_are_judged_again_as_things_stand() {
    let (dir, clock) = (three_regions(), Arc::new(Mine::default()));
    let (mut main, shown) = main_loop(dir.path(), &clock);
    main.take(Change::Warm { done: oneshot::channel().0 });
    let journal = main.control.journal();
    let alarms = || {
        let journal = journal.lock();
        let over = journal.since(0).filter_map(|event| match &event.kind {
            EventKind::Hand { became, said, alarm: true, .. }
                if &**became == "over a safety rule" =>
            {
                Some(said.to_string())
            }
            _ => None,
        });
        over.collect::<Vec<String>>()
    };
    // Each alone leaves two regions; both leave one.
    write_zone(dir.path(), &["us", "eu"]);
    let drain = |main: &mut Loop| {
        let (reply, _outcome) = oneshot::channel();
        let command = Box::new(hand::testkit::command("drain region:us"));
        main.take(Change::Hand { command, from: "here".into(), clients: Arc::default(), reply });
    };
    let refused = applied(&mut main, dir.path(), false, drain).await;
    assert!(!refused.accepted && refused.revision == 1, "{refused:?}");
    assert_eq!(refused.broke.iter().map(|broken| &*broken.rule).collect::<Vec<_>>(), ["two"]);
    assert_eq!(main.control.world().revision, 1);
    assert!(shown.borrow().accepted, "nothing is wrong with the files");
    let entry = |main: &Loop, report: &Report| {
        let (by, world) = (Origin::itself("ana"), main.control.world());
        main.control.standing().load(&by, "tradewind apply", report, &world).unwrap()
    };
    let told = entry(&main, &refused);
    assert_eq!((told.outcome, &*told.said), (Outcome::Refused, "refused by safety rule `two`"));
    assert_eq!(told.rules, ["two".into()]);
    assert!(alarms().is_empty());
    // Over the rule: the number of what was refused was not used up, and it is an alarm.
    let loaded = applied(&mut main, dir.path(), true, |_| {}).await;
    assert!(loaded.accepted && loaded.revision == 2, "{loaded:?}");
    assert_eq!(entry(&main, &loaded).rules, ["two".into()]);
    let alarms = alarms();
    assert!(
        alarms.len() == 1 && alarms[0].starts_with("two: ") && alarms[0].ends_with("INC-42"),
        "{alarms:?}"
    );
    // What the world moved away from says so.
    let moved = Report { moved: Some("revision 9 is in force".into()), ..Report::default() };
    assert_eq!(&*entry(&main, &moved).said, "revision 9 is in force");
}

#[tokio::test]
async fn files_whose_answers_could_not_be_made_ahead_come_into_force_all_the_same() {
    let (dir, clock) = (three_regions(), Arc::new(Mine::default()));
    let (mut main, _shown) = main_loop(dir.path(), &clock);
    main.take(Change::Warm { done: oneshot::channel().0 });
    write_zone(dir.path(), &["us", "eu"]);
    let (reply, report) = oneshot::channel();
    let wish = Wish::Reload { cautious: false };
    let by = Origin::itself("SIGHUP");
    let load = Load { wish, cause: "SIGHUP".into(), by, reply: Some(reply) };
    let mut loader = main.loader.take().unwrap();
    let prepared = loader.load(&load.wish, &load.cause).unwrap();
    let mut job = main.done(Done::Steered(loader, load, prepared, None));
    job = main.done(finished(&mut job).await);
    assert!(job.is_none() && main.loader.is_some());
    assert!(report.await.unwrap().accepted);
    let world = main.control.world();
    let plan = world.snapshot.records[0].plan;
    let shares = world.steering.plan(plan).selections()[0].a.shares();
    assert_eq!((world.revision, shares.len()), (2, 2));
}
