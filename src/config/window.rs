//! When a drill may run, and when it does by itself. All times are UTC: a rota spans time zones,
//! and a window must not move with daylight saving.

use super::{
    Spanned,
    reader::{Reader, Value},
    scalar,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u64 = 86_400;

/// Hours on days of the week: `mon-fri 09:00-17:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first and last day, Monday being 0.
    days: (u8, u8),
    /// From and until, in minutes of the day.
    minutes: (u32, u32),
}

/// Days of the calendar, the first and the last one: `2026-12-20..2027-01-05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u64, u64);

/// A minute of the week: `tue 10:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    day: u8,
    minute: u32,
}

/// Day since 1970, day of the week, minute of the day.
fn parts(at: SystemTime) -> (u64, u8, u32) {
    let secs = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    // The first of January 1970 was a Thursday.
    let day = secs / DAY;
    (day, ((day + 3) % 7) as u8, (secs % DAY / 60) as u32)
}

impl Window {
    /// Whether `at` lies in it.
    pub fn has(&self, at: SystemTime) -> bool {
        let (_, day, minute) = parts(at);
        let (first, last) = self.days;
        let is_day = match first <= last {
            true => (first..=last).contains(&day),
            false => day >= first || day <= last,
        };
        is_day && (self.minutes.0..self.minutes.1).contains(&minute)
    }

    fn parse(text: &str) -> Option<Window> {
        let (days, hours) = text.split_once(' ')?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, until) = hours.split_once('-')?;
        let minutes = (minute(from)?, minute(until)?);
        (minutes.0 < minutes.1).then_some(Window { days: (day(first)?, day(last)?), minutes })
    }
}

impl Days {
    /// Whether `at` lies in them.
    pub fn has(&self, at: SystemTime) -> bool {
        (self.0..=self.1).contains(&parts(at).0)
    }

    fn parse(text: &str) -> Option<Days> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let day = |text: &str| {
            let start: jiff::Timestamp = format!("{text}T00:00Z").parse().ok()?;
            u64::try_from(start.as_second()).ok().map(|secs| secs / DAY)
        };
        let days = Days(day(first)?, day(last)?);
        (days.0 <= days.1).then_some(days)
    }
}

impl Slot {
    /// Whether it is that minute.
    pub fn is(&self, at: SystemTime) -> bool {
        let (_, day, minute) = parts(at);
        (day, minute) == (self.day, self.minute)
    }

    fn parse(text: &str) -> Option<Slot> {
        let (of, time) = text.split_once(' ')?;
        Some(Slot { day: day(of)?, minute: minute(time)? })
    }
}

fn day(text: &str) -> Option<u8> {
    DAYS.iter().position(|known| *known == text).map(|day| day as u8)
}

/// `24:00` is the end of a day.
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= 24 * 60).then_some(all)
}

/// When a drill may run, and on which days it may not.
pub(super) type Windows = (Vec<Spanned<Window>>, Vec<Spanned<Days>>);

/// `{ allow = ["mon-fri 09:00-17:00"], deny = ["2026-12-20..2027-01-05"] }`.
pub(super) fn windows<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Windows> {
    let mut table = reader.table("`windows`".into(), value)?;
    let allow = table.take(reader, "allow", |reader, value| {
        reader.list(value, "windows", |reader, value| {
            parsed(reader, value, "a window", "\"mon-fri 09:00-17:00\" (UTC)", Window::parse)
        })
    });
    let deny = table.take(reader, "deny", |reader, value| {
        reader.list(value, "dates", |reader, value| {
            let example = "\"2026-12-24\" or \"2026-12-20..2027-01-05\"";
            parsed(reader, value, "a date or a range of dates", example, Days::parse)
        })
    });
    table.finish(reader);
    Some((
        allow.map(Spanned::into_inner).unwrap_or_default(),
        deny.map(Spanned::into_inner).unwrap_or_default(),
    ))
}

pub(super) fn slot<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Slot> {
    parsed(reader, value, "a time of the week", "\"tue 10:00\" (UTC)", Slot::parse)
}

fn parsed<'i, T>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
    what: &str,
    example: &str,
    parse: fn(&str) -> Option<T>,
) -> Option<T> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    let read = parse(&text);
    if read.is_none() {
        reader.report_help(span, format!("`{text}` is not {what}"), format!("write {example}"));
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn windows_are_hours_of_days_in_utc() {
        // The 23rd of November 2026 is a Monday.
        for (window, time, is) in [
            ("mon-fri 09:00-17:00", "2026-11-23T09:00Z", true),
            ("mon-fri 09:00-17:00", "2026-11-23T17:00Z", false),
            ("mon-fri 09:00-17:00", "2026-11-28T12:00Z", false),
            ("sat-mon 00:00-24:00", "2026-11-23T23:59Z", true),
            ("sat-mon 00:00-24:00", "2026-11-24T00:00Z", false),
            ("tue 10:00-11:00", "2026-11-24T10:30Z", true),
        ] {
            assert_eq!(Window::parse(window).unwrap().has(at(time)), is, "{window} {time}");
        }
        for text in ["", "mon", "mon 9", "mon 17:00-09:00", "moon 09:00-10:00", "mon 9:61-10:00"] {
            assert!(Window::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn days_and_slots_are_found() {
        let days = Days::parse("2026-12-20..2027-01-05").unwrap();
        assert!(days.has(at("2026-12-20T00:00Z")) && days.has(at("2027-01-05T23:59Z")));
        assert!(!days.has(at("2027-01-06T00:00Z")));
        assert!(Days::parse("2027-01-05..2026-12-20").is_none());
        let slot = Slot::parse("tue 10:00").unwrap();
        assert!(slot.is(at("2026-11-24T10:00:59Z")) && !slot.is(at("2026-11-24T10:01:00Z")));
    }
}
