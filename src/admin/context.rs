//! What the doors show and change: the running server as routes see it.

use super::{
    Running, ahead,
    events::Events,
    hand::Hands,
    metrics,
    peers::PeerDoor,
    refused::Refused,
    rollout::Sight,
    schema::{Status, health::TargetLine, node::PeerLine, plan::WeightsLine, rollout::RolloutLine},
    status::{self, Seen},
    turns::{InLine, Turns},
};
use crate::{
    clock::Clock,
    compile::Entry,
    control::{
        Change, Handle, Report,
        hand::foresee::Outlook,
        journal::SharedJournal,
        overview::{Overview, SharedOverview},
        plan::{Ask, Plan, Planner, Wanted},
        residual::Moves,
    },
    forecast::Weights,
    place::LazyTable,
    spread,
    telemetry::{Metrics, Telemetry},
    world::Viewer,
};
use arc_swap::ArcSwap;
use axum::http::StatusCode;
use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot, watch::Receiver};

/// How the other servers for the same zones compare.
pub(super) type SharedPeers = Arc<ArcSwap<Vec<PeerLine>>>;

/// Everything the doors show and change.
pub struct Context {
    pub(super) viewer: Viewer,
    pub(super) events: Arc<Events>,
    pub(super) locations: Arc<ArcSwap<LazyTable>>,
    pub(super) hands: Arc<Hands>,
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entry: Arc<ArcSwap<Entry>>,
    pub(super) running: Arc<dyn Running>,
    pub(super) journal: SharedJournal,
    /// The other servers for the same zones.
    pub(super) doors: Box<[PeerDoor]>,
    /// How they compared when they were last asked.
    pub(super) peers: SharedPeers,
    pub(super) overview: SharedOverview,
    /// Whose turn it is to look ahead.
    pub(super) turns: Turns,
    changes: UnboundedSender<Change>,
    report: Receiver<Arc<Report>>,
    moves: Moves,
    telemetry: Arc<Telemetry>,
    started: SystemTime,
}

impl Context {
    /// A context around `handle`; the gauges of `running` are added to `metrics`. `doors` are those
    /// of the other servers for the same zones.
    pub fn new(
        handle: Handle,
        mut metrics: Metrics,
        clock: Arc<dyn Clock>,
        running: Arc<dyn Running>,
        doors: Vec<PeerDoor>,
    ) -> Arc<Context> {
        let Handle { changes, reader, journal, report, locations, moves, overview, hand, entry } =
            handle;
        let viewer = reader.viewer();
        let started = clock.wall();
        metrics::add(&mut metrics, &viewer, &report, &running);
        metrics::unsettled(&mut metrics, &overview, &hand);
        metrics::old_answers(&mut metrics, &moves, &clock);
        metrics::rollouts(&mut metrics, &running);
        let peers = SharedPeers::default();
        metrics::peers(&mut metrics, &peers);
        metrics::kept(&mut metrics, &journal);
        metrics::ages(&mut metrics, &locations, &clock);
        metrics::revision_age(&mut metrics, &viewer, &journal, &clock);
        let telemetry = metrics.telemetry();
        let hands = Arc::new(Hands {
            viewer: viewer.clone(),
            shown: hand,
            locations: Arc::clone(&locations),
            clock: Arc::clone(&clock),
            clients: Mutex::default(),
        });
        metrics::intended(&mut metrics, &hands);
        let events = Arc::new(Events::new(journal.clone(), Arc::clone(&clock)));
        Arc::new(Context {
            viewer,
            events,
            locations,
            hands,
            metrics,
            clock,
            entry,
            running,
            changes,
            journal,
            doors: doors.into(),
            peers,
            report,
            moves,
            overview,
            turns: Turns::default(),
            telemetry,
            started,
        })
    }

    /// How targets stand.
    pub(super) fn targets(&self) -> Vec<TargetLine> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.running.targets().iter().map(|target| TargetLine::new(target, now, wall)).collect()
    }

    /// How the server stands.
    pub(super) fn status(&self) -> Status {
        let mut status = status::status(&Seen {
            world: &self.viewer.world(),
            report: &self.report(),
            running: &*self.running,
            journal: &self.journal,
            overview: &self.overview.load(),
            hand: &self.hands.shown.load(),
            left: self.moves.left(&self.telemetry, self.clock.now()),
            clock: &*self.clock,
            started: self.started,
        });
        status.not_ready.extend(self.unminded());
        status.rollouts = self.rollouts().into_iter().filter(|rollout| !rollout.closed).collect();
        status.weights = self.hands.weights();
        status.peers = self.peers.load().to_vec();
        status
    }

    /// All rollouts.
    pub(super) fn rollouts(&self) -> Vec<RolloutLine> {
        let shown = self.running.rollouts().map(|rollouts| rollouts.shown());
        shown.map(|shown| self.sight(|sight| sight.lines(&shown))).unwrap_or_default()
    }

    /// The rollout called `name`.
    pub(super) fn rollout(&self, name: &str) -> Option<RolloutLine> {
        let shown = self.running.rollouts()?.shown();
        self.sight(|sight| sight.named(&shown, name))
    }

    fn sight<T>(&self, look: impl FnOnce(&Sight<'_>) -> T) -> T {
        look(&Sight {
            world: &self.viewer.world(),
            pinned: self.overview.load().pinned,
            running: &*self.running,
            clock: &*self.clock,
        })
    }

    /// Why `/readyz` says no, if it does.
    pub(super) fn not_ready(&self) -> Vec<String> {
        let mut reasons = status::not_ready(&self.viewer.world(), &self.report());
        reasons.extend(self.unminded());
        reasons
    }

    /// Sends what nobody waits for.
    pub(super) fn tell(&self, change: Change) {
        // Fails only while the server stops.
        let _ = self.changes.send(change);
    }

    /// Sends a wish and waits for what becomes of it.
    pub(super) async fn change<T>(
        &self,
        wish: impl FnOnce(oneshot::Sender<T>) -> Change,
    ) -> Result<T, Refused> {
        let (reply, outcome) = oneshot::channel();
        let stopping = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
        self.changes.send(wish(reply)).map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())
    }

    /// What is served and stands behind it, for whoever looks ahead.
    pub(super) async fn outlook(&self) -> Result<Box<Outlook>, Refused> {
        self.change(|reply| Change::Outlook { reply }).await
    }

    /// What clients are weighed by, as `line` says.
    pub(super) fn weights(&self, line: &WeightsLine) -> Result<Weights, Refused> {
        let observed = || ahead::observed(&self.telemetry.observed().of(|_| true));
        line.read(observed).map_err(Refused::bad)
    }

    /// What would follow if the files that are `wanted` were loaded, for who waits `in_line`.
    pub(super) async fn plan(
        self: &Arc<Self>,
        wanted: Wanted,
        weights: Weights,
        in_line: Option<InLine>,
    ) -> Result<Plan, Refused> {
        let plan = move |planner: &Planner, ask: &Ask<'_>| planner.plan(&wanted, ask);
        self.ahead(weights, in_line, plan).await?.map_err(|error| Refused::from(&error))
    }

    /// Has `work` look ahead from what is served, once it is its turn. It may take seconds.
    pub(super) async fn ahead<T: Send + 'static>(
        self: &Arc<Self>,
        weights: Weights,
        in_line: Option<InLine>,
        work: impl FnOnce(&Planner, &Ask<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = self.turns.of(in_line).await?;
        let outlook = self.outlook().await?;
        let context = Arc::clone(self);
        let worked_out = aside(move || {
            let (locations, known) = (context.locations.load_full(), context.hands.counted());
            let ask =
                Ask { outlook: &outlook, weights: &weights, locations: &locations, known: &known };
            let found = spread::giving_way(|| work(context.running.planner(), &ask));
            drop(turn);
            found
        });
        worked_out.await
    }

    /// What is held and what waits.
    pub(super) fn overview(&self) -> Arc<Overview> {
        self.overview.load_full()
    }

    /// The outcome of the newest load of files.
    pub(super) fn report(&self) -> Arc<Report> {
        Arc::clone(&self.report.borrow())
    }

    /// That nobody takes changes any more, if so: answers then stay as they are, whatever health
    /// finds out.
    fn unminded(&self) -> Option<String> {
        let why = "control has ended: answers change no more until the server is restarted";
        self.changes.is_closed().then(|| why.to_owned())
    }
}

/// Runs what takes more than a moment away from the threads that probe and accept.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| {
        let why = "this could not be worked out; the log says more";
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    })
}
