//! A figure that something is judged by: where it comes from and which values are good, as
//! written in `rollouts/*.toml` (and wherever else a machine is to look before it goes on).

use super::{
    Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use std::{fmt, path::PathBuf};

/// Where a figure comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// An instant query of a Prometheus server.
    Prometheus {
        /// Its base: `http://prometheus:9090`.
        url: String,
        /// PromQL that comes to one number.
        query: String,
        /// The file with the bearer token, relative to the folder.
        token_file: Option<PathBuf>,
    },
    /// A number in JSON.
    Http {
        /// What is asked.
        url: String,
        /// Where in the answer the number stands (RFC 6901).
        json: String,
        /// The file with the bearer token, relative to the folder.
        token_file: Option<PathBuf>,
    },
    /// What our own health checks know.
    Health(HealthFigure),
}

/// What our own health checks know of a member's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthFigure {
    /// How long the slowest last probe took, in seconds.
    Latency,
    /// The share of probes that failed.
    Errors,
}

impl Source {
    /// What kind of source it is, as written.
    pub fn word(&self) -> &'static str {
        match self {
            Source::Prometheus { .. } => "prometheus",
            Source::Http { .. } => "http",
            Source::Health(HealthFigure::Latency) => "health latency",
            Source::Health(HealthFigure::Errors) => "health errors",
        }
    }
}

/// Which values are meant: `< 0.01`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    compare: Compare,
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Compare {
    /// The longer words first, so that the first that fits is the right one.
    const WORDS: [(&'static str, Compare); 4] = [
        ("<=", Compare::AtMost),
        (">=", Compare::AtLeast),
        ("<", Compare::Below),
        (">", Compare::Above),
    ];
}

impl Condition {
    /// The condition written `text`: a comparison and a number, or a duration that stands for
    /// its seconds.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Condition, String> {
        let text = text.trim();
        let found = Compare::WORDS.into_iter();
        let found = found.filter_map(|(word, compare)| Some((compare, text.strip_prefix(word)?)));
        let (compare, limit) =
            found.into_iter().next().ok_or_else(|| format!("`{text}` does not compare"))?;
        let limit = limit.trim();
        let seconds = || Some(scalar::parse_duration(limit).ok()?.as_secs_f64());
        let number = limit.parse::<f64>().ok().filter(|number| number.is_finite());
        match number.or_else(seconds) {
            Some(limit) => Ok(Condition { compare, limit }),
            None => Err(format!("`{limit}` is neither a number nor a duration")),
        }
    }

    /// Whether `value` is meant.
    pub fn holds(&self, value: f64) -> bool {
        match self.compare {
            Compare::Below => value < self.limit,
            Compare::AtMost => value <= self.limit,
            Compare::Above => value > self.limit,
            Compare::AtLeast => value >= self.limit,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Compare::WORDS.iter().find(|(_, compare)| *compare == self.compare);
        write!(f, "{} {}", word.map_or("", |(word, _)| word), self.limit)
    }
}

/// Reads the one source that `table` has.
pub(super) fn source<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Option<Source> {
    const FIGURES: &[(&str, HealthFigure)] =
        &[("latency", HealthFigure::Latency), ("errors", HealthFigure::Errors)];
    let kinds = ["prometheus", "http", "health"];
    let count = kinds.iter().filter(|kind| table.has(kind)).count();
    let prometheus = table.take(reader, "prometheus", |reader, value| {
        let mut table = reader.table("`prometheus`".into(), value)?;
        let url = table.require(reader, "url", "\"http://127.0.0.1:9090\"", scalar::url);
        let query = table.require(reader, "query", "\"sum(rate(…))\"", scalar::string);
        let token_file = token_file(reader, &mut table);
        table.finish(reader);
        Some(Source::Prometheus { url: url?.into_inner(), query: query?.into_inner(), token_file })
    });
    let http = table.take(reader, "http", |reader, value| {
        let mut table = reader.table("`http`".into(), value)?;
        let url = table.require(reader, "url", "\"https://host/path\"", scalar::url);
        let json = table.require(reader, "json", "\"/error_rate\"", pointer);
        let token_file = token_file(reader, &mut table);
        table.finish(reader);
        Some(Source::Http { url: url?.into_inner(), json: json?.into_inner(), token_file })
    });
    let health = table.take(reader, "health", scalar::choice("health figure", FIGURES, &[]));
    if count != 1 {
        let message =
            format!("{} has exactly one of `prometheus`, `http` and `health`", table.what);
        let help = "write `health = \"errors\"`, or `prometheus = { url = \"…\", query = \"…\" }`";
        reader.report_help(table.span.clone(), message, help);
        return None;
    }
    let health = health.map(|figure| Source::Health(figure.into_inner()));
    health.or_else(|| Some(prometheus.or(http)?.into_inner()))
}

/// Reads a condition.
pub(super) fn condition<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Condition> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    match Condition::parse(&text) {
        Ok(condition) => Some(condition),
        Err(why) => {
            reader.report_help(span, why, "write \"< 0.01\", \"<= 5\", \"> 0.99\" or \"< 200ms\"");
            None
        }
    }
}

fn token_file<'i>(reader: &mut Reader<'i, '_>, table: &mut Table<'i>) -> Option<PathBuf> {
    table.take(reader, "token_file", scalar::string).map(|file| file.into_inner().into())
}

fn pointer<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let text = scalar::string(reader, value)?;
    if text.is_empty() || text.starts_with('/') {
        return Some(text);
    }
    let help = format!("it begins with `/`: \"/{}\"", text.replace('.', "/"));
    reader.report_help(span, format!("`{text}` is not a JSON pointer"), help);
    None
}

/// Whether `of` has two of one name; the second is told.
pub(super) fn check_names<'n>(
    reader: &mut Reader<'_, '_>,
    what: &str,
    names: impl Iterator<Item = &'n Spanned<String>>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if seen.contains(&name.get_ref().as_str()) {
            reader.report(name.span(), format!("there are two {what} called `{name}`"));
        }
        seen.push(name.get_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_a_comparison_and_a_limit() {
        for (text, value, holds) in [
            ("< 0.01", 0.009, true),
            ("<0.01", 0.01, false),
            ("<= 5", 5.0, true),
            ("> 0", 0.0, false),
            (">= 99.5", 99.5, true),
            ("< 200ms", 0.1999, true),
            ("< 1m30s", 90.0, false),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(value), holds, "{text} {value}");
        }
        // What is no number meets no condition.
        assert!(!Condition::parse("< 1").unwrap().holds(f64::NAN));
        assert!(!Condition::parse("> 1").unwrap().holds(f64::NAN));
        for text in ["", "0.01", "= 1", "< x", "< inf", "< ", "=< 1"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
        assert_eq!(Condition::parse("<=5ms").unwrap().to_string(), "<= 0.005");
    }
}
