//! Names with `*` in them, wherever an operator may mean several things at once: `region:eu-*`,
//! `records = ["gtm.example.com/*"]`.

use globset::{Glob, GlobBuilder, GlobMatcher};
use std::fmt;

/// What names must look like. `*` stands for anything but `/`, `?` for one character, `[ab]` for
/// either, `{a,b}` for either word; a backslash takes the meaning from the next.
#[derive(Clone, Debug)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// The pattern written `text`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| format!("`{text}` is not a pattern: {}", error.kind()))?;
        Ok(Pattern(glob.compile_matcher()))
    }

    /// How the pattern is written that matches `name` alone.
    pub fn literal(name: &str) -> String {
        let mut text = String::with_capacity(name.len());
        for c in name.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.glob().glob()
    }

    /// Whether `name` looks like that.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// Whether it can match but one name.
    pub fn is_plain(&self) -> bool {
        !self.as_str().contains(['*', '?', '[', '{', '\\'])
    }

    /// How many parts it has, and so the names it matches: one more than slashes.
    pub fn parts(&self) -> usize {
        self.as_str().matches('/').count() + 1
    }

    fn glob(&self) -> &Glob {
        self.0.glob()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_but_one_name() {
        for name in ["z.example/*", "z.example/a[b]{c,d}?", "z.example/www", "a\\b"] {
            let pattern = Pattern::parse(&Pattern::literal(name)).unwrap();
            assert!(pattern.matches(name), "{pattern}");
            assert!(!pattern.matches("z.example/p"), "{pattern}");
        }
        assert_eq!(Pattern::literal("z.example/www"), "z.example/www");
    }

    #[test]
    fn a_star_stays_between_slashes() {
        for (pattern, name, is) in [
            ("eu-*", "eu-west-1", true),
            ("*", "eu-west-1", true),
            ("*", "z/p", false),
            ("z.example/*", "z.example/p", true),
            ("z.example/*", "z.example/p/e", false),
            ("*/p/*", "z/p/e", true),
            ("z/*.cdn", "z/a.b.cdn", true),
            (r"z/\*.cdn", "z/a.cdn", false),
            (r"z/\*.cdn", "z/*.cdn", true),
            ("{a,b}-[12]", "b-2", true),
            ("a?c", "a/c", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), is, "{pattern} {name}");
        }
        assert!(Pattern::parse("a[").unwrap_err().starts_with("`a[` is not a pattern: "));
    }
}
