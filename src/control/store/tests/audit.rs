//! The audit in the database: what is kept of it, and that its chain goes on.

use super::*;

/// The numbers of the entries, if they follow from each other and from what was before.
fn verified(ends: Ends, rows: &[(u64, String)]) -> Result<Vec<u64>, Break> {
    let mut verifier = Verifier::after(ends.anchor, None);
    rows.iter().try_for_each(|(seq, row)| verifier.take(*seq, row))?;
    verifier.end(ends.head)?;
    Ok(rows.iter().map(|(seq, _)| *seq).collect())
}

fn of_file(path: &Path) -> (Ends, Vec<(u64, String)>) {
    let mut rows = Vec::new();
    let ends = read_file(path, &mut |seq, row| {
        rows.push((seq, row.to_owned()));
        true
    });
    (ends.unwrap(), rows)
}

#[tokio::test]
async fn of_the_audit_the_newest_entries_are_kept_and_the_hash_of_the_last_one_before() {
    let dir = folder();
    let mut store = RedbStore::new(file(dir.path()), clock());
    store.audit_kept = 4;
    let (keeper, ..) = Keeper::over(store, clock(), PACE).unwrap();
    for n in 0..10 {
        keeper.write(vec![changed(&format!("drain {n}"))]);
        keeper.flush().await.unwrap();
    }
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!((ends.anchor.seq, ends.head.seq), (6, 10));
    assert_eq!(verified(ends, &rows), Ok(vec![7, 8, 9, 10]));
    assert_eq!(of_keeper(&keeper, 9).1, rows[3..]);
    keeper.close().await.unwrap();
    assert_eq!(of_file(&file(dir.path())), (ends, rows));
}

#[tokio::test]
async fn a_chain_goes_on_over_a_restart_and_in_a_new_file_when_the_old_one_was_damaged() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("a"), changed("b")]);
    keeper.close().await.unwrap();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("c")]);
    keeper.flush().await.unwrap();
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!(verified(ends, &rows), Ok(vec![1, 2, 3]));
    keeper.close().await.unwrap();
    // What is no database at all is put aside: numbers begin anew, and say so.
    fs::write(file(dir.path()), "no database").unwrap();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("d")]);
    keeper.flush().await.unwrap();
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!(verified(ends, &rows), Ok(vec![1]));
}

#[tokio::test]
async fn entries_wait_for_a_store_that_is_away_and_are_shown_meanwhile() {
    let dir = folder();
    let away = dir.path().join("away");
    fs::create_dir(file(dir.path())).unwrap();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![changed("a"), changed("b")]);
    assert!(keeper.flush().await.is_err());
    assert!(keeper.audit(0, &mut |_, _| true).is_err(), "what is on disk cannot be read");
    fs::rename(file(dir.path()), away).unwrap();
    keeper.flush().await.unwrap();
    let (ends, rows) = of_keeper(&keeper, 0);
    assert_eq!(verified(ends, &rows), Ok(vec![1, 2]));
}
