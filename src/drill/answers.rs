//! What answers say: second by second how many came from where, the first one that changed, the
//! last old one, what was empty, wrong, lost. Pure.
//!
//! A *lane* is one question for one client. What it may be answered when nothing is wrong is its
//! *base*, name by name: where a CNAME leads to another steered name, that one's answer is drawn by
//! itself. An answer with an address that the drill hits is *old*; one outside the base is *off*.

use super::journal::{Row, Sample};
use crate::{clock::Moment, config::drill::SteadyDef};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// Raw answers kept around the first change: enough to see what it was.
const SAMPLES: usize = 20;
/// Answers of a second are counted that much later, so that slow ones are among them: no question
/// is waited for longer.
pub(super) const SETTLED: Duration = super::asker::PATIENCE;

/// What came of one question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    /// Which lane.
    pub lane: usize,
    /// When it was asked.
    pub asked: Moment,
    /// When the answer came.
    pub at: Moment,
    /// The answer; nothing if none came.
    pub answer: Option<Answer>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// `NOERROR`.
    pub rcode: String,
    /// From the name that was asked along the CNAMEs; that name alone, if it owns nothing.
    pub links: Vec<Link>,
    /// The first record's, in seconds.
    pub ttl: u32,
}

impl Answer {
    /// All of its addresses and names, in their order.
    fn records(&self) -> impl Iterator<Item = &String> {
        self.links.iter().flat_map(|link| &link.records)
    }
}

/// A name of an answer, and what it owns there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    /// The name, in lower case and without the last dot.
    pub owner: String,
    /// Addresses, or the name that a CNAME leads to, in their order.
    pub records: Vec<String>,
}

/// What may be answered, by name: all that each steered one on the way may own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct May(HashMap<String, HashSet<Vec<String>>>);

impl May {
    /// `owner` may own `records`.
    pub(super) fn add(&mut self, owner: &str, records: Vec<String>) {
        self.0.entry(owner.to_owned()).or_default().insert(sorted(records));
    }

    /// Whether anything is known of `owner`.
    pub(super) fn knows(&self, owner: &str) -> bool {
        self.0.contains_key(owner)
    }

    fn has(&self, link: &Link) -> bool {
        let owned = self.0.get(&link.owner);
        owned.is_some_and(|owned| owned.contains(&sorted(link.records.clone())))
    }

    /// Whether `links` may be answered; what names own that are not steered is nobody's doing.
    fn allows(&self, links: &[Link]) -> bool {
        links.iter().all(|link| !self.knows(&link.owner) || self.has(link))
    }

    fn is_within(&self, other: &May) -> bool {
        self.0
            .iter()
            .all(|(owner, owned)| other.0.get(owner).is_some_and(|theirs| owned.is_subset(theirs)))
    }
}

/// What is known of the names that may be answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// The region of each address and name.
    pub regions: HashMap<String, Arc<str>>,
    /// Those that the drill hits.
    pub hit: HashSet<String>,
}

/// One question for one client.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Which of the steady states it belongs to.
    pub steady: usize,
    /// For people: `api.example.com A 203.0.113.0/24`.
    pub label: Arc<str>,
    /// What it may be answered when nothing is wrong.
    pub base: May,
    /// What it may be answered now, and since when.
    now: May,
    since: Moment,
    /// What it might be answered before that: some of it may still be under way.
    was: May,
    is_off: bool,
    /// Whether it was moved away, and counted for that: the same World may answer some clients
    /// within the base and some without.
    is_away: bool,
    was_away: bool,
    outs: u32,
    /// Whether anything came yet.
    is_known: bool,
    /// Answers in a row that are not what is expected.
    unexpected: Option<String>,
}

impl Lane {
    pub(super) fn new(steady: usize, label: Arc<str>, base: May) -> Lane {
        Lane {
            steady,
            label,
            now: base.clone(),
            since: Moment(0),
            was: base.clone(),
            base,
            is_off: false,
            is_away: false,
            was_away: false,
            outs: 0,
            is_known: false,
            unexpected: None,
        }
    }

    /// Whether some of its usual answers are hit.
    fn is_touched(&self, book: &Book) -> bool {
        self.base.0.values().flatten().flatten().any(|record| book.hit.contains(record))
    }
}

/// All answers of one run.
#[derive(Debug)]
pub(super) struct Answers {
    steady: Vec<SteadyDef>,
    lanes: Vec<Lane>,
    book: Book,
    began: Moment,
    /// Seconds that are not told yet, the first of which is `told`.
    rows: BTreeMap<u32, Row>,
    told: u32,
    /// How often something was done so far: each time a lane may move away once.
    injected: u32,
    is_learning: bool,
    /// When the last answer outside its base came.
    last_off: Option<Moment>,
    counts: Counts,
    samples: Vec<Sample>,
    /// How many samples there were.
    sampled: usize,
}

/// Of the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub empty: u64,
    pub wrong: u64,
    pub lost: u64,
}

impl Answers {
    pub(super) fn new(
        steady: Vec<SteadyDef>,
        lanes: Vec<Lane>,
        book: Book,
        began: Moment,
    ) -> Answers {
        Answers {
            steady,
            lanes,
            book,
            began,
            rows: BTreeMap::new(),
            told: 0,
            injected: 0,
            is_learning: true,
            last_off: None,
            counts: Counts::default(),
            samples: Vec::new(),
            sampled: 0,
        }
    }

    /// From here on what is answered otherwise than before is a change.
    pub(super) fn injected(&mut self) {
        self.injected += 1;
        self.is_learning = false;
    }

    /// From `since` on `lane` may be answered this.
    pub(super) fn may(&mut self, lane: usize, now: May, since: Moment) {
        let lane = &mut self.lanes[lane];
        lane.was = std::mem::replace(&mut lane.now, now);
        (lane.since, lane.was_away) = (since, lane.is_away);
        lane.is_away &= !lane.now.is_within(&lane.base);
    }

    /// What was found for flattened names: the regions of their addresses, and which of these the
    /// drill hits. Earlier ones stay known: such answers may still be under way.
    pub(super) fn found(&mut self, found: Book) {
        self.book.hit.extend(found.hit);
        for (address, region) in found.regions {
            self.book.regions.entry(address).or_insert(region);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether every lane is answered as before, by its newest answer, and cannot be answered
    /// otherwise: while clients come back bit by bit a second may bring none of the others.
    pub(super) fn is_back(&self) -> bool {
        self.lanes.iter().all(|lane| !lane.is_off && lane.now.is_within(&lane.base))
    }

    /// When the last answer came that was not as before.
    pub(super) fn last_off(&self) -> Option<Moment> {
        self.last_off
    }

    /// Why the steady state is not what is expected, by the newest answers.
    pub(super) fn deviates(&self) -> Option<String> {
        let silent = self.lanes.iter().find(|lane| !lane.is_known);
        if let Some(silent) = silent {
            return Some(format!("{} was not answered", silent.label));
        }
        self.lanes
            .iter()
            .find_map(|lane| Some(format!("{}: {}", lane.label, lane.unexpected.as_ref()?)))
    }

    /// Takes what came of one question.
    pub(super) fn take(&mut self, heard: &Heard) {
        let second = second(heard.asked, self.began);
        let ms = ms(heard.at, self.began);
        // What comes after its second was told is counted with the next: nothing goes missing.
        let place = second.max(self.told);
        let row = self.rows.entry(place).or_insert_with(|| Row { second: place, ..Row::default() });
        let lane = &mut self.lanes[heard.lane];
        let steady = &self.steady[lane.steady];
        row.asked += 1;
        let Some(answer) = &heard.answer else {
            row.lost += 1;
            self.counts.lost += 1;
            lane.unexpected = Some("no reply".into());
            return;
        };
        lane.is_known = true;
        row.answered += 1;
        let region = match answer.records().next() {
            None => "(empty)",
            Some(record) => self.book.regions.get(record).map_or("(unknown)", |region| region),
        };
        *row.regions.entry(region.to_owned()).or_default() += 1;
        let fault = fault(answer, steady, lane, &self.book);
        match fault {
            Some(Fault::Empty) => {
                row.empty += 1;
                self.counts.empty += 1;
            }
            Some(Fault::Wrong(_)) => {
                row.wrong += 1;
                self.counts.wrong += 1;
            }
            None => {}
        }
        lane.unexpected = match &fault {
            Some(Fault::Empty) => Some("an empty answer".into()),
            Some(Fault::Wrong(why)) => Some(why.clone()),
            None => steady
                .region
                .as_ref()
                .filter(|wanted| *wanted.get_ref() != *region)
                .map(|wanted| format!("answered from {region}, not from {}", wanted.get_ref())),
        };
        let is_old = answer.records().any(|record| self.book.hit.contains(record));
        if is_old {
            row.old += 1;
            row.old_ttl_s = row.old_ttl_s.max(answer.ttl);
            row.last_old_ms = later(row.last_old_ms, ms);
        }
        if self.is_learning {
            if fault.is_none() {
                let links = answer.links.iter();
                links.for_each(|link| lane.base.add(&link.owner, link.records.clone()));
            }
            return;
        }
        let is_off = !answer.links.iter().all(|link| lane.base.has(link));
        if is_off {
            row.off += 1;
            row.last_off_ms = later(row.last_off_ms, ms);
            self.last_off = self.last_off.max(Some(heard.at));
            row.first_off_ms = Some(row.first_off_ms.map_or(ms, |first: f64| first.min(ms)));
            let is_early = heard.asked < lane.since;
            let is_meant = lane.now.allows(&answer.links);
            let was_meant = is_early && lane.was_away && lane.was.allows(&answer.links);
            if !(lane.is_off || lane.is_away && is_meant || was_meant) {
                lane.outs += 1;
                let may = if lane.is_touched(&self.book) { self.injected } else { 0 };
                if lane.outs > may {
                    row.spurious += 1;
                }
            }
            lane.is_away |= is_meant;
        }
        if is_off != lane.is_off && self.sampled < SAMPLES {
            self.sampled += 1;
            self.samples.push(Sample {
                at_ms: ms,
                asked: lane.label.to_string(),
                rcode: answer.rcode.clone(),
                records: answer.records().cloned().collect(),
                ttl_s: answer.ttl,
                region: region.to_owned(),
            });
        }
        lane.is_off = is_off;
    }

    /// The seconds that are over at `now`; all that is left, at the end.
    pub(super) fn rows(&mut self, now: Moment, is_end: bool) -> Vec<Row> {
        let over = match is_end {
            true => self.rows.keys().next_back().map_or(self.told, |last| last + 1),
            false => {
                let settled = now.since(self.began).saturating_sub(SETTLED);
                settled.as_secs() as u32
            }
        };
        let mut rows = Vec::new();
        while self.told < over {
            let empty = Row { second: self.told, ..Row::default() };
            rows.push(self.rows.remove(&self.told).unwrap_or(empty));
            self.told += 1;
        }
        rows
    }

    /// Raw answers around changes, told once.
    pub(super) fn samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }
}

enum Fault {
    Empty,
    Wrong(String),
}

/// What is wrong with an answer, whatever the drill does.
fn fault(answer: &Answer, steady: &SteadyDef, lane: &Lane, book: &Book) -> Option<Fault> {
    if answer.rcode != steady.rcode {
        return Some(Fault::Wrong(format!("{}, not {}", answer.rcode, steady.rcode)));
    }
    let count = answer.records().count();
    if count == 0 && steady.min_records > 0 {
        return Some(Fault::Empty);
    }
    if count < steady.min_records as usize {
        return Some(Fault::Wrong(format!("only {count} records")));
    }
    let mut steered = answer.links.iter().filter(|link| lane.now.knows(&link.owner));
    let strange = |record: &&String| !book.regions.contains_key(*record);
    let stranger = steered.find_map(|link| link.records.iter().find(strange));
    stranger.map(|record| Fault::Wrong(format!("{record} is nobody's address")))
}

fn later(known: Option<f64>, ms: f64) -> Option<f64> {
    Some(known.map_or(ms, |known| known.max(ms)))
}

fn sorted(mut records: Vec<String>) -> Vec<String> {
    records.sort_unstable();
    records
}

fn second(at: Moment, began: Moment) -> u32 {
    at.since(began).as_secs() as u32
}

/// Milliseconds since the drill began.
pub(super) fn ms(at: Moment, began: Moment) -> f64 {
    // To a microsecond: more would only be noise in a journal.
    (at.since(began).as_nanos() as f64 / 1e3).round() / 1e3
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
