//! Places on Earth: `52 22 23.000 N 4 53 32.000 E -2.00m 1.00m 10000.00m 10.00m` (RFC 1876).

use super::Refusal;
use super::read::{Words, digits, not};
use super::write::Writing;
use crate::zone::text::Token;

/// The only version there is (RFC 1876 §2).
const VERSION: u8 = 0;
/// The equator and the prime meridian.
const MIDDLE: u32 = 1 << 31;
/// Thousandths of a second of arc in a degree.
const DEGREE: u32 = 3_600_000;
/// Altitudes begin 100,000 m below the ellipsoid; in centimetres.
const GROUND: i64 = 10_000_000;
/// What stands for sizes that are not written: 1 m, 10,000 m and 10 m (RFC 1876 §3).
const SIZES: [u8; 3] = [0x12, 0x16, 0x13];
/// The largest size, in centimetres: nine followed by nine zeros.
const SIZE_MAX: u64 = 9_000_000_000;

pub(super) fn read(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Refusal> {
    let latitude = angle(words, 90, ["N", "S"])?;
    let longitude = angle(words, 180, ["E", "W"])?;
    let altitude = words.parsed(altitude, "an altitude in metres")?;
    let mut sizes = SIZES;
    for size in &mut sizes {
        if words.peek().is_some() {
            *size = words.parsed(size_octet, "a size in metres up to 90000000m")?;
        }
    }
    wire.push(VERSION);
    wire.extend(sizes);
    for number in [latitude, longitude, altitude] {
        wire.extend(number.to_be_bytes());
    }
    Ok(())
}

/// Degrees, minutes and seconds, the latter two at will, then one of two directions.
fn angle(
    words: &mut Words<'_>,
    most_degrees: u32,
    [plus, minus]: [&str; 2],
) -> Result<u32, Refusal> {
    let units = [(DEGREE, 0, u64::from(most_degrees)), (60_000, 0, 59), (1, 3, 59_999)];
    let mut total = 0;
    for (unit, decimals, most) in units {
        let token = words.next()?;
        if unit != DEGREE && [plus, minus].iter().any(|word| token.text.eq_ignore_ascii_case(word))
        {
            return direction(token, total, most_degrees, [plus, minus]);
        }
        let value = fixed(token.text, decimals).filter(|value| *value <= most);
        // At the most 180 degrees, 59 minutes and 60 seconds: far below 2³².
        total += unit * value.ok_or_else(|| not(token, "part of an angle"))? as u32;
    }
    direction(words.next()?, total, most_degrees, [plus, minus])
}

/// The angle of `total` in the direction that `token` says.
fn direction(
    token: Token<'_>,
    total: u32,
    most_degrees: u32,
    [plus, minus]: [&str; 2],
) -> Result<u32, Refusal> {
    let is_on_earth = total <= most_degrees * DEGREE;
    if is_on_earth && token.text.eq_ignore_ascii_case(plus) {
        return Ok(MIDDLE + total);
    }
    if is_on_earth && token.text.eq_ignore_ascii_case(minus) {
        return Ok(MIDDLE - total);
    }
    Err(not(token, &format!("`{plus}` or `{minus}` behind an angle up to {most_degrees}°")))
}

/// A decimal number with up to so many decimals, in units of the last of them.
fn fixed(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > decimals || whole.is_empty() {
        return None;
    }
    digits(&format!("{whole}{fraction:0<decimals$}"))
}

/// Metres in centimetres, the unit at will.
fn centimetres(text: &str) -> Option<u64> {
    fixed(text.strip_suffix(['m', 'M']).unwrap_or(text), 2)
}

fn altitude(text: &str) -> Option<u32> {
    let altitude = match text.strip_prefix('-') {
        Some(depth) => -i64::try_from(centimetres(depth)?).ok()?,
        None => i64::try_from(centimetres(text.strip_prefix('+').unwrap_or(text))?).ok()?,
    };
    u32::try_from(altitude.checked_add(GROUND)?).ok()
}

/// A size as a digit and a power of ten, both in one octet; further digits are lost.
fn size_octet(text: &str) -> Option<u8> {
    let mut digit = centimetres(text).filter(|size| *size <= SIZE_MAX)?;
    let mut exponent = 0;
    while digit > 9 {
        digit /= 10;
        exponent += 1;
    }
    Some((digit as u8) << 4 | exponent)
}

pub(super) fn write(writing: &mut Writing<'_>) -> Option<()> {
    if writing.u8()? != VERSION {
        // What another version means only its RFC will know.
        writing.skip_unknown();
        return Some(());
    }
    let sizes: [u8; 3] = writing.array()?;
    write_angle(writing, 90, ["N", "S"])?;
    write_angle(writing, 180, ["E", "W"])?;
    let altitude = i64::from(writing.u32()?) - GROUND;
    let (sign, depth) = (if altitude < 0 { "-" } else { "" }, altitude.unsigned_abs());
    writing.word(format_args!("{sign}{}.{:02}m", depth / 100, depth % 100))?;
    for size in sizes {
        let (digit, exponent) = (u64::from(size >> 4), u32::from(size & 0xf));
        let is_size = digit <= 9 && exponent <= 9 && (digit > 0 || exponent == 0);
        is_size.then_some(())?;
        let size = digit * 10u64.pow(exponent);
        writing.word(format_args!("{}.{:02}m", size / 100, size % 100))?;
    }
    Some(())
}

fn write_angle(writing: &mut Writing<'_>, most: u32, [plus, minus]: [&str; 2]) -> Option<()> {
    let written = writing.u32()?;
    let total = written.abs_diff(MIDDLE);
    (total <= most * DEGREE).then_some(())?;
    let (minutes, rest) = (total / 60_000, total % 60_000);
    let (degrees, minutes, direction) =
        (minutes / 60, minutes % 60, if written < MIDDLE { minus } else { plus });
    let (seconds, thousandths) = (rest / 1_000, rest % 1_000);
    writing.word(format_args!("{degrees} {minutes} {seconds}.{thousandths:03} {direction}"))
}
