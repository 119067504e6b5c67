//! Weights by hand, beside those of files; and whom a change would move.

use super::*;

/// Every answer `plan` can give to every class, with its share.
fn answers(plan: &PlanSteering, classes: usize) -> Vec<String> {
    let class = |class: usize| {
        let selection = plan.selection(Class::at(class));
        let shares = [&selection.a, &selection.aaaa].map(|draw| {
            let shares = draw.shares().into_iter();
            let mut all: Vec<String> = shares
                .map(|(v, share)| format!("{:?} {share:.9}", selection.variants[v].rdatas))
                .collect();
            all.sort();
            all
        });
        format!("{shares:?}")
    };
    (0..classes).map(class).collect()
}

#[test]
fn weights_by_hand_answer_as_files_with_those_weights_would() {
    let now = at(0);
    for (commands, edits) in [
        (
            &["weight record:g.example/www canary=20"][..],
            &[(
                "canary\", weight = 10, absorb = false }]\n[records.www2]",
                "canary\", weight = 20, absorb = false }]\n[records.www2]",
            )][..],
        ),
        (
            &["weight record:g.example/www* canary=0", "weight record:g.example/www* canary=30"],
            &[("weight = 10, absorb", "weight = 30, absorb")],
        ),
        (
            &["weight policy:g.example/split dub=0"],
            &[("pool = \"dub\", weight = 1", "pool = \"dub\", weight = 0")],
        ),
        (
            &["weight endpoint:g.example/stable/s2 5"],
            &[("{ name = \"s2\",", "{ name = \"s2\", weight = 5,")],
        ),
        (
            &["weight endpoint:s1 0", "weight record:www2.g.example stable=7"],
            &[
                ("{ name = \"s1\",", "{ name = \"s1\", weight = 0,"),
                (
                    "[records.www2]\npolicy  = \"weighted\"\nmembers = [{ pool = \"stable\", weight = 90 }",
                    "[records.www2]\npolicy  = \"weighted\"\nmembers = [{ pool = \"stable\", weight = 7 }",
                ),
            ],
        ),
        (
            &["weight record:g.example/near dub=0"],
            &[(
                "[records.near]\npolicy  = \"latency\"\nmembers = [\"stable\", \"dub\"]",
                "[records.near]\npolicy  = \"latency\"\nmembers = [{ pool = \"stable\" }, { pool = \"dub\", weight = 0 }]",
            )],
        ),
    ] {
        let mut hand = Hand::default();
        for text in commands {
            // canary does not absorb, so 0 is refused: an even-if-unknown slips past on purpose.
            let planned = hand.planned(&command(text), &FILES, now);
            if let Ok(planned) = planned {
                hand = planned.hand;
            }
        }
        let changes = hand.effect(&FILES, now.at).weights;
        let by_hand = patched(&FILES, &changes);
        let mut zone = ZONE.to_owned();
        for (from, to) in edits {
            assert!(zone.contains(from), "{from}");
            zone = zone.replace(from, to);
        }
        let by_files = compiled(SERVER, &[&zone]);
        for down in [None, Some("g.example/stable/s1"), Some("g.example/dub/d1")] {
            let steer = |snapshot: &Arc<Snapshot>| {
                let mut bench = Bench::over(snapshot);
                if let Some(down) = down {
                    bench.tell(&format!("force endpoint:{down} down")).unwrap();
                }
                let world = bench.control.world();
                let of = |id: usize| {
                    let plan = world.snapshot.record(RecordId::at(id)).plan;
                    let classes = world.snapshot.plan(plan).tree.classes.classes();
                    answers(world.steering.plan(plan), classes)
                };
                (0..world.snapshot.records.len()).map(of).collect::<Vec<_>>()
            };
            assert_eq!(steer(&by_hand), steer(&by_files), "{commands:?} {down:?}");
        }
        // Whatever was given out before means the same.
        assert_eq!(by_hand.slots.len(), FILES.slots.len());
        for (index, plan) in by_hand.plans.iter().enumerate() {
            let id = PlanId::at(index);
            for slot in &plan.slots {
                assert!(by_hand.plans_of_slot[slot.index()].contains(&id));
            }
            for failover in &plan.failovers {
                assert!(by_hand.plans_of_failover[failover.index()].contains(&id));
            }
        }
        for definition in &by_hand.failovers {
            assert!(!definition.member_nodes().is_empty());
            assert!(by_hand.plans.iter().any(|plan| Arc::ptr_eq(&plan.tree, &definition.tree)));
        }
    }
}

#[test]
fn a_weight_of_one_record_leaves_those_that_shared_its_plan() {
    let plans = |snapshot: &Snapshot| -> Vec<PlanId> {
        ["www", "www2"]
            .iter()
            .map(|name| {
                let id = format!("g.example/{name}");
                snapshot.records.iter().find(|record| *record.id == *id).unwrap().plan
            })
            .collect()
    };
    assert_eq!(plans(&FILES)[0], plans(&FILES)[1]);
    let mut hand = Hand::default();
    hand.told("weight record:g.example/www canary=20", &FILES, at(0));
    let one = patched(&FILES, &hand.effect(&FILES, at(0).at).weights);
    assert_ne!(plans(&one)[0], plans(&one)[1]);
    assert_eq!(one.plans.len(), FILES.plans.len() + 1);
    hand.told("weight record:g.example/www2 canary=30", &FILES, at(0));
    let both = patched(&FILES, &hand.effect(&FILES, at(0).at).weights);
    assert_eq!(both.plans.len(), FILES.plans.len() + 1, "one of them stays in the old place");
    let same = patched(&FILES, &[]);
    assert!(Arc::ptr_eq(&same, &FILES));
}

#[test]
fn a_preview_counts_clients_by_address_space() {
    let table = embedded::table();
    let clients = Clients::of_files(&FILES, &LazyTable::embedded(), &Clients::default());
    let bench = Bench::over(&FILES);
    let before = Standpoint::from(&*bench.control.world());
    let after_of = |text: &str| {
        let mut bench = Bench::over(&FILES);
        bench.tell(text).unwrap().after
    };
    let records = |names: &[&str]| {
        let id = |name: &&str| {
            let id = format!("g.example/{name}");
            RecordId::at(FILES.records.iter().position(|record| *record.id == *id).unwrap())
        };
        Pair::same(&names.iter().map(id).collect::<Vec<_>>())
    };
    // 90/10 becomes 50/50: four tenths of everybody, from one pool to the other.
    let after = after_of("weight record:g.example/www canary=90");
    let whole = preview(&before, &after, &records(&["www"]), &clients).unwrap();
    let moves = &whole.crowds[0];
    assert_eq!((moves.crowd, whole.crowds[1].crowd), ("IPv4", "IPv6"));
    assert!(whole.crowds.iter().all(|crowd| (crowd.moved - 0.4).abs() < 1e-9), "{whole:?}");
    assert_eq!(moves.flows.len(), 1);
    assert_eq!(
        (&*moves.flows[0].from.pool, &*moves.flows[0].to.pool),
        ("g.example/stable", "g.example/canary")
    );
    // The canary has no IPv6: what goes there gets no AAAA.
    assert!((moves.ends.no_v6.after - 0.5).abs() < 1e-9, "{:?}", moves.ends);
    assert!((moves.ends.no_v6.before - 0.1).abs() < 1e-9);
    // Both are in one region: nobody has it further.
    let latency = moves.latency.unwrap();
    assert_eq!(latency.ms.before, latency.ms.after);
    // The countries are those with the most addresses, each moving by the same part.
    let us = Country::parse("US");
    let found = moves.countries.iter().find(|line| line.country == us).unwrap().moved;
    let space = crate::place::space([None, None], crate::place::SpaceOf::V4, &table, &[]);
    let all: f64 = space.cells.iter().map(|cell| cell.size).sum();
    let home = |cell: &crate::place::SpaceCell| &space.homes[cell.home as usize];
    let of_us = space.cells.iter().filter(|cell| home(cell).country() == us);
    let of_us: f64 = of_us.map(|cell| cell.size).sum();
    assert!((found - 0.4 * of_us / all).abs() < 1e-9);
    assert_eq!(moves.countries.len(), 11);
    let named: f64 = moves.countries.iter().map(|line| line.clients).sum();
    assert!((named - 1.0).abs() < 1e-9 && moves.countries[10].is_rest, "{named}");
    // Europe's quarter that goes to dub under `split` comes to stable, and nobody else moves; the
    // rest of the world leaves dub for stable as a whole.
    let after = after_of("drain pool:dub");
    let moves = preview(&before, &after, &records(&["*.cdn"]), &clients).unwrap().first();
    let european = space.cells.iter().filter(|cell| {
        home(cell).location.is_some_and(|at| at.continent == Some(Continent::Europe))
    });
    let europe = european.map(|cell| cell.size).sum::<f64>() / all;
    let moved = moves.moved;
    assert!((moved - (0.25 * europe + 1.0 - europe)).abs() < 0.002, "{moved} {europe}");
    // Europeans have it further to us, the rest of the world as a whole nearer.
    let of_germany = moves.countries.iter().find(|line| line.country == Country::parse("DE"));
    let longer = of_germany.unwrap().latency.unwrap().ms;
    assert!(longer.after > longer.before, "{longer:?}");
    // Two records, one of which does not move.
    let both = records(&["www", "app"]);
    let after = after_of("weight record:g.example/www canary=90");
    let whole = preview(&before, &after, &both, &clients).unwrap();
    assert!((whole.first().moved - 0.2).abs() < 1e-9);
    assert_eq!(whole.by_record.len(), 1);
    let nobody = preview(&before, &before, &both, &clients).unwrap().first();
    assert_eq!((nobody.moved, nobody.flows.len()), (0.0, 0));
    assert!(preview(&before, &before, &both, &Clients::default()).is_none());
}
