//! Times as zone text writes them: spans such as `1h30m`, and the moments of a signature.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::units::Ttl;

pub(super) fn not_a_time(text: &str) -> String {
    format!("`{text}` is not a time such as `3600` or `1h30m`")
}

/// A TTL, written as a span; the inner error may be that it is larger than RFC 2181 §8 allows.
pub(super) fn parse_ttl(text: &str) -> Option<Result<Ttl, String>> {
    let most = Ttl::MAX.as_secs();
    let in_range = |total| u32::try_from(total).ok().filter(|&seconds| seconds <= most);
    Some(parse_span(text)?.and_then(|total| {
        let too_long = || format!("`{text}` is more than {most} seconds (RFC 2181 §8)");
        in_range(total).map(Ttl::from_secs).ok_or_else(too_long)
    }))
}

/// A number of seconds, or of units as in `1h30m`; `None` if it does not begin like either.
/// The inner error is one with a wrong unit.
pub(super) fn parse_span(text: &str) -> Option<Result<u64, String>> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<u32>() else {
            return Some(Err(not_a_time(text)));
        };
        let seconds = match rest.as_bytes().get(digits).map(u8::to_ascii_lowercase) {
            None if rest.len() == text.len() => 1,
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return Some(Err(not_a_time(text))),
        };
        total = total.saturating_add(u64::from(number) * seconds);
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    Some(Ok(total))
}

/// The seconds since 1970 that `YYYYMMDDHHmmSS`, or a number of seconds, means (RFC 4034 §3.2).
pub(super) fn parse_moment(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if text.len() != "YYYYMMDDHHmmSS".len() {
        return text.parse().ok();
    }
    let date = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    let moment = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    u32::try_from(moment.as_second()).ok()
}

/// [`parse_moment`] the other way round.
pub(super) fn moment_text(seconds: u32) -> String {
    let moment = Timestamp::from_second(seconds.into());
    moment.map_or_else(|_| seconds.to_string(), |m| m.strftime("%Y%m%d%H%M%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4034_3_2_moments_are_dates_or_seconds() {
        let cases = [
            ("20030322173103", Some(1_048_354_263)),
            ("1048354263", Some(1_048_354_263)),
            ("21060207062815", Some(u32::MAX)),
            ("21060207062816", None),
            ("20030230000000", None),
            ("4294967296", None),
            ("+1", None),
            ("", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse_moment(text), seconds, "{text}");
        }
        assert_eq!(moment_text(1_048_354_263), "20030322173103");
        assert_eq!(moment_text(u32::MAX), "21060207062815");
    }
}
