//! The smallest things an operator writes: durations, addresses, shares, weights.
//!
//! Each function reads one TOML value and reports what it cannot read; a type that comes out
//! here cannot hold what was refused.

use super::{
    Problem, Spanned,
    reader::{Reader, Value},
};
use crate::units::{Coordinates, Weight};
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};
use toml::de::DeValue;

/// A text.
pub(super) fn string<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(text) => Some(text.into_owned()),
        other => reader.mistyped(&Spanned::new(span, other), "a string"),
    }
}

/// A URL of HTTP.
pub(super) fn url<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let url = string(reader, value)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_some_and(|rest| !rest.is_empty() && !url.contains(char::is_whitespace)) {
        return Some(url);
    }
    reader.report_help(span, format!("`{url}` is not a URL"), "write \"https://host/path\"");
    None
}

/// The name of something the operator defines or refers to.
pub(super) fn name<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let name = string(reader, value)?;
    match check_name(&name) {
        Ok(()) => Some(name),
        Err(why) => {
            reader.report(span, why);
            None
        }
    }
}

/// Names are put together to `zone/pool/endpoint`, matched by globs and used as labels of
/// metrics; what would confuse any of these cannot be in one.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    /// Long enough for an IPv6 address or a host's full name in most folders.
    const NAME_CHARS_MAX: usize = 100;
    if name.is_empty() {
        return Err("a name cannot be empty".into());
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(format!("a name has at most {NAME_CHARS_MAX} characters"));
    }
    let odd = |c: &char| c.is_whitespace() || c.is_control() || "/*?[]{},\"'`\\".contains(*c);
    match name.chars().find(odd) {
        Some(odd) => Err(format!("a name cannot contain {odd:?}")),
        None => Ok(()),
    }
}

/// One of `words`; one of `later` is refused as not in this version.
pub(super) fn choice<'i, T: Copy>(
    what: &'static str,
    words: &'static [(&'static str, T)],
    later: &'static [&'static str],
) -> impl Fn(&mut Reader<'i, '_>, Value<'i>) -> Option<T> {
    move |reader, value| {
        if !value.get_ref().is_str() {
            let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            return reader.mistyped(&value, &quoted.join(" or "));
        }
        let span = value.span();
        let text = string(reader, value)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names = words.iter().map(|(word, _)| *word);
        let file = reader.file.clone();
        if later.contains(&text.as_str()) {
            let listed: Vec<&str> = names.collect();
            reader.report_help(
                span,
                format!("{what} `{text}` is not in this version"),
                format!("this one has `{}`", listed.join("`, `")),
            );
        } else {
            reader.push(Problem::unknown(&file, span, what, &text, names));
        }
        None
    }
}

/// `true` or `false`.
pub(super) fn boolean<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<bool> {
    match value.get_ref().as_bool() {
        Some(truth) => Some(truth),
        None => reader.mistyped(&value, "true or false"),
    }
}

/// A whole number in `bounds`.
pub(super) fn integer<'i>(
    bounds: std::ops::RangeInclusive<u32>,
) -> impl Fn(&mut Reader<'i, '_>, Value<'i>) -> Option<u32> {
    move |reader, value| {
        let (low, high) = (*bounds.start(), *bounds.end());
        let Some(written) = value.get_ref().as_integer() else {
            return reader.mistyped(&value, &format!("a whole number, {low} to {high}"));
        };
        let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let message = format!("{written} is out of range: {low} to {high}");
            reader.report(value.span(), message);
        }
        number
    }
}

/// A weight: a whole number up to [`Weight::MAX`].
pub(super) fn weight<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Weight> {
    let span = value.span();
    if value.get_ref().is_float() {
        reader.report_help(
            span,
            "a weight is a whole number",
            "only the ratio to the other weights counts: write 1 and 3 for 0.25 and 0.75",
        );
        return None;
    }
    Weight::new(integer(0..=Weight::MAX)(reader, value)?)
}

/// A number, whole or not.
pub(super) fn number<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<f64> {
    let parsed: Option<f64> = match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
        _ => return reader.mistyped(&value, "a number"),
    };
    match parsed.filter(|number| number.is_finite()) {
        Some(number) => Some(number),
        None => reader.mistyped(&value, "a finite number"),
    }
}

/// A share: above 0, at most 1.
pub(super) fn share<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<f64> {
    let span = value.span();
    let share = number(reader, value)?;
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    let help = match share > 1.0 && share <= 100.0 {
        true => format!("write {} for {share} %", share / 100.0),
        false => "write a share above 0 and at most 1".into(),
    };
    reader.report_help(span, format!("{share} is not a share of one"), help);
    None
}

/// A duration that is not negative: `"10s"`.
pub(super) fn duration<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let span = value.span();
    let text = duration_text(reader, value)?;
    match parse_duration(&text) {
        Ok(duration) => Some(duration),
        Err(why) => {
            reader.report_help(span, why, DURATION_HELP);
            None
        }
    }
}

/// A duration of microseconds, `"50us"`, or of whole milliseconds.
pub(super) fn micros<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Duration> {
    let micros = value.get_ref().as_str().and_then(|text| text.trim().strip_suffix("us"));
    match micros.and_then(|number| number.trim_end().parse().ok()) {
        Some(micros) => Some(Duration::from_micros(micros)),
        None => duration(reader, value),
    }
}

/// A duration that may be negative, in milliseconds: `"-5ms"`.
pub(super) fn signed_ms<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<f64> {
    let span = value.span();
    let text = duration_text(reader, value)?;
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(&text)),
    };
    match parse_duration(magnitude) {
        Ok(duration) => Some(sign * duration.as_secs_f64() * 1_000.0),
        Err(why) => {
            reader.report_help(span, why, DURATION_HELP);
            None
        }
    }
}

const DURATION_HELP: &str =
    "write \"10s\", \"1h30m\" or \"500ms\"; the units are ms, s, m, h, d, w";

fn duration_text<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    if let Some(number) = value.get_ref().as_integer() {
        let message = format!("a duration needs a unit: write \"{number}s\"");
        reader.report(value.span(), message);
        return None;
    }
    string(reader, value)
}

/// A duration as people write it: numbers with units, the larger units first.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 6] = [
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let wrong = || format!("`{text}` is not a duration");
    let (mut rest, mut total, mut last) = (text.trim(), 0_u64, u64::MAX);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let (number, tail) = rest.split_at(digits.ok_or_else(wrong)?);
        let letters = tail.find(|c: char| c.is_ascii_digit());
        let (unit, tail) = tail.split_at(letters.unwrap_or(tail.len()));
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
        let (_, ms) = unit.filter(|(_, ms)| *ms < last).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = number.checked_mul(*ms).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        (rest, last) = (tail, *ms);
    }
    Ok(Duration::from_millis(total))
}

/// An IPv4 address; an IPv6 one is told where it belongs.
pub(super) fn ipv4<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Ipv4Addr> {
    match address(reader, value)? {
        (_, IpAddr::V4(address)) => Some(address),
        (span, IpAddr::V6(address)) => {
            reader.report_help(
                span,
                format!("{address} is an IPv6 address"),
                format!("write `ipv6 = \"{address}\"`"),
            );
            None
        }
    }
}

/// An IPv6 address; an IPv4 one is told where it belongs.
pub(super) fn ipv6<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<Ipv6Addr> {
    match address(reader, value)? {
        (_, IpAddr::V6(address)) => Some(address),
        (span, IpAddr::V4(address)) => {
            reader.report_help(
                span,
                format!("{address} is an IPv4 address"),
                format!("write `ipv4 = \"{address}\"`"),
            );
            None
        }
    }
}

fn address<'i>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
) -> Option<(std::ops::Range<usize>, IpAddr)> {
    let span = value.span();
    let address = parsed(reader, value, "an IP address")?;
    Some((span, address))
}

/// An address and a port to listen on.
pub(super) fn socket<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<SocketAddr> {
    parsed(reader, value, "an address with a port, such as \"127.0.0.1:5300\" or \"[::1]:5300\"")
}

/// A network, or a single address.
pub(super) fn network<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<IpNet> {
    let span = value.span();
    let text = string(reader, value)?;
    match parse_network(&text) {
        Ok(network) => Some(network),
        Err(why) => {
            reader.report(span, why);
            None
        }
    }
}

/// A network as written, or why it is none. Host bits are a slip: the operator meant another
/// network, or another length.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(IpNet::from(address));
    }
    let network = IpNet::from_str(text)
        .map_err(|_| format!("`{text}` is not a network; write an address, `/` and a length"))?;
    match network.trunc() == network {
        true => Ok(network),
        false => Err(format!(
            "`{text}` has bits beyond its length; the network is `{}`",
            network.trunc()
        )),
    }
}

fn parsed<'i, T: FromStr>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
    wanted: &str,
) -> Option<T> {
    let span = value.span();
    let text = string(reader, value)?;
    match text.parse() {
        Ok(parsed) => Some(parsed),
        Err(_) => {
            reader.report(span, format!("`{text}` is not {wanted}"));
            None
        }
    }
}

/// `[latitude, longitude]` in degrees.
pub(super) fn coordinates<'i>(
    reader: &mut Reader<'i, '_>,
    value: Value<'i>,
) -> Option<Coordinates> {
    let span = value.span();
    let degrees = reader.list(value, "two numbers", number)?;
    let degrees: Vec<f64> = degrees.into_iter().map(Spanned::into_inner).collect();
    match degrees[..] {
        [lat, lon] if lat.abs() <= 90.0 && lon.abs() <= 180.0 => {
            Some(Coordinates { lat: lat as f32, lon: lon as f32 })
        }
        _ => {
            reader.report_help(
                span,
                "this is not a place on earth",
                "write [latitude, longitude]: -90 to 90 degrees north, -180 to 180 east",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("1m 30s", Some(90_000)),
            ("2w", Some(1_209_600_000)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("30s1m", None),
            ("1s1s", None),
            ("-5s", None),
            ("99999999999999999999w", None),
        ] {
            let read = parse_duration(text).ok().map(|d| d.as_millis());
            assert_eq!(read, ms, "{text}");
        }
    }

    #[test]
    fn a_network_must_not_have_host_bits() {
        assert!(parse_network("192.0.2.0/24").is_ok());
        assert!(parse_network("::1").is_ok());
        assert_eq!(
            parse_network("192.0.2.1/24").unwrap_err(),
            "`192.0.2.1/24` has bits beyond its length; the network is `192.0.2.0/24`"
        );
        assert!(parse_network("192.0.2.0/33").is_err());
    }
}
