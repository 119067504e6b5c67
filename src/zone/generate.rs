//! `$GENERATE`, BIND's way to write many similar records as one line.
//!
//! A line `$GENERATE 1-3 host-$ A 192.0.2.$` stands for three entries. This file turns the range
//! and the template into text; [`super::file`] reads that text as if it had been written.

use std::fmt::Write as _;

/// The most entries of one directive; a /16 of reverse names.
pub(super) const RECORDS_MAX: u64 = 65_536;

/// The widest padding: no label or number of ours is longer.
const WIDTH_MAX: usize = 255;

/// Why a `$GENERATE` makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadGenerate {
    #[error("`{0}` is not a range such as `1-10` or `0-100/2`")]
    Range(String),
    #[error("the range `{0}` makes more than {RECORDS_MAX} records")]
    TooMany(String),
    #[error("`${{{0}}}` is not `${{OFFSET,WIDTH,BASE}}` with a base of d, o, x, X, n or N")]
    Modifier(String),
    #[error("`{0}` plus its offset is below zero")]
    Negative(u32),
}

/// The numbers a directive counts through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// Reads `START-STOP` or `START-STOP/STEP`.
    pub(super) fn parse(text: &str) -> Result<Self, BadGenerate> {
        let bad = || BadGenerate::Range(text.into());
        let (bounds, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = bounds.split_once('-').ok_or_else(bad)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| bad());
        let (start, stop, step) = (number(start)?, number(stop)?, number(step)?);
        if start > stop || step == 0 {
            return Err(bad());
        }
        let range = Range { start, stop, step };
        if range.count() > RECORDS_MAX {
            return Err(BadGenerate::TooMany(text.into()));
        }
        Ok(range)
    }

    /// How many numbers there are.
    pub(super) fn count(self) -> u64 {
        u64::from(self.stop - self.start) / u64::from(self.step) + 1
    }

    /// The numbers, lowest first.
    pub(super) fn numbers(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

/// A line with places for the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(Format),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    offset: i64,
    width: usize,
    base: char,
}

impl Template {
    /// Reads a template: `$` and `${…}` are places, `$$` and `\$` a plain dollar.
    pub(super) fn parse(text: &str) -> Result<Self, BadGenerate> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            match (char, rest.as_str().chars().next()) {
                ('$' | '\\', Some('$')) => {
                    rest.next();
                    plain.push('$');
                }
                ('\\', Some(escaped)) => {
                    rest.next();
                    plain.extend([char, escaped]);
                }
                ('$', next) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    let format = if next == Some('{') {
                        let inside = &rest.as_str()[1..];
                        let bad = || BadGenerate::Modifier(inside.chars().take(20).collect());
                        let (inside, behind) = inside.split_once('}').ok_or_else(bad)?;
                        rest = behind.chars();
                        Format::parse(inside)?
                    } else {
                        Format::PLAIN
                    };
                    pieces.push(Piece::Number(format));
                }
                _ => plain.push(char),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Template(pieces))
    }

    /// The line for `number`.
    pub(super) fn fill(&self, number: u32, line: &mut String) -> Result<(), BadGenerate> {
        line.clear();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Number(format) => format.write(number, line)?,
            }
        }
        Ok(())
    }
}

impl Format {
    const PLAIN: Format = Format { offset: 0, width: 0, base: 'd' };

    fn parse(text: &str) -> Result<Self, BadGenerate> {
        let bad = || BadGenerate::Modifier(text.into());
        let mut parts = text.split(',').map(str::trim);
        let offset = parts.next().unwrap_or_default();
        let offset: i32 = offset.parse().map_err(|_| bad())?;
        let width = parts.next().map_or(Ok(0), str::parse).map_err(|_| bad())?;
        let base = parts.next().map_or(Ok('d'), str::parse).map_err(|_| bad())?;
        let known = matches!(base, 'd' | 'o' | 'x' | 'X' | 'n' | 'N');
        if parts.next().is_some() || !known || width > WIDTH_MAX {
            return Err(bad());
        }
        Ok(Format { offset: offset.into(), width, base })
    }

    fn write(self, number: u32, line: &mut String) -> Result<(), BadGenerate> {
        let value = u64::try_from(i64::from(number) + self.offset);
        let value = value.map_err(|_| BadGenerate::Negative(number))?;
        let width = self.width;
        let written = match self.base {
            'o' => write!(line, "{value:0width$o}"),
            'x' => write!(line, "{value:0width$x}"),
            'X' => write!(line, "{value:0width$X}"),
            'n' | 'N' => {
                push_nibbles(value, width, self.base == 'N', line);
                Ok(())
            }
            _ => write!(line, "{value:0width$}"),
        };
        written.expect("writing to a String cannot fail");
        Ok(())
    }
}

/// Hexadecimal digits from the lowest, a dot between them, as `ip6.arpa` has them; dots count
/// towards the width, as in BIND.
fn push_nibbles(mut value: u64, mut width: usize, upper: bool, line: &mut String) {
    loop {
        let digit = char::from_digit((value & 15) as u32, 16).expect("a nibble is a digit");
        line.push(if upper { digit.to_ascii_uppercase() } else { digit });
        value >>= 4;
        width = width.saturating_sub(1);
        if value == 0 && width == 0 {
            return;
        }
        line.push('.');
        width = width.saturating_sub(1);
        if value == 0 && width == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, number: u32) -> String {
        let mut line = String::new();
        let filled = Template::parse(template).and_then(|t| t.fill(number, &mut line));
        filled.map_or_else(|error| error.to_string(), |()| line)
    }

    #[test]
    fn ranges_count_by_their_step_and_are_bounded() {
        let numbers = |text| Range::parse(text).map(|r| r.numbers().collect::<Vec<_>>());
        assert_eq!(numbers("0-7/3"), Ok(vec![0, 3, 6]));
        assert_eq!(numbers("5-5"), Ok(vec![5]));
        for bad in ["5-4", "1-2/0", "x-2", "12", "-1-2"] {
            assert_eq!(numbers(bad), Err(BadGenerate::Range(bad.into())));
        }
        assert_eq!(numbers("0-65535").map(|n| n.len()), Ok(65_536));
        assert!(matches!(numbers("0-65536"), Err(BadGenerate::TooMany(_))));
        assert_eq!(numbers("0-4294967295/65536").map(|n| n.len()), Ok(65_536));
    }

    #[test]
    fn dollars_become_numbers_unless_escaped() {
        assert_eq!(fill("host-$ A 192.0.2.$", 7), "host-7 A 192.0.2.7");
        assert_eq!(fill(r"a$$b\$c\.d$", 7), r"a$b$c\.d7");
    }

    #[test]
    fn modifiers_shift_pad_and_change_base() {
        assert_eq!(fill("${3,4}", 7), "0010");
        assert_eq!(fill("${-7,0,x}|${248,0,X}|${0,3,o}", 7), "0|FF|007");
        assert_eq!(fill("${0,4,n}.x", 0x1a), "a.1..x");
        assert_eq!(fill("${0,3,n}.x", 0x1a), "a.1.x");
        assert_eq!(fill("${-8}", 7), "`7` plus its offset is below zero");
        assert!(fill("${1,2,q}", 7).contains("1,2,q"));
        assert!(fill("a${1", 7).contains("is not"));
    }
}
