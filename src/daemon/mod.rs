//! Start order, signals, shutdown order. Alone knows every room.
//!
//! Files are compiled before anything is bound, so that a broken folder fails at once; sockets
//! are bound before anything runs; static names are answered as soon as threads run, steered
//! ones once health has its first results or a second has passed (DESIGN §5, Health). Stopping
//! goes the other way round.

pub mod answerer;
mod backends;
mod checking;
pub mod demo;
mod doors;
mod limits;
mod manager;
mod pin;
mod ready;
mod refused;
mod signals;
mod watch;

use crate::{
    admin::{
        self, ControlSocket, Running,
        peers::{self, PeerDoor},
        schema::HookLine,
    },
    cli::{Exit, loading},
    clock::{Clock, SystemClock, Timekeeper, mix},
    config::{Problems, server, sources::SERVER_FILE},
    control::{
        Change, Handle,
        event::EventKind,
        hand::pin::pinned,
        plan::Planner,
        publish::Control,
        reload::{Loader, Prepared, Wish},
        revisions::{Manifest, Revisions},
        run::{self, Loop, Shown},
        store::{Keeper, Saved},
    },
    drill::{self, Drills},
    engine::Desk,
    flatten::{self, Flattener},
    guard::Guard,
    health::{Beat, Checker, HeartbeatError, Impairment, ProbeDurations, TargetState},
    hooks::{self, Hooks},
    querylog::{self, QueryLog},
    rollout::{self, Rollouts},
    telemetry::{Metrics, Sampling, Telemetry},
    transport::{Proxies, Sockets, TcpLimits, TcpServer, UdpServer, UdpSettings, sockets},
};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use backends::Backends;
use checking::Probing;
use doors::Doors;
use pin::PinWatch;
use ring::rand::{SecureRandom, SystemRandom};
use signals::Signals;
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch as latest},
    task::JoinHandle,
    time::timeout,
};

/// Steered answers wait no longer than this for the first results of health checks.
const FIRST_RESULTS: Duration = Duration::from_secs(1);

/// Work on threads of its own (a lookup that hangs in the system's resolver, a load of files)
/// keeps a stopped server no longer than this.
const LINGER: Duration = Duration::from_millis(500);

/// A state database on a disk that hangs keeps a stopped server no longer than this.
const CLOSING: Duration = Duration::from_secs(2);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The folder with `tradewind.toml`.
    pub dir: PathBuf,
    /// Written once queries are answered: addresses and process id, as JSON.
    pub ready_file: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the server cannot start; broken files are told on standard error and give
/// [`Exit::FilesInvalid`].
pub fn serve(options: &ServeOptions) -> anyhow::Result<Exit> {
    run(options, None)
}

fn run(options: &ServeOptions, demo: Option<demo::Demo>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the control plane's threads")?;
    let signals = {
        let _inside = runtime.enter();
        Signals::catch()?
    };
    limits::raise_open_files();
    limits::forbid_core_dumps();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let telemetry = Arc::new(Telemetry::default());
    let watched = watch::Folder::open(&options.dir);
    let state = options.dir.join(state_folder(&options.dir));
    let mut loader = Loader::new(&options.dir, &state, Arc::clone(&clock), Arc::clone(&telemetry));
    let progress = loader.progress();
    let prepared = match loading::shown(&progress, || loader.load(&Wish::Start, "start")) {
        Ok(prepared) => prepared,
        Err(report) => {
            complain(&report.rendered);
            return Ok(Exit::FilesInvalid);
        }
    };
    if !prepared.report.rendered.is_empty() {
        complain(&prepared.report.rendered);
    }
    let kept =
        Keeper::open(&state, Arc::clone(&clock)).context("cannot open the state database")?;
    let ends = Ends { signals, watched, demo, kept };
    let outcome = runtime.block_on(start(options, clock, telemetry, loader, prepared, ends));
    runtime.shutdown_timeout(LINGER);
    outcome
}

/// What the daemon minds beside serving.
struct Ends {
    signals: Signals,
    watched: Option<watch::Folder>,
    demo: Option<demo::Demo>,
    kept: Kept,
}

/// What the run before left, the way to keep more, and what went wrong with either.
type Kept = (Keeper, Saved, Option<EventKind>);

/// `state` as the server file says, or the default when it cannot be read: kept revisions are
/// needed most when it is broken.
fn state_folder(dir: &Path) -> PathBuf {
    let text = std::fs::read_to_string(dir.join(SERVER_FILE)).unwrap_or_default();
    let file: Arc<Path> = Path::new(SERVER_FILE).into();
    server::read(&file, &text, &mut Problems::default())
        .map_or_else(|| PathBuf::from("state"), |file| file.server.state)
}

async fn start(
    options: &ServeOptions,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    loader: Loader,
    prepared: Prepared,
    Ends { mut signals, watched, demo, kept }: Ends,
) -> anyhow::Result<Exit> {
    if let Some(path) = &options.ready_file {
        ready::withdraw(path)?;
    }
    let revisions = loader.revisions().clone();
    let server = prepared.server.clone();
    let threads = server.udp_threads.unwrap_or_else(|| match server.cpu_affinity.len() {
        0 => cores(),
        bound => bound,
    });
    let listen = server.listen.clone().unwrap_or_else(sockets::everywhere);
    let sockets = Sockets::bind(&listen, threads, threads)?;
    let addresses = sockets.addresses.clone();
    let control_path = options.dir.join(&server.control);
    let socket = ControlSocket::bind(&control_path)?;
    let public = match server.admin {
        Some(at) => Some(doors::listen(at).await?),
        None => None,
    };
    let (changes, taken) = mpsc::unbounded_channel();
    let heard = Arc::new(Notify::new());
    let checker = checking::start(Arc::clone(&clock), changes.clone(), Arc::clone(&heard))?;
    let checker = Arc::new(checker);
    let (keeper, saved, alarm) = kept;
    let memory = hooks::Memory::resumed(&saved, keeper.clone());
    let notes = saved.notes.clone();
    let mut control = Control::with_saved(Arc::clone(&clock), saved, keeper.clone());
    alarm.into_iter().for_each(|alarm| control.record(alarm));
    let minding = [
        tokio::spawn(tell_of_store(keeper.clone(), changes.clone())),
        tokio::spawn(checking::tell_of_impairment(Arc::clone(&checker), changes.clone())),
        tokio::spawn(refused::tell_of_refused_replies(Arc::clone(&telemetry))),
    ];
    control.count_by(Arc::clone(&telemetry));
    let state = options.dir.join(&server.state);
    let planner = Planner::new(&options.dir, &state);
    let pin = pinned(&state);
    control.pin_file(pin.clone());
    let (report, reports) = latest::channel(Arc::new(prepared.report.clone()));
    let locations = Arc::new(ArcSwap::new(Arc::clone(&prepared.locations)));
    let entry = Arc::new(ArcSwap::from_pointee(prepared.entry.clone()));
    let flattener = Arc::new(Flattener::start(flatten::Settings {
        clock: Arc::clone(&clock),
        viewer: control.reader().viewer(),
        changes: changes.clone(),
        seed: RandomState::new().hash_one("flatten"),
    }));
    let handle = Handle {
        changes: changes.clone(),
        reader: control.reader(),
        journal: control.journal(),
        report: reports,
        locations: Arc::clone(&locations),
        entry: Arc::clone(&entry),
        moves: control.moves(),
        overview: control.overview(),
        hand: control.hand(),
    };
    let drill_files: run::SharedDrills = Arc::default();
    let drills = Drills::new(drill::Ground {
        changes: changes.clone(),
        viewer: control.reader().viewer(),
        journal: control.journal(),
        clock: Arc::clone(&clock),
        checker: Arc::clone(&checker),
        keeper: keeper.clone(),
        hand: control.hand(),
        overview: control.overview(),
        report: handle.report.clone(),
        locations: Arc::clone(&locations),
        drills: Arc::clone(&drill_files),
        server: asked_at(&addresses)?,
        dir: options.dir.clone(),
        state: state.clone(),
        counted: Mutex::default(),
    });
    let states = Arc::clone(&checker);
    let rollouts = Rollouts::start(
        rollout::Settings {
            dir: options.dir.clone(),
            handle: handle.clone(),
            targets: Box::new(move || states.states()),
            telemetry: Arc::clone(&telemetry),
            keeper: keeper.clone(),
            clock: Arc::clone(&clock),
        },
        &notes,
    );
    let backends = demo.map(|demo| Backends::start(&demo.backends)).transpose()?;
    let journal = control.journal();
    let pace = hooks::Pace::default();
    let told = Hooks::new(&options.dir, journal, changes.clone(), pace, memory);
    let told = Arc::new(told);
    let (sampling, samples) = Sampling::new();
    let query_log = QueryLog::start(
        querylog::Parts {
            dir: options.dir.clone(),
            identity: identity(&server),
            sampling: sampling.clone(),
            samples,
            telemetry: Arc::clone(&telemetry),
        },
        Arc::clone(&clock),
    )
    .context("cannot start the query log")?;
    let query_log = Arc::new(query_log);
    let served = Served {
        checker: Arc::clone(&checker),
        heard,
        hooks: Arc::clone(&told),
        query_log: Arc::clone(&query_log),
        telemetry: Arc::clone(&telemetry),
        flattener: Arc::clone(&flattener),
        rollouts: rollouts.clone(),
        backends,
    };
    let mut main_loop = Loop::new(
        control,
        loader,
        Arc::clone(&clock),
        callbacks(served),
        Shown { report, locations, entry, drills: Arc::clone(&drill_files) },
    );
    main_loop.begin(prepared, "start");
    let seeds = RandomState::new();
    let guard = Arc::new(Guard::new(secrets()?));
    let make = {
        let (reader, time) = (handle.reader.clone(), Timekeeper::new(Arc::clone(&clock)));
        move |counters| {
            // The address of a fresh allocation differs from thread to thread.
            let seed = mix(seeds.hash_one(Arc::as_ptr(&counters) as usize));
            let sampler = sampling.sampler(!seed, Arc::clone(&counters));
            let desk = Desk::beside(Arc::clone(&guard), seed, counters);
            answerer::WorldAnswerer::new(reader.clone(), time.clone(), desk, sampler)
        }
    };
    let proxies = Proxies::within(server.proxies.iter().copied());
    let settings = UdpSettings {
        cpus: server.cpu_affinity.clone(),
        threads,
        coalesce: server.coalesce,
        proxies: proxies.clone(),
    };
    let limits = tcp_limits(&server.tcp);
    let udp = UdpServer::start(sockets.udp, &settings, &telemetry, make.clone())?;
    let tcp = TcpServer::start(sockets.tcp, limits, &proxies, &telemetry, make)?;
    let main_loop = tokio::spawn(main_loop.run(taken));
    let (first_round, first_found) = (checker.first_round(), flattener.first_round());
    let warm = changes.clone();
    let warming = tokio::spawn(async move {
        // Either way steered names are answered from here on.
        let _ = timeout(FIRST_RESULTS, async { tokio::join!(first_round, first_found) }).await;
        let (done, warmed) = oneshot::channel();
        // Both fail only when the loop has ended.
        let _ = warm.send(Change::Warm { done });
        warmed.await
    });
    let metrics = Metrics::new(Arc::clone(&telemetry));
    drills.mind().context("cannot start the drills' thread")?;
    let running = Arc::new(Watched {
        checker,
        planner,
        revisions,
        hooks: told,
        drills: Arc::clone(&drills),
        rollouts,
    });
    let peers = server.peers.iter().map(|def| PeerDoor::new(&options.dir, def)).collect();
    let context = admin::Context::new(handle, metrics, clock, running, peers);
    let following = tokio::spawn(peers::follow(Arc::clone(&context)));
    let doors = Doors::open(context, socket, public);
    let hangup = Arc::new(Notify::new());
    let pins = PinWatch::start(state, pin, Arc::clone(&hangup), changes.clone());
    let watcher = watched.map(|folder| folder.watch(server.watch, changes.clone()));
    let announcing = async {
        let warmed = warming.await.context("waiting for first results")?;
        warmed.context("control ended before the server was ready; the log says why")?;
        if let Some(path) = &options.ready_file {
            ready::write(path, &addresses, doors.address(), &control_path)?;
        }
        tracing::info!(addresses = ?addresses, control = %control_path.display(), "serving");
        manager::tell(manager::READY);
        anyhow::Ok(())
    };
    tokio::select! {
        announced = announcing => {
            announced?;
            signals.stopped(&changes, &hangup).await;
        }
        () = signals.stopped(&changes, &hangup) => {}
    }
    tracing::info!("stopping");
    manager::tell(manager::STOPPING);
    drop((watcher, pins));
    following.abort();
    // While control still takes changes.
    let _ = tokio::task::spawn_blocking(move || drills.stop()).await;
    doors.close().await;
    tokio::task::spawn_blocking(move || {
        udp.stop();
        tcp.stop();
    })
    .await
    .context("stopping the datapath")?;
    let (done, kept) = oneshot::channel();
    if changes.send(Change::Keep { done }).is_ok() {
        // A loop that ended has nothing to keep.
        let _ = timeout(CLOSING, kept).await;
    }
    minding.iter().for_each(JoinHandle::abort);
    main_loop.abort();
    match timeout(CLOSING, keeper.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last changes could not be kept"),
        Err(_) => tracing::warn!("the state database does not close; the last changes may be lost"),
    }
    // Last: what it writes to may hang, and is of less account than all else.
    let shown = tokio::task::spawn_blocking(move || query_log.stop(CLOSING)).await;
    if !matches!(shown, Ok(true)) {
        tracing::warn!("the query log does not end; the last samples may be lost");
    }
    Ok(Exit::Well)
}

/// Where drills ask: as clients do, but from here.
fn asked_at(addresses: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    let first = addresses.first().context("nothing is listened on")?;
    let ip = match first.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, first.port()))
}

/// Writes down when the state database fails, and when it works again.
async fn tell_of_store(keeper: Keeper, changes: mpsc::UnboundedSender<Change>) {
    let mut health = keeper.watch_health();
    health.mark_unchanged();
    while health.changed().await.is_ok() {
        let event = health.borrow_and_update().event();
        // Fails only while the server stops.
        let _ = changes.send(Change::Record(event));
    }
}

/// What readers of dnstap are told of who we are: our NSID, else the host's name.
fn identity(server: &server::ServerSection) -> String {
    match &server.identity.nsid {
        Some(nsid) => String::from_utf8_lossy(nsid).into_owned(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

/// What nobody can guess, for cookies and for the table of rate limits; new at every start.
fn secrets() -> anyhow::Result<[[u8; 16]; 2]> {
    let mut secrets = [[0; 16]; 2];
    let random = SystemRandom::new();
    let filled = secrets.iter_mut().try_for_each(|secret| random.fill(secret));
    filled.map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(secrets)
}

/// Puts the drawn problems of files where an operator who starts the server looks.
fn complain(problems: &str) {
    use std::io::Write;
    // A closed standard error is no reason not to serve.
    let _ = std::io::stderr().write_all(problems.as_bytes());
}

/// What the doors may see of health and of kept revisions.
struct Watched {
    checker: Arc<Checker>,
    planner: Planner,
    revisions: Revisions,
    hooks: Arc<Hooks>,
    rollouts: Rollouts,
    drills: Arc<Drills>,
}

impl Running for Watched {
    fn targets(&self) -> Vec<TargetState> {
        self.checker.states()
    }
    fn impairment(&self) -> Option<Impairment> {
        self.checker.impairment()
    }
    fn durations(&self) -> Vec<(Arc<str>, ProbeDurations)> {
        self.checker.durations()
    }
    fn is_token_of(&self, check: &str, token: &[u8]) -> bool {
        self.checker.is_token_of(check, token)
    }
    fn heartbeat(
        &self,
        check: &str,
        endpoint: &str,
        token: &[u8],
        beat: Beat,
    ) -> Result<(), HeartbeatError> {
        self.checker.heartbeat(check, endpoint, token, beat)
    }
    fn rollouts(&self) -> Option<Rollouts> {
        Some(self.rollouts.clone())
    }
    fn hooks(&self) -> Vec<HookLine> {
        self.hooks.state()
    }
    fn planner(&self) -> &Planner {
        &self.planner
    }
    fn revisions(&self) -> Vec<Manifest> {
        self.revisions.list()
    }
    fn drills(&self) -> Option<&Arc<Drills>> {
        Some(&self.drills)
    }
}

/// What is written of the limits, and the defaults for the rest.
fn tcp_limits(written: &server::TcpSection) -> TcpLimits {
    let usual = TcpLimits::default();
    let idle = written.idle.unwrap_or(usual.idle);
    TcpLimits {
        connections: written.clients.unwrap_or(usual.connections),
        per_source: written.per_source.unwrap_or(usual.per_source),
        idle,
        idle_min: usual.idle_min.min(idle),
        ..usual
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Who is told of what the loop does.
struct Served {
    checker: Arc<Checker>,
    heard: Arc<Notify>,
    hooks: Arc<Hooks>,
    query_log: Arc<QueryLog>,
    telemetry: Arc<Telemetry>,
    flattener: Arc<Flattener>,
    rollouts: Rollouts,
    backends: Option<Backends>,
}

fn callbacks(served: Served) -> run::Hooks {
    let Served { checker, heard, hooks, query_log, telemetry, flattener, rollouts, backends } =
        served;
    run::Hooks {
        heard,
        notify: Box::new(move |defs| hooks.update(defs)),
        telemetry: Box::new(move |server| {
            query_log.show(&server.querylog);
            let metrics = server.metrics.clone();
            telemetry.detail().choose(Some(Box::new(move |id| metrics.wants(id))));
        }),
        flatten: Box::new(move |aliases, resolvers| {
            flattener.update(aliases.iter().map(|alias| alias.name.clone()), resolvers);
        }),
        rollouts: Box::new(move |defs, files| rollouts.update(defs, files)),
        vantage: Arc::new(Probing(checker)),
        demo: Box::new(move |region, up| match &backends {
            Some(backends) if up => backends.restore(region),
            Some(backends) => backends.kill(region),
            None => Err("this server runs no demo backends; start `tradewind demo`".into()),
        }),
    }
}
