//! The addresses of names that are answered flattened: looked up in the background, kept current.
//!
//! A CNAME member at a zone's apex, or of a record with `flatten = true`, is answered as the
//! addresses of its target. What those are is asked here: of our own World where the target lies
//! in one of our zones ([`lookup`]), else of a resolver, without a client's network. [`pace`]
//! says when to ask again; results leave as [`Change::Found`], and what goes wrong as an event.
//! A lookup that finds nothing takes nothing away: control keeps the last good addresses.
//!
//! Must not know plans, classes or who is answered.

mod lookup;
mod pace;

use crate::{
    clock::{Clock, Dice, Moment},
    control::{Change, event::EventKind},
    wire::Name,
    world::Viewer,
};
use lookup::Lookup;
use pace::Book;
use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

/// Lookups in flight, each with a thread: at 20 ms a lookup, 400 a second.
const LOOKUPS_MAX: usize = 8;
/// How long to sleep when nothing is to be done; a change of names wakes at once.
const IDLE: Duration = Duration::from_secs(60);

/// What is looked up, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Counts up with each change.
    number: u64,
    names: Vec<Name>,
    /// Those of the server file; the system's if there are none.
    resolvers: Vec<SocketAddr>,
}

/// What looking up needs from elsewhere.
pub struct Settings {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The World that is asked about our own zones.
    pub viewer: Viewer,
    /// Where results go.
    pub changes: mpsc::UnboundedSender<Change>,
    /// For message ids and jitter.
    pub seed: u64,
}

/// Looks up names for as long as it lives.
pub struct Flattener {
    wanted: watch::Sender<Wanted>,
    /// The newest of what was wanted whose names have all been looked up once.
    complete: watch::Receiver<u64>,
}

impl Flattener {
    /// Starts on the runtime of whoever calls.
    pub fn start(settings: Settings) -> Flattener {
        let (wanted, wants) = watch::channel(Wanted::default());
        let (completed, complete) = watch::channel(0);
        tokio::spawn(run(settings, wants, completed));
        Flattener { wanted, complete }
    }

    /// Looks up `names` from now on, and no others.
    pub fn update(&self, names: impl IntoIterator<Item = Name>, resolvers: &[SocketAddr]) {
        let (names, resolvers) = (names.into_iter().collect(), resolvers.to_vec());
        self.wanted.send_if_modified(|known| {
            let wanted = Wanted { number: known.number, names, resolvers };
            let is_new = *known != wanted;
            if is_new {
                *known = Wanted { number: wanted.number + 1, ..wanted };
            }
            is_new
        });
    }

    /// Done once every name has had its first result.
    pub fn first_round(&self) -> impl Future<Output = ()> + use<> {
        let mut complete = self.complete.clone();
        let number = self.wanted.borrow().number;
        async move {
            // Fails only while the server stops.
            let _ = complete.wait_for(|complete| *complete >= number).await;
        }
    }
}

async fn run(
    settings: Settings,
    mut wants: watch::Receiver<Wanted>,
    completed: watch::Sender<u64>,
) {
    let Settings { clock, viewer, changes, seed } = settings;
    let mut dice = Dice::seeded(seed);
    let mut book = Book::default();
    let mut asking: JoinSet<(Name, lookup::Outcome, Option<SocketAddr>)> = JoinSet::new();
    // The resolver that answered last.
    let mut answered = None;
    let mut wanted = Wanted::default();
    loop {
        let now = clock.now();
        while asking.len() < LOOKUPS_MAX
            && let Some(name) = book.next_due(now)
        {
            let lookup = Lookup {
                clock: Arc::clone(&clock),
                world: viewer.world(),
                resolvers: wanted.resolvers.clone(),
                answered: Cell::new(answered),
                seed: dice.roll(),
            };
            asking.spawn_blocking(move || {
                let outcome = lookup::guarded(|| lookup.addresses(&name));
                (name, outcome, lookup.answered.get())
            });
        }
        if book.is_complete() {
            completed.send_replace(wanted.number);
        }
        let pause = match asking.len() < LOOKUPS_MAX {
            true => book.wake().map_or(IDLE, |at| at.since(clock.now())),
            false => IDLE,
        };
        tokio::select! {
            changed = wants.changed() => {
                if changed.is_err() {
                    return;
                }
                wanted = wants.borrow_and_update().clone();
                book.arrange(&wanted.names, clock.now());
            }
            Some(done) = asking.join_next() => {
                if let Ok((name, outcome, resolver)) = done {
                    answered = resolver;
                    take(&mut book, &name, outcome, clock.now(), &mut dice, &changes);
                }
            }
            () = sleep(pause) => {}
        }
    }
}

/// Notes what came of looking up `name` and tells whoever has to know.
fn take(
    book: &mut Book,
    name: &Name,
    outcome: lookup::Outcome,
    now: Moment,
    dice: &mut Dice,
    changes: &mpsc::UnboundedSender<Change>,
) {
    let news = book.done(name, &outcome, now, dice);
    if let lookup::Outcome::Found { looked, .. } = outcome {
        // Fails only while the server stops.
        let _ = changes.send(Change::Found(name.clone(), looked));
    }
    if let Some(trouble) = news {
        let (what, well) = match trouble {
            Some(why) => (format!("{why}; the last good addresses stay").into(), false),
            None => (Arc::from("is found again"), true),
        };
        let name = name.to_string().into();
        // Fails only while the server stops.
        let _ = changes.send(Change::Record(EventKind::Lookup { name, what, well }));
    }
}
