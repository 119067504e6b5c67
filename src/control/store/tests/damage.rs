//! Files that are damaged, or of another version.

use super::*;

#[tokio::test]
async fn damage_is_put_aside_and_never_written_over() {
    let whole = {
        let dir = folder();
        let (keeper, ..) = open(dir.path());
        keeper.write((0..200).map(|n| machine(&format!("z/{n}"), n)).collect());
        keeper.write(vec![Write::Events((1..200).map(event).collect())]);
        keeper.close().await.unwrap();
        fs::read(file(dir.path())).unwrap()
    };
    let mut damaged: Vec<Vec<u8>> = vec![b"garbage".to_vec(), vec![0; 70_000], vec![0xff; 4_096]];
    for part in [1, 100, 511, 4_096, 20_000, whole.len() / 2, whole.len() - 1] {
        damaged.push(whole[..part].to_vec());
    }
    for bytes in damaged {
        let dir = folder();
        fs::write(file(dir.path()), &bytes).unwrap();
        fs::write(dir.path().join("state.redb.broken-20000101T000000"), "older").unwrap();
        let (keeper, saved, alarm) = open(dir.path());
        let length = bytes.len();
        let Some(EventKind::Store { what, well: false }) = alarm else {
            panic!("{length} bytes: {alarm:?}");
        };
        assert_eq!(saved, Saved { boot: 1, ..Saved::default() }, "{length}");
        let aside = named(dir.path(), "state.redb.broken-2");
        let [_, aside] = &aside[..] else { panic!("{length} bytes: {aside:?}") };
        assert!(what.contains(aside), "{what}");
        assert_eq!(fs::read(dir.path().join(aside)).unwrap(), bytes, "{length}");
        assert_eq!(keeper.health().lost, Some(what));
        keeper.write(vec![machine("z/app", 1)]);
        keeper.close().await.unwrap();
        let (_, saved, alarm) = open(dir.path());
        assert_eq!((saved.boot, saved.machines.len(), alarm), (2, 1, None), "{length}");
    }
}

/// Whatever single byte is wrong: the server starts, and says so or has all of it.
#[tokio::test]
async fn a_wrong_byte_anywhere_keeps_nobody_from_starting() {
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write((0..50).map(|n| machine(&format!("z/{n}"), n)).collect());
    keeper.close().await.unwrap();
    let whole = fs::read(file(dir.path())).unwrap();
    for at in (0..512).step_by(3).chain((512..whole.len()).step_by(whole.len() / 60)) {
        let dir = folder();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        fs::write(file(dir.path()), &bytes).unwrap();
        let (keeper, ..) = open(dir.path());
        keeper.write(vec![machine("z/new", 1)]);
        keeper.flush().await.unwrap_or_else(|error| panic!("byte {at}: {error}"));
    }
}

#[test]
fn two_that_break_in_the_same_second_have_names_of_their_own() {
    struct Frozen;
    impl Clock for Frozen {
        fn now(&self) -> Moment {
            Moment(0)
        }
        fn wall(&self) -> std::time::SystemTime {
            UNIX_EPOCH + Duration::from_secs(1_795_000_000)
        }
    }
    let dir = folder();
    let store = RedbStore::new(file(dir.path()), Arc::new(Frozen));
    for _ in 0..3 {
        fs::write(file(dir.path()), "x").unwrap();
        store.put_aside().unwrap();
    }
    assert_eq!(
        named(dir.path(), "state.redb"),
        [
            "state.redb.broken-20261118T110640",
            "state.redb.broken-20261118T110640-2",
            "state.redb.broken-20261118T110640-3"
        ]
    );
}

fn with_format(dir: &Path, format: Format) -> (Keeper, Saved, Option<EventKind>) {
    Keeper::over(RedbStore::with_format(file(dir), clock(), format), clock(), PACE).unwrap()
}

#[tokio::test]
async fn a_newer_minor_is_read_and_left_as_it_is_beside_what_changes() {
    const DREAMS: TableDefinition<'static, &str, &str> = TableDefinition::new("dreams");
    let dir = folder();
    let newer = Format { major: 1, minor: 9, migrations: &[] };
    let (keeper, ..) = with_format(dir.path(), newer);
    keeper.close().await.unwrap();
    let database = redb::Database::open(file(dir.path())).unwrap();
    let text =
        r#"{"damped":null,"dream":1,"failing":false,"reason":"","since_ms":0,"standing":"up"}"#;
    let transaction = database.begin_write().unwrap();
    transaction.open_table(DREAMS).unwrap().insert("a", "b").unwrap();
    let targets = TableDefinition::<&str, &str>::new("targets");
    transaction.open_table(targets).unwrap().insert("t", text).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let (keeper, saved, alarm) = open(dir.path());
    assert_eq!((saved.targets["t"].standing, alarm), (Standing::Up, None));
    let changed = SavedTarget { failing: true, ..saved.targets["t"].clone() };
    keeper.write(vec![Write::Target { key: "t".into(), value: Some(changed) }]);
    keeper.close().await.unwrap();
    let database = redb::Database::open(file(dir.path())).unwrap();
    let read = database.begin_read().unwrap();
    let dream = read.open_table(DREAMS).unwrap().get("a").unwrap().unwrap().value().to_owned();
    let target = read.open_table(targets).unwrap().get("t").unwrap().unwrap().value().to_owned();
    assert_eq!((&*dream, &*target), ("b", &*text.replace("false", "true")));
    drop((read, database));
    let found = RedbStore::with_format(file(dir.path()), clock(), newer).load().unwrap();
    assert_eq!(found.rows[&(Shelf::Server, "schema".to_owned())], "\"1.9\"");
}

#[tokio::test]
async fn a_newer_major_is_put_aside_and_an_older_one_migrated_after_a_copy() {
    fn add(transaction: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let table = TableDefinition::<&str, &str>::new("notes");
        transaction.open_table(table)?.insert("migrated", "true")?;
        Ok(())
    }
    const STEPS: &[Migration] = &[add];
    let dir = folder();
    let (keeper, ..) = open(dir.path());
    keeper.write(vec![machine("z/app", 1)]);
    keeper.close().await.unwrap();

    let newer = Format { major: 2, minor: 0, migrations: STEPS };
    let (keeper, saved, alarm) = with_format(dir.path(), newer);
    assert_eq!((saved.notes["migrated"].clone(), alarm), (json!(true), None));
    assert_eq!((saved.boot, saved.machines.len()), (2, 1));
    keeper.close().await.unwrap();
    let copy = folder();
    fs::copy(dir.path().join("state.redb.schema1"), file(copy.path())).unwrap();
    let (_, saved, _) = open(copy.path());
    assert_eq!((saved.boot, saved.machines.len(), saved.notes.len()), (2, 1, 0));

    let (_, saved, alarm) = open(dir.path());
    assert_eq!(saved.boot, 1);
    let Some(EventKind::Store { what, well: false }) = alarm else { panic!("{alarm:?}") };
    assert!(what.contains("has schema 2.0, which this version cannot read"), "{what}");
    assert_eq!(named(dir.path(), "state.redb.broken-").len(), 1);
}
