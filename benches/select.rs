//! What it costs to decide what a class of clients gets: the work behind every Selection that a
//! change of verdict makes anew. One figure for each policy, and each with an endpoint down.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "../tests/desk/mod.rs"]
mod desk;

use criterion::{Criterion, criterion_group, criterion_main};
use desk::medley;
use std::hint::black_box;
use tradewind::{
    policy::select,
    snapshot::Plan,
    verdict::{Sight, Standing},
};

fn selecting(c: &mut Criterion) {
    let world = medley::medley().into_world();
    let (snapshot, state) = (&world.snapshot, &world.state);
    for (what, fallen) in [("all up", false), ("the first endpoint down", true)] {
        let mut group = c.benchmark_group(format!("select, {what}"));
        for record in &snapshot.records {
            let plan = snapshot.plan(record.plan);
            let mut standings = state.standings.clone();
            if fallen {
                let first = plan.slots.first().unwrap().index();
                standings.0[first] = Sight { standing: Standing::Down, failing: true };
            }
            let directives = state.moved().directives;
            group.bench_function(record.owner.to_string(), |b| {
                b.iter(|| {
                    let (tree, class) = (black_box(&plan.tree), Plan::ONLY_CLASS);
                    black_box(select(tree, class, &standings, &directives, ()))
                });
            });
        }
    }
}

criterion_group!(benches, selecting);
criterion_main!(benches);
