//! Doors of the operator's files: zone text, and TOML.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::Arc,
};
use tradewind::{
    compile::{Input, Memory, compile},
    config::{Progress, Sources},
    ids::CounterSlot,
    place::LazyTable,
    steering::Steering,
    wire::{Name, QName},
    world::State,
    zone::{At, Record, Severity, Source, ZoneBuilder, rdata_text, read},
};

/// Where the text is said to stand.
const FILE: &str = "zones/example.zone";
/// The longest number let through to `$GENERATE`. It makes a million records before it refuses:
/// seconds each, which show nothing that a thousand do not.
const GENERATED_DIGITS: usize = 3;

/// Zone text: a zone or an error; data that was read is written and read again as the same; a
/// name that owns something is found.
pub fn zone(bytes: &[u8]) {
    if generates_much(bytes) {
        return;
    }
    let apex = Name::parse("example").expect("a name");
    let (records, problems) = read_text(bytes, &apex);
    records.iter().for_each(hold_record);
    let at = At { file: Path::new(FILE).into(), line: 1 };
    let mut builder = ZoneBuilder::new(apex, at);
    records.iter().for_each(|record| builder.add(record.clone()));
    let (zone, faults) = builder.build();
    let refused = faults.iter().any(|fault| fault.severity == Severity::Error);
    assert_eq!(zone.is_none(), refused, "{faults:?}");
    problems.iter().chain(&faults).for_each(|problem| assert!(problem.line > 0, "{problem}"));
    let Some(zone) = zone else { return };
    let mut name = QName::default();
    for record in &records {
        name.set(&record.owner);
        // What it finds is for the tests of `zone` to say; here it must only come back.
        let _ = zone.lookup(&name);
    }
}

fn generates_much(bytes: &[u8]) -> bool {
    let generates = |line: &[u8]| line.to_ascii_uppercase().windows(9).any(|w| w == b"$GENERATE");
    let is_long = |number: &[u8]| number.len() > GENERATED_DIGITS;
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines
        .filter(|line| generates(line))
        .any(|line| line.split(|byte| !byte.is_ascii_digit()).any(is_long))
}

/// The records of a text, and what is wrong with it. Whatever it includes is empty.
fn read_text(bytes: &[u8], origin: &Name) -> (Vec<Record>, Vec<tradewind::zone::ZoneProblem>) {
    let source = Source { path: Path::new(FILE).into(), first_line: 1, text: Box::new(bytes) };
    let mut records = Vec::new();
    let mut sink = |record| records.push(record);
    let problems = read(source, &|_| Ok(Box::new(io::empty())), origin, None, &mut sink);
    (records, problems)
}

/// What is written of a record reads back as the same.
fn hold_record(record: &Record) {
    let data = rdata_text(record.rtype, &record.rdata);
    let line = format!("{}. {} {} {data}\n", record.owner, record.ttl.as_secs(), record.rtype);
    let line = line.replacen("..", ".", usize::from(record.owner.is_root()));
    let (again, problems) = read_text(line.as_bytes(), &record.owner);
    let read = again.first().map(|again| (&again.owner, again.rtype, again.ttl, &again.rdata));
    let expected = (&record.owner, record.rtype, record.ttl, &record.rdata);
    assert_eq!(read, Some(expected), "{line}: {problems:?}");
}

thread_local! {
    static LOCATIONS: LazyTable = LazyTable::embedded();
}

/// The operator's files in TOML, and zone text beside them: they compile, or there is an error,
/// and whatever is wrong can be shown. Several files are told apart as `tail` does it, by lines
/// `==> zones/example.toml <==`; what stands in front of the first is the server's.
pub fn files(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if generates_much(bytes) {
        return;
    }
    let sources = Sources::in_memory(split(text));
    let compiled = LOCATIONS.with(|locations| {
        let input = Input {
            sources: &sources,
            last_good: &BTreeMap::new(),
            locations: Some(locations),
            serials: &HashMap::new(),
            secret: &|_| Err("there are no secrets here".into()),
            progress: &Progress::default(),
            counter: &mut |_| CounterSlot(0),
        };
        compile(input, &mut Memory::default())
    });
    let problems = match compiled {
        Ok(compiled) => {
            let snapshot = Arc::new(compiled.snapshot);
            let steering = Steering::build(&snapshot, State::default().moved());
            drop(steering);
            assert!(compiled.held.is_empty() || compiled.problems.has_errors());
            compiled.problems
        }
        Err(problems) => {
            assert!(problems.has_errors(), "refused, so something is wrong");
            problems
        }
    };
    assert_eq!(problems.render(&sources, false).is_empty(), problems.is_empty());
    problems.to_json(&sources);
}

/// The files in `text`, with their paths.
fn split(text: &str) -> Vec<(&str, &str)> {
    let mut parts = text.split("==> ");
    let server = ("tradewind.toml", parts.next().unwrap_or_default());
    let files = parts.filter_map(|part| part.split_once(" <==\n"));
    [server].into_iter().chain(files).collect()
}
