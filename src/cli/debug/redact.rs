//! What must not leave the machine, taken out of what is to be shown to others.
//!
//! Secrets stand in files of their own, which are never read here. This is for what people write
//! into others all the same: a token in a path, a password in a URL, a key in a comment. It errs on
//! the side of taking out too much. Pure.

/// What stands in the place of what was taken out.
const GONE: &str = "[redacted]";

/// Names whose values are nobody's business, in lower case and without `-` and `_`; those that name a
/// file are no secret.
const NAMES: [&str; 8] =
    ["token", "secret", "passw", "apikey", "authorization", "credential", "cookie", "signature"];

/// A run of so many letters and digits is no word.
const RUN: usize = 32;

/// `text` without what looks like a secret. Of what people `wrote` long runs of letters and digits
/// go too; in what the server tells they are hashes.
pub(super) fn redacted(text: &str, wrote: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        if in_key || line.contains("PRIVATE KEY") {
            in_key = !line.contains("-----END");
            out.push_str(GONE);
            out.push('\n');
            continue;
        }
        // Before names, whose value would be taken to end behind the scheme.
        let line = ["Bearer ", "bearer ", "Basic "]
            .iter()
            .fold(line.to_owned(), |line, scheme| after(&line, scheme, word));
        let line = values(&line);
        let line = after(&line, "://", userinfo);
        let line = after(&line, "tradewind_", |rest| run(rest, 16));
        let line = hooks(&line);
        let line = if wrote { runs(&line) } else { line };
        out.push_str(&line);
    }
    out
}

/// Takes out the values of names such as `token`.
fn values(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, behind) = rest.split_at(at + 1);
        out.push_str(before);
        let name = before[..at].trim_end().trim_end_matches(['"', '\'']);
        let begin = name.rfind(|c: char| !(c.is_alphanumeric() || "_-".contains(c)));
        let mut name = name[begin.map_or(0, |at| at + 1)..].to_lowercase();
        name.retain(|c| !matches!(c, '-' | '_'));
        let is_secret = NAMES.iter().any(|secret| name.contains(secret)) && !name.ends_with("file");
        rest = behind;
        if is_secret {
            let space = behind.len() - behind.trim_start_matches([' ', '\t']).len();
            let value = value(&behind[space..]);
            if value > 0 {
                out.push_str(&behind[..space]);
                out.push_str(GONE);
                rest = &behind[space + value..];
            }
        }
    }
    out + rest
}

/// The length of the value that `text` begins with: a string with its quotes, a table, or a word.
fn value(text: &str) -> usize {
    let closing = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => quote,
        Some('{') => '}',
        Some('[') => ']',
        _ => return word(text),
    };
    text[1..].find(closing).map_or(text.trim_end().len(), |at| at + 2)
}

fn word(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || "\"'&,;}])".contains(c)).unwrap_or(text.len())
}

/// The length of `user:password` in front of an `@`.
fn userinfo(text: &str) -> usize {
    let host = text.find(|c: char| c.is_whitespace() || "/\"'".contains(c)).unwrap_or(text.len());
    text[..host].rfind('@').unwrap_or(0)
}

fn run(text: &str, least: usize) -> usize {
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || "+/_=-".contains(c));
    let length = text.find(is_end).unwrap_or(text.len());
    if length >= least { length } else { 0 }
}

/// Takes out what follows each `mark`, as much as `length` says.
fn after(line: &str, mark: &str, length: impl Fn(&str) -> usize) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(mark) {
        let (before, behind) = rest.split_at(at + mark.len());
        out.push_str(before);
        let gone = length(behind);
        if gone > 0 {
            out.push_str(GONE);
        }
        rest = &behind[gone..];
    }
    out + rest
}

/// Takes out the paths and queries of URLs, wherever they stand: whoever knows those of a chat's hook
/// may write there.
fn hooks(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        let end = behind.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c));
        let (url, after) = behind.split_at(end.unwrap_or(behind.len()));
        let host = url.find(['/', '?', '#']).unwrap_or(url.len());
        out.push_str(&url[..host]);
        if url.len() > host + 1 {
            out.push_str(&url[host..=host]);
            out.push_str(GONE);
        } else {
            out.push_str(&url[host..]);
        }
        rest = after;
    }
    out + rest
}

/// Takes out runs of letters and digits that are too long for words, but for paths.
fn runs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+=_".contains(c);
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(length);
        let has = |is: fn(&char) -> bool| part.chars().any(|c| is(&c));
        let is_word =
            part.len() < RUN || !has(char::is_ascii_digit) || !has(char::is_ascii_alphabetic);
        out.push_str(if is_word { part } else { GONE });
        let other = behind.find(is_part).unwrap_or(behind.len());
        out.push_str(&behind[..other]);
        rest = &behind[other..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_goes_and_what_names_a_file_stays() {
        for (line, expected) in [
            ("token_file = \"secrets/web.token\"", "token_file = \"secrets/web.token\""),
            ("token = \"abc\" # x", "token = [redacted] # x"),
            ("path = \"/healthz?token=abc&x=1\"", "path = \"/healthz?token=[redacted]&x=1\""),
            ("# password: hunter2", "# password: [redacted]"),
            ("# Authorization: Bearer abc", "# Authorization: [redacted] [redacted]"),
            (
                "headers = { Authorization = \"Basic eA==\" }",
                "headers = { Authorization = [redacted] }",
            ),
            ("probe https://ana:pw@a.example/x", "probe https://[redacted]@a.example/[redacted]"),
            ("{\"api_key\":\"k\",\"n\":1}", "{\"api_key\":[redacted],\"n\":1}"),
            ("headers = { X-Api-Key = \"k\" }", "headers = { X-Api-Key = [redacted] }"),
            ("api-key: k", "api-key: [redacted]"),
            ("sent Bearer abc.def, twice", "sent Bearer [redacted], twice"),
            ("www 30 IN A 192.0.2.1", "www 30 IN A 192.0.2.1"),
            ("a tradewind_0123456789abcdef0123 b", "a tradewind_[redacted] b"),
        ] {
            assert_eq!(redacted(line, false), expected);
        }
        let hash = "3f".repeat(32);
        assert_eq!(redacted(&hash, false), hash);
        assert_eq!(redacted(&hash, true), GONE);
        for (line, expected) in [
            (
                "url = \"https://hooks.example/services/T0/B0/x\"\n",
                "url = \"https://hooks.example/[redacted]\"\n",
            ),
            (
                "hooks = [{ url = \"https://a.example/T0\", on = [\"x\"] }, { url = 'http://b.example?k=1' }]",
                "hooks = [{ url = \"https://a.example/[redacted]\", on = [\"x\"] }, { url = 'http://b.example?[redacted]' }]",
            ),
            (
                "check = { http = { url = \"http://127.0.0.1:9/q?sum(x)\", least = 1 } } # see https://c.example/",
                "check = { http = { url = \"http://127.0.0.1:9/[redacted]\", least = 1 } } # see https://c.example/",
            ),
            ("admin = \"https://ns2.example:8053\"", "admin = \"https://ns2.example:8053\""),
        ] {
            assert_eq!(redacted(line, true), expected);
        }
        let key = "a\n-----BEGIN PRIVATE KEY-----\nMIIx\n-----END PRIVATE KEY-----\nb\n";
        let said = redacted(key, true);
        assert!(
            !said.contains("MIIx") && said.starts_with("a\n") && said.ends_with("b\n"),
            "{said}"
        );
    }
}
