//! What is kept, as rows of text, and back.
//!
//! Rows that this version cannot read are left where they are and counted: one of them must
//! not cost all others.

use super::{Saved, SavedSlot, SavedTarget, Write};
use crate::{
    clock::Moment,
    control::{
        audit::Entry,
        event::{Event, EventKind},
        spelled,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

/// A table, other than that of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shelf {
    Server,
    Targets,
    Slots,
    Machines,
    Overrides,
    Notes,
}

impl Shelf {
    pub const ALL: [Shelf; 6] = [
        Shelf::Server,
        Shelf::Targets,
        Shelf::Slots,
        Shelf::Machines,
        Shelf::Overrides,
        Shelf::Notes,
    ];

    /// The name of its table.
    pub const fn word(self) -> &'static str {
        match self {
            Shelf::Server => "server",
            Shelf::Targets => "targets",
            Shelf::Slots => "slots",
            Shelf::Machines => "machines",
            Shelf::Overrides => "overrides",
            Shelf::Notes => "notes",
        }
    }
}

/// Every row there should be.
pub(super) type Rows = BTreeMap<(Shelf, String), String>;

/// Where one row stands, and what is to stand there.
pub(super) type Row = (Shelf, String, Option<String>);

/// The row that `write` sets; what happened is none.
pub(super) fn row(write: Write) -> Result<Row, Happened> {
    Ok(match write {
        Write::Target { key, value } => (Shelf::Targets, key.to_string(), value.as_ref().map(text)),
        Write::Slot { name, address, value } => {
            (Shelf::Slots, format!("{name} {address}"), value.as_ref().map(text))
        }
        Write::Machine { name, value } => (Shelf::Machines, name.to_string(), json(value)),
        // With its zeros, so that the order of keys is that of numbers.
        Write::Override { id, value } => (Shelf::Overrides, format!("{id:020}"), json(value)),
        Write::Note { name, value } => (Shelf::Notes, name.to_string(), json(value)),
        Write::Events(events) => return Err(Happened::Events(events)),
        Write::Audit(entry) => return Err(Happened::Audit(entry)),
    })
}

/// What is added to what stands there, rather than set.
pub(super) enum Happened {
    Events(Vec<Event>),
    Audit(Box<Entry>),
}

fn json(value: Option<Value>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structures with named fields become JSON")
}

/// `new`, with the fields that only `old` has: those of a newer minor version.
pub(super) fn with_unknown_fields(new: String, old: &str) -> String {
    let parsed = |text: &str| serde_json::from_str::<serde_json::Map<String, Value>>(text);
    let (Ok(mut known), Ok(old)) = (parsed(&new), parsed(old)) else { return new };
    for (field, value) in old {
        known.entry(field).or_insert(value);
    }
    text(&known)
}

/// What `rows` say, and how many of them cannot be read.
pub(super) fn saved(rows: &Rows) -> (Saved, usize) {
    let (mut saved, mut unread) = (Saved::default(), 0);
    for ((shelf, key), value) in rows {
        if add(&mut saved, *shelf, key, value).is_none() {
            unread += 1;
        }
    }
    (saved, unread)
}

fn add(saved: &mut Saved, shelf: Shelf, key: &str, value: &str) -> Option<()> {
    match shelf {
        Shelf::Server => match key {
            "boot" => saved.boot = read(value)?,
            "swap" => saved.swap = read(value)?,
            _ => {}
        },
        Shelf::Targets => drop(saved.targets.insert(key.into(), read::<SavedTarget>(value)?)),
        Shelf::Slots => {
            let (name, address) = key.split_once(' ')?;
            saved.slots.insert((name.into(), address.into()), read::<SavedSlot>(value)?);
        }
        Shelf::Machines => drop(saved.machines.insert(key.into(), read(value)?)),
        Shelf::Overrides => drop(saved.overrides.insert(key.parse().ok()?, read(value)?)),
        Shelf::Notes => drop(saved.notes.insert(key.into(), read(value)?)),
    }
    Some(())
}

fn read<T: DeserializeOwned>(value: &str) -> Option<T> {
    serde_json::from_str(value).ok()
}

/// An event as it is kept. `alarm` and `text` are for versions that do not know its kind.
#[derive(Serialize, Deserialize)]
struct KeptEvent {
    seq: u64,
    boot: u64,
    #[serde(rename = "at_ns", with = "spelled::moment")]
    at: Moment,
    #[serde(rename = "wall_ms", with = "spelled::wall")]
    wall: SystemTime,
    swap: u64,
    incident: u64,
    who: Option<Arc<str>>,
    alarm: bool,
    text: String,
    what: Value,
}

pub(super) fn event_text(event: &Event) -> String {
    let Event { seq, boot, at, wall, swap, incident, ref who, ref kind } = *event;
    let (alarm, who) = (kind.is_alarm(), who.clone());
    let what = serde_json::to_value(kind).unwrap_or(Value::Null);
    let text_ = kind.to_string();
    text(&KeptEvent { seq, boot, at, wall, swap, incident, who, alarm, text: text_, what })
}

/// The event that `text` is; nothing if it is none.
pub(super) fn event(text: &str) -> Option<Event> {
    let kept: KeptEvent = read(text)?;
    let KeptEvent { seq, boot, at, wall, swap, incident, who, alarm, text, what } = kept;
    let word = what.get("event").and_then(Value::as_str).unwrap_or("unknown").into();
    let kind = serde_json::from_value(what);
    let kind = kind.unwrap_or_else(|_| EventKind::Foreign { word, alarm, text: text.into() });
    Some(Event { seq, boot, at, wall, swap, incident, who, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::event::tests::fell;
    use std::time::UNIX_EPOCH;

    #[test]
    fn an_event_of_a_newer_version_is_shown_as_it_was_logged() {
        let (at, wall, who) = (Moment(5), UNIX_EPOCH, Some("ada".into()));
        let kind = fell("z/a/1");
        let known = Event { seq: 7, boot: 2, at, wall, swap: 3, incident: 6, who, kind };
        let text = event_text(&known);
        assert_eq!(event(&text), Some(known));
        let newer = text.replace("\"event\":\"verdict\"", "\"event\":\"eclipse\"");
        let EventKind::Foreign { word, alarm, text } = event(&newer).unwrap().kind else {
            panic!("{newer}");
        };
        assert_eq!((&*word, alarm), ("eclipse", true));
        assert_eq!(&*text, "z/a/1 (192.0.2.1) up → down: refused 3/3");
        assert_eq!(event("{}"), None);
    }

    #[test]
    fn a_row_that_cannot_be_read_costs_no_other() {
        let mut rows = Rows::new();
        rows.insert((Shelf::Machines, "z/app".into()), "{\"active\":1}".into());
        rows.insert((Shelf::Targets, "t".into()), "{".into());
        rows.insert((Shelf::Slots, "without-address".into()), "{}".into());
        rows.insert((Shelf::Overrides, format!("{:020}", 12)), "[]".into());
        let (saved, unread) = saved(&rows);
        assert_eq!((saved.machines.len(), saved.overrides.len(), unread), (1, 1, 2));
        assert!(saved.overrides.contains_key(&12));
    }

    #[test]
    fn fields_of_a_newer_minor_version_are_kept() {
        let kept = with_unknown_fields(r#"{"a":1}"#.into(), r#"{"a":2,"z":[3]}"#);
        assert_eq!(kept, r#"{"a":1,"z":[3]}"#);
    }
}
