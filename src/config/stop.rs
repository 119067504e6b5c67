//! When a drill ends at once: `answers.empty > 0`, `regions.up < 2 for 5s`.

use super::{
    nearest,
    reader::{Reader, Value},
    scalar::{self, parse_duration},
};
use std::{fmt, time::Duration};

/// A stop condition as written.
#[derive(Clone, Debug, PartialEq)]
pub struct StopDef {
    /// All of it.
    pub text: String,
    /// What is looked at.
    pub what: Watched,
    /// How it is compared.
    pub than: Than,
    /// With what.
    pub limit: f64,
    /// For how long it must hold.
    pub lasts: Duration,
}

/// What a stop condition may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Answers without records, so far.
    Empty,
    /// Answers that are wrong, so far.
    Wrong,
    /// Questions without a reply, so far.
    Lost,
    /// Regions with an endpoint that is up.
    RegionsUp,
    /// Endpoints that are down.
    EndpointsDown,
    /// Records answered on other grounds than health.
    FailOpen,
}

impl Watched {
    /// All of them, as written.
    pub const ALL: [(&'static str, Watched); 6] = [
        ("answers.empty", Watched::Empty),
        ("answers.wrong", Watched::Wrong),
        ("answers.lost", Watched::Lost),
        ("regions.up", Watched::RegionsUp),
        ("endpoints.down", Watched::EndpointsDown),
        ("records.failopen", Watched::FailOpen),
    ];
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Than {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

impl StopDef {
    /// Whether `value` is past the limit.
    pub fn is_past(&self, value: f64) -> bool {
        match self.than {
            Than::Above => value > self.limit,
            Than::AtLeast => value >= self.limit,
            Than::Below => value < self.limit,
            Than::AtMost => value <= self.limit,
        }
    }

    /// The condition written `text`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<StopDef, String> {
        let (condition, lasts) = match text.split_once(" for ") {
            Some((condition, lasts)) => (condition, parse_duration(lasts)?),
            None => (text, Duration::ZERO),
        };
        let words: Vec<&str> = condition.split_whitespace().collect();
        let [what, than, limit] = words[..] else {
            return Err(format!("`{text}` is not a condition"));
        };
        let than = match than {
            ">" => Than::Above,
            ">=" => Than::AtLeast,
            "<" => Than::Below,
            "<=" => Than::AtMost,
            other => return Err(format!("`{other}` compares nothing: write >, >=, < or <=")),
        };
        let limit = limit.parse().map_err(|_| format!("`{limit}` is not a number"))?;
        let known = Watched::ALL.iter().find(|(word, _)| *word == what);
        let Some((_, watched)) = known else {
            let words = Watched::ALL.iter().map(|(word, _)| *word);
            let meant = nearest(what, words.clone()).map_or_else(
                || format!("there is {}", words.collect::<Vec<_>>().join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            return Err(format!("nothing is called `{what}`; {meant}"));
        };
        Ok(StopDef { text: text.to_owned(), what: *watched, than, limit, lasts })
    }
}

impl fmt::Display for StopDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads one.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<StopDef> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    match StopDef::parse(&text) {
        Ok(stop) => Some(stop),
        Err(why) => {
            reader.report_help(
                span,
                why,
                "write \"answers.empty > 0\" or \"regions.up < 2 for 5s\"",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_slips_are_told() {
        let stop = StopDef::parse("regions.up < 2 for 5s").unwrap();
        assert_eq!((stop.what, stop.lasts), (Watched::RegionsUp, Duration::from_secs(5)));
        assert_eq!([stop.is_past(1.0), stop.is_past(2.0)], [true, false]);
        let above = |text, value| StopDef::parse(text).unwrap().is_past(value);
        assert_eq!(
            [above("answers.empty > 0", 0.0), above("answers.empty >= 0", 0.0)],
            [false, true]
        );
        for (text, said) in [
            ("answers.emty > 0", "did you mean `answers.empty`?"),
            ("regions.up ~ 2", "`~` compares nothing"),
            ("regions.up < two", "`two` is not a number"),
            ("regions.up", "is not a condition"),
            ("regions.up < 2 for ever", "`ever` is not a duration"),
        ] {
            let why = StopDef::parse(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
