//! When a drill ends at once: `answers.empty > 0`, `regions.up < 2 for 5s`; or a figure of somebody
//! else's, with `prometheus` or `http` beside it: `> 0.001 for 10s`.

use super::{
    Spanned,
    metric::{self, Source},
    nearest,
    reader::{Reader, Table, Value},
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
#[derive(Clone, Debug, PartialEq)]
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
    /// What Prometheus, or any JSON over HTTP, says.
    Figure(Source),
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

    /// The condition written `text`; of `figure`, if there is one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str, figure: Option<Source>) -> Result<StopDef, String> {
        let (condition, lasts) = match text.split_once(" for ") {
            Some((condition, lasts)) => (condition, parse_duration(lasts)?),
            None => (text, Duration::ZERO),
        };
        let words: Vec<&str> = condition.split_whitespace().collect();
        let (what, than, limit) = match (words[..].len(), &figure) {
            (3, None) => (words[0], words[1], words[2]),
            (2, Some(_)) => ("", words[0], words[1]),
            _ => return Err(format!("`{text}` is not a condition")),
        };
        let than = match than {
            ">" => Than::Above,
            ">=" => Than::AtLeast,
            "<" => Than::Below,
            "<=" => Than::AtMost,
            other => return Err(format!("`{other}` compares nothing: write >, >=, < or <=")),
        };
        let limit = limit.parse().map_err(|_| format!("`{limit}` is not a number"))?;
        if let Some(figure) = figure {
            let what = Watched::Figure(figure);
            return Ok(StopDef { text: text.to_owned(), what, than, limit, lasts });
        }
        let known = Watched::ALL.iter().find(|(word, _)| *word == what);
        let Some((_, watched)) = known else {
            let words = Watched::ALL.iter().map(|(word, _)| *word);
            let meant = nearest(what, words.clone()).map_or_else(
                || format!("there is {}", words.collect::<Vec<_>>().join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            return Err(format!("nothing is called `{what}`; {meant}"));
        };
        Ok(StopDef { text: text.to_owned(), what: watched.clone(), than, limit, lasts })
    }
}

impl fmt::Display for StopDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads one `[[stop]]`.
pub(super) fn read<'i>(
    reader: &mut Reader<'i, '_>,
    mut table: Table<'i>,
) -> Option<Spanned<StopDef>> {
    let is_figure = table.has("prometheus") || table.has("http");
    let figure = match is_figure {
        true => Some(metric::source(reader, &mut table)?),
        false => None,
    };
    let when = table.require(reader, "when", "\"answers.empty > 0\"", |reader, value| {
        condition(reader, value, figure)
    });
    table.finish(reader);
    when
}

fn condition<'i>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
    figure: Option<Source>,
) -> Option<StopDef> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    let help = match figure {
        Some(_) => "write \"> 0.001 for 10s\"",
        None => "write \"answers.empty > 0\" or \"regions.up < 2 for 5s\"",
    };
    match StopDef::parse(&text, figure) {
        Ok(stop) => Some(stop),
        Err(why) => {
            reader.report_help(span, why, help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_slips_are_told() {
        let stop = StopDef::parse("regions.up < 2 for 5s", None).unwrap();
        assert_eq!((&stop.what, stop.lasts), (&Watched::RegionsUp, Duration::from_secs(5)));
        assert_eq!([stop.is_past(1.0), stop.is_past(2.0)], [true, false]);
        let above = |text, value| StopDef::parse(text, None).unwrap().is_past(value);
        assert_eq!(
            [above("answers.empty > 0", 0.0), above("answers.empty >= 0", 0.0)],
            [false, true]
        );
        let figure = || {
            let (url, json) = ("http://127.0.0.1:1/x".to_owned(), "/errors".to_owned());
            Some(Source::Http { url, json, token_file: None })
        };
        let stop = StopDef::parse("> 0.001 for 10s", figure()).unwrap();
        assert!(stop.is_past(0.01) && matches!(stop.what, Watched::Figure(_)));
        assert!(StopDef::parse("answers.empty > 0", figure()).is_err(), "of one thing at a time");
        for (text, said) in [
            ("answers.emty > 0", "did you mean `answers.empty`?"),
            ("regions.up ~ 2", "`~` compares nothing"),
            ("regions.up < two", "`two` is not a number"),
            ("regions.up", "is not a condition"),
            ("regions.up < 2 for ever", "`ever` is not a duration"),
        ] {
            let why = StopDef::parse(text, None).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
