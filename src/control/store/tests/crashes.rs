//! Processes that die, or run into a limit: the test starts this program once more with only
//! [`child`] to run, and kills it by its id.

use super::*;

/// This program again, with only [`child`] to run, doing `what` in `dir`.
fn start_child(what: &str, dir: &Path) -> Command {
    // A write beyond the limit on file sizes is then an error, not the end of the process.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    command.args(["--exact", "control::store::tests::crashes::child", "--ignored", "--nocapture"]);
    command.env("STORE_CHILD", what).env("STORE_DIR", dir).stdout(Stdio::piped());
    command
}

#[test]
#[ignore = "the child of other tests"]
fn child() {
    let (Ok(what), Ok(dir)) = (env::var("STORE_CHILD"), env::var("STORE_DIR")) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match &*what {
        "write" => runtime.block_on(write_until_killed(Path::new(&dir))),
        "full" => runtime.block_on(run_into_a_full_disk(Path::new(&dir))),
        other => panic!("{other}"),
    }
}

/// Writes numbers that belong together, and says each one that is durable.
async fn write_until_killed(dir: &Path) {
    let (keeper, saved, alarm) = open(dir);
    assert_eq!(alarm, None);
    let mut seq = saved.seq;
    for n in saved.boot * 1_000_000.. {
        seq += 1;
        keeper.write(vec![machine("z/a", n), Write::Events(vec![event(seq)]), machine("z/b", n)]);
        if n % 3 == 0 {
            keeper.flush().await.unwrap();
            println!("durable {n} {seq}");
        }
    }
}

/// The newest numbers that `child` said were durable; it is killed once it said `lines`.
fn kill_after(mut child: Child, lines: usize) -> (u64, u64) {
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = said.filter_map(|line| {
        let (n, seq) = line.split_once("durable ")?.1.split_once(' ')?;
        Some((n.parse().ok()?, seq.parse().ok()?))
    });
    let last = said.by_ref().take(lines).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died counts too.
    said.last().unwrap_or(last)
}

#[test]
fn killed_in_the_middle_of_writes_it_opens_with_all_that_was_durable() {
    let dir = folder();
    for round in 1..=20 {
        let child = start_child("write", dir.path()).spawn().unwrap();
        let (n, seq) = kill_after(child, round % 7 + 1);
        let store = RedbStore::new(file(dir.path()), clock());
        let found = store.load().unwrap();
        let (saved, unread) = rows::saved(&found.rows);
        assert_eq!((saved.boot, unread), (round as u64, 0));
        let active = |name: &str| saved.machines[name]["active"].as_u64().unwrap();
        assert_eq!(active("z/a"), active("z/b"), "all of a batch or nothing");
        assert!(active("z/a") >= n && found.newest >= seq, "round {round}");
    }
}

/// Runs into the limit on the size of a file, as a full disk would have it, until it is lifted.
async fn run_into_a_full_disk(dir: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = |bytes| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    };
    let (keeper, ..) = open(dir);
    keeper.write(vec![machine("z/app", 1)]);
    keeper.flush().await.unwrap();
    limit(Some(fs::metadata(file(dir)).unwrap().len() + 4_096));
    let mut seq = 0;
    while keeper.health().failing.is_none() {
        let events: Vec<Event> = (seq + 1..=seq + 1_000).map(event).collect();
        seq += 1_000;
        keeper.write(vec![machine("z/app", seq), Write::Events(events)]);
        let _ = keeper.flush().await;
    }
    keeper.write(vec![machine("z/last", 1)]);
    assert!(keeper.flush().await.is_err());
    limit(None);
    keeper.flush().await.unwrap();
    assert_eq!(keeper.health(), StoreHealth::default());
    keeper.close().await.unwrap();
    println!("newest {seq}");
}

#[test]
fn a_full_disk_costs_nothing_that_is_written_once_there_is_room() {
    let dir = folder();
    let output = start_child("full", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let seq: u64 =
        said.split_once("newest ").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!((alarm, saved.seq), (None, seq));
    assert_eq!((&saved.machines["z/app"]["active"], saved.machines.len()), (&json!(seq), 2));
    assert_eq!(seqs(&keeper, seq - 1_000), (seq - 999..=seq).collect::<Vec<_>>());
}

/// After a crash, with ten thousand endpoints and half the events there may be. The bound is far
/// above what it takes, which is printed: a build machine has other things to do.
#[tokio::test]
async fn opening_a_large_database_is_quick() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    for n in 0..10_000 {
        let (reason, since) = (format!("200 in {n} ms").into(), UNIX_EPOCH);
        let target =
            SavedTarget { standing: Standing::Up, failing: false, reason, since, damped: None };
        let slot = SavedSlot { fell: n, since };
        let name = format!("gtm.example/pool-{n}/endpoint-{n}").into();
        let key = format!("192.0.2.1:{n} https /healthz").into();
        keeper.write(vec![
            Write::Target { key, value: Some(target) },
            Write::Slot { name, address: "192.0.2.1".into(), value: Some(slot) },
        ]);
    }
    for first in (1..50_000).step_by(1_000) {
        keeper.write(vec![Write::Events((first..first + 1_000).map(event).collect())]);
    }
    keeper.flush().await.unwrap();
    let crashed = folder();
    fs::copy(file(dir.path()), file(crashed.path())).unwrap();
    let clock = clock();
    let started = clock.now();
    let (_, saved, _) = Keeper::open(crashed.path(), Arc::clone(&clock)).unwrap();
    let took = clock.now().since(started);
    println!("opened in {took:?}");
    assert_eq!((saved.targets.len(), saved.slots.len()), (10_000, 10_000));
    assert!(took < Duration::from_secs(2), "{took:?}");
}
