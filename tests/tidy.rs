//! The code's own rules, held by reading it: rooms in layer order, `unsafe` in its three files, a
//! header on every module, no dead file, no half-thing, one reader of the clock.
//!
//! Sources are read with comments and literals blanked out ([`blank`]), then as plain tokens
//! ([`Tokens`]); that is enough for paths and `mod`, and needs no parser. The rules hold for
//! `#[cfg(test)]` code too: a test that reaches upwards shows that something stands too high.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Every room and the rooms it stands on; what those stand on it may use as well. The picture is
/// in ARCHITECTURE.md.
const ROOMS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("ids", &[]),
    ("clock", &[]),
    ("spread", &[]),
    ("pages", &[]),
    ("prefetch", &[]),
    ("chunked", &[]),
    ("wire", &["units", "ids", "clock"]),
    ("zone", &["wire", "pages", "prefetch"]),
    ("place", &["zone", "spread"]),
    ("verdict", &["zone"]),
    ("checkplan", &["zone"]),
    ("policy", &["place", "verdict", "checkplan"]),
    ("grant", &["checkplan"]),
    ("guard", &["zone"]),
    ("snapshot", &["policy", "guard"]),
    ("steering", &["snapshot"]),
    ("world", &["steering", "chunked"]),
    ("forecast", &["world"]),
    ("telemetry", &["units", "ids", "clock"]),
    ("engine", &["world", "telemetry"]),
    ("transport", &["engine"]),
    ("dns", &["units", "ids", "clock"]),
    ("config", &["units", "ids", "clock", "spread"]),
    ("compile", &["config", "snapshot", "grant"]),
    ("failover", &["policy"]),
    ("control", &["forecast", "failover", "compile", "telemetry"]),
    ("health", &["control"]),
    ("measure", &["health"]),
    ("rollout", &["measure"]),
    ("flatten", &["control", "engine", "dns"]),
    ("drill", &["measure", "engine", "dns"]),
    ("admin", &["health", "engine", "drill", "rollout"]),
    ("cli", &["admin", "dns"]),
    ("hooks", &["admin"]),
    ("querylog", &["config", "place", "telemetry"]),
    ("daemon", &["admin", "cli", "flatten", "hooks", "querylog", "transport"]),
];

/// The only files that may say `unsafe`.
const UNSAFE_FILES: [&str; 3] = ["src/transport/udp/sys.rs", "src/pages.rs", "src/prefetch.rs"];
/// The only file that may read the machine's clocks.
const CLOCK_FILE: &str = "src/clock.rs";
/// What every packet goes through: logs nothing, neither a client's address nor anything else.
const SILENT: [&str; 9] = [
    "src/wire/",
    "src/guard/",
    "src/engine/",
    "src/transport/proxy.rs",
    "src/transport/udp/batch.rs",
    "src/transport/udp/sys.rs",
    "src/transport/tcp/conversation.rs",
    "src/transport/tcp/seats.rs",
    "src/daemon/answerer.rs",
];
/// Words for work left undone, in two parts so that this file does not hold them.
const UNDONE: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// One source file, by its path from the package's root.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn tokens(&self) -> Vec<String> {
        tokens(&blank(&self.text))
    }

    /// The modules around its code: `["policy", "geo"]` for `src/policy/geo.rs`.
    fn module(&self) -> Vec<&str> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut module: Vec<_> = inside.trim_end_matches(".rs").split('/').collect();
        if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
            module.pop();
        }
        module
    }
}

/// All `.rs` files under `folders`, but those of a crate of its own.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() && !path.join("Cargo.toml").exists() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: name, text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// `text` with comments, strings and character literals replaced by spaces, lines kept.
fn blank(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let word_before = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let hidden = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !word_before => prefixed_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        let taken = hidden.max(first.len_utf8());
        for c in rest[..taken].chars() {
            out.push(if hidden == 0 || c == '\n' { c } else { ' ' });
        }
        rest = &rest[taken..];
    }
    out
}

/// The length of the block comment `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    text.len()
}

/// The length of the quoted text `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = true; // The opening quote ends nothing.
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of `r#"…"#`, `b"…"`, `br"…"` or `c"…"`; 0 when `text` begins otherwise.
fn prefixed_string(text: &str) -> usize {
    let prefix = text.len() - text.trim_start_matches(['r', 'b', 'c']).len();
    let hashes = text[prefix..].len() - text[prefix..].trim_start_matches('#').len();
    let open = prefix + hashes;
    if prefix > 2 || !text[open..].starts_with('"') {
        return 0;
    }
    if !text[..prefix].contains('r') {
        return open + string(&text[open..]);
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let length = text[open + 1..].find(&close).map(|at| at + close.len());
    length.map_or(text.len(), |length| open + 1 + length)
}

/// The length of the character literal `text` begins with; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), _) => text[3..].find('\'').map_or(0, |at| at + 4),
        (_, Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        out.push(rest[..taken].to_owned());
        rest = rest[taken..].trim_start();
    }
    out
}

/// The rooms `source` names: after `crate::`, in `crate::{…}`, and by `super::` up to the top.
fn rooms_used(source: &Source) -> BTreeSet<String> {
    let tokens = source.tokens();
    let at = |i: usize| tokens.get(i).map_or("", String::as_str);
    let mut used = BTreeSet::new();
    // The inline modules that the braces around us opened.
    let (mut braces, mut depth) = (Vec::new(), source.module().len());
    for i in 0..tokens.len() {
        match at(i) {
            "{" => {
                let opens_module = i >= 2 && at(i - 2) == "mod";
                depth += usize::from(opens_module);
                braces.push(opens_module);
            }
            "}" => depth -= usize::from(braces.pop() == Some(true)),
            "crate" if at(i + 1) == "::" => used.extend(heads(&tokens[i + 2..])),
            "super" if i == 0 || at(i - 1) != "::" => {
                let mut ups = 1;
                while at(i + 2 * ups) == "super" && at(i + 2 * ups - 1) == "::" {
                    ups += 1;
                }
                if ups >= depth {
                    used.extend(heads(&tokens[i + 2 * ups..]));
                }
            }
            _ => {}
        }
    }
    used
}

/// The first names of a path or of each branch of a `{…}` group.
fn heads(path: &[String]) -> Vec<String> {
    if path.first().is_none_or(|first| first != "{") {
        return path.first().cloned().into_iter().collect();
    }
    let (mut heads, mut depth) = (Vec::new(), 0);
    for pair in path.windows(2) {
        match pair[0].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        let begins = matches!(pair[0].as_str(), "{" | ",") && depth == 1;
        if begins && pair[1] != "}" {
            heads.push(pair[1].clone());
        }
    }
    heads
}

/// Every room with all it may use.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut allowed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (room, below) in ROOMS {
        let mut all = BTreeSet::from([*room]);
        for lower in *below {
            let known = allowed.get(lower);
            all.extend(known.unwrap_or_else(|| panic!("{lower} stands after {room} in ROOMS")));
        }
        allowed.insert(*room, all);
    }
    allowed
}

fn layer_faults(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(room) = module.first() else {
        return Vec::new(); // lib.rs and main.rs stand above all rooms.
    };
    let allowed = allowed();
    let Some(below) = allowed.get(room) else {
        return vec![format!("{}: room `{room}` is not in ROOMS", source.path)];
    };
    rooms_used(source)
        .into_iter()
        .filter(|used| allowed.contains_key(used.as_str()) && !below.contains(used.as_str()))
        .map(|used| {
            format!("{}: `{room}` uses `{used}`, which does not stand below it", source.path)
        })
        .collect()
}

fn unsafe_faults(source: &Source) -> Vec<String> {
    let says = source.tokens().iter().any(|token| token == "unsafe");
    fault(says && !UNSAFE_FILES.contains(&&*source.path), source, "says unsafe")
}

/// Tokio's `Instant` is let pass: its clock is the runtime's, which a test can hold still.
fn clock_faults(source: &Source) -> Vec<String> {
    let tokens = source.tokens();
    let is_said = |path: &[&str]| tokens.windows(path.len()).any(|seen| seen == path);
    let tokio = (4..=tokens.len()).any(|i| {
        let is_theirs = tokens[i - 4..i] == ["tokio", "::", "time", "::"];
        is_theirs && heads(&tokens[i..]).iter().any(|head| head == "Instant")
    });
    let reads = is_said(&["SystemTime", "::", "now"])
        || is_said(&["std", "::", "time", "::", "Instant", "::", "now"])
        || is_said(&["Instant", "::", "now"]) && !tokio;
    fault(reads && source.path != CLOCK_FILE, source, "reads the clock itself")
}

fn log_faults(source: &Source) -> Vec<String> {
    let silent = SILENT.iter().any(|path| source.path.starts_with(path));
    let says = source.tokens().iter().any(|token| token == "tracing");
    fault(silent && says, source, "logs, and every packet goes through it")
}

fn header_faults(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let has = first.strip_prefix("//! ").is_some_and(|text| !text.trim().is_empty());
    fault(!has, source, "does not begin with a //! header")
}

fn undone_faults(source: &Source) -> Vec<String> {
    let tokens = source.tokens();
    let by_macro = tokens
        .windows(2)
        .any(|two| matches!(two[0].as_str(), "todo" | "unimplemented") && two[1] == "!");
    let by_word = UNDONE.iter().any(|word| source.text.contains(word));
    fault(by_macro || by_word, source, "leaves something undone")
}

fn fault(is: bool, source: &Source, what: &str) -> Vec<String> {
    is.then(|| format!("{} {what}", source.path)).into_iter().collect()
}

/// Files that no `mod` leads to from any of `roots`.
fn dead_files(sources: &[Source], roots: &[&str]) -> Vec<String> {
    let by_path: BTreeMap<_, _> = sources.iter().map(|s| (s.path.as_str(), s)).collect();
    let mut left: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = left.pop() {
        let Some(source) = by_path.get(path.as_str()) else {
            continue;
        };
        if reached.insert(path.clone()) {
            left.extend(submodules(source, roots.contains(&path.as_str())));
        }
    }
    let dead = sources.iter().filter(|source| !reached.contains(&source.path));
    dead.map(|source| format!("{} is reached by no `mod`", source.path)).collect()
}

/// Where the modules that `source` declares may lie.
fn submodules(source: &Source, is_root: bool) -> Vec<String> {
    let path = Path::new(&source.path);
    let own_folder = is_root || path.file_name().is_some_and(|name| name == "mod.rs");
    let folder = match own_folder {
        true => path.parent().unwrap().to_path_buf(),
        false => path.with_extension(""),
    };
    let tokens = source.tokens();
    let declared = tokens
        .windows(3)
        .filter(|three| three[0] == "mod" && three[2] == ";")
        .flat_map(|three| [format!("{}.rs", three[1]), format!("{}/mod.rs", three[1])])
        .map(|file| folder.join(file).to_str().unwrap().to_owned());
    let lines = source.text.lines().map(str::trim);
    let by_path = lines.filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    declared.chain(by_path.map(|file| resolve(path.parent().unwrap(), file))).collect()
}

/// `file` as seen from `folder`, with each `..` taken away.
fn resolve(folder: &Path, file: &str) -> String {
    let mut parts: Vec<_> = folder.to_str().unwrap().split('/').collect();
    for part in file.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The files of `folder` that Cargo makes a program of: those in it, and `main.rs` one below.
fn targets<'a>(sources: &'a [Source], folder: &str) -> Vec<&'a str> {
    let folder = Path::new(folder);
    let is_target = |path: &Path| {
        let one_below = path.parent().and_then(Path::parent) == Some(folder);
        path.parent() == Some(folder) || (one_below && path.ends_with("main.rs"))
    };
    let paths = sources.iter().map(|source| source.path.as_str());
    paths.filter(|path| is_target(Path::new(path))).collect()
}

fn assert_tidy(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<_> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn rooms_stand_in_layer_order() {
    assert_tidy(sources(&["src"]).iter().flat_map(layer_faults));
}

#[test]
fn unsafe_stays_in_its_files() {
    assert_tidy(sources(&["src"]).iter().flat_map(unsafe_faults));
}

#[test]
fn one_file_reads_the_clock() {
    assert_tidy(sources(&["src", "tests"]).iter().flat_map(clock_faults));
}

#[test]
fn no_packet_is_logged() {
    let sources = sources(&["src"]);
    for path in SILENT {
        assert!(sources.iter().any(|source| source.path.starts_with(path)), "{path} is gone");
    }
    assert_tidy(sources.iter().flat_map(log_faults));
}

#[test]
fn every_module_has_a_header() {
    assert_tidy(
        sources(&["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"])
            .iter()
            .flat_map(header_faults),
    );
}

#[test]
fn nothing_is_left_undone() {
    assert_tidy(
        sources(&["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"])
            .iter()
            .flat_map(undone_faults),
    );
}

#[test]
fn no_file_is_dead() {
    let sources = sources(&["src", "tests", "benches"]);
    let mut roots = vec!["src/lib.rs", "src/main.rs"];
    roots.extend(targets(&sources, "tests"));
    roots.extend(targets(&sources, "benches"));
    assert_tidy(dead_files(&sources, &roots));
}

mod the_rules_themselves {
    //! Bad samples: a rule that cannot fail holds nothing.

    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn used(path: &str, text: &str) -> Vec<String> {
        rooms_used(&source(path, text)).into_iter().collect()
    }

    #[test]
    fn literals_and_comments_are_blank_and_lifetimes_are_not() {
        for (text, expected) in [
            ("a // crate::x\nb", "a b"),
            ("a /* x /* y */ z */ b", "a b"),
            (r#"a "x \" y" b"#, "a b"),
            ("a r#\"x \" y\"# b", "a b"),
            (r#"a b"x" br"\" c"y" d"#, "a d"),
            (r"a '\'' '{' '\u{1}' b", "a b"),
            ("fn f<'a>(x: &'a str) {}", "fn f < ' a > ( x : & ' a str ) { }"),
            ("for r in bar {}", "for r in bar { }"),
        ] {
            assert_eq!(tokens(&blank(text)).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn rooms_are_found_however_they_are_named() {
        let file = "src/policy/geo.rs";
        assert_eq!(used(file, "use crate::engine::answer;"), ["engine"]);
        assert_eq!(used(file, "fn f() { crate::world::read() }"), ["world"]);
        assert_eq!(
            used(file, "use crate::{cli, place::{map::{A, B}, C}, wire};"),
            ["cli", "place", "wire"]
        );
        assert_eq!(used(file, "//! [`crate::engine`]\nuse std::fmt;"), Vec::<String>::new());
        assert_eq!(used(file, "use super::super::engine::x;"), ["engine"]);
        assert_eq!(used(file, "mod tests { use super::super::super::cli; }"), ["cli"]);
        assert_eq!(used(file, "mod tests { use super::super::weighted; }"), Vec::<String>::new());
        assert_eq!(used("src/verdict.rs", "use super::engine;"), ["engine"]);
        assert_eq!(used("src/verdict.rs", "mod tests { use super::*; }"), Vec::<String>::new());
        assert_eq!(used("src/wire/mod.rs", "use super::{engine, cli::Exit};"), ["cli", "engine"]);
    }

    #[test]
    fn a_room_that_reaches_up_or_aside_is_a_fault() {
        let faults = |path: &str, text: &str| layer_faults(&source(path, text)).len();
        assert_eq!(faults("src/wire/name.rs", "use crate::zone::Names;"), 1);
        assert_eq!(faults("src/place/map.rs", "use crate::verdict::Standing;"), 1);
        assert_eq!(faults("src/config/mod.rs", "#[cfg(test)] mod t { use crate::compile; }"), 1);
        assert_eq!(faults("src/cli/x.rs", "use crate::daemon::serve;"), 1);
        assert_eq!(faults("src/misc.rs", ""), 1);
        assert_eq!(faults("src/engine/mod.rs", "use crate::{wire, telemetry, world};"), 0);
        assert_eq!(faults("src/main.rs", "use crate::daemon;"), 0);
    }

    #[test]
    fn each_other_rule_sees_its_fault() {
        let body = "//! Header.\nfn f() { unsafe { g() } }";
        assert_eq!(unsafe_faults(&source("src/wire/name.rs", body)).len(), 1);
        for file in UNSAFE_FILES {
            assert_eq!(unsafe_faults(&source(file, body)).len(), 0);
        }
        assert_eq!(
            unsafe_faults(&source("src/lib.rs", "#![allow(unsafe_code)] // unsafe")).len(),
            0
        );

        let body = "let t = std::time::Instant::now();";
        assert_eq!(clock_faults(&source("src/health/mod.rs", body)).len(), 1);
        assert_eq!(clock_faults(&source(CLOCK_FILE, body)).len(), 0);
        let body = "use tokio::time::{Instant, timeout}; fn f() { Instant::now(); }";
        assert_eq!(clock_faults(&source("src/transport/tcp.rs", body)).len(), 0);

        let body = "use tracing::warn;";
        assert_eq!(log_faults(&source("src/engine/steer.rs", body)).len(), 1);
        assert_eq!(log_faults(&source("src/transport/tcp/mod.rs", body)).len(), 0);

        assert_eq!(header_faults(&source("a.rs", "use std::fmt;")).len(), 1);
        assert_eq!(header_faults(&source("a.rs", "//! \n")).len(), 1);
        assert_eq!(header_faults(&source("a.rs", "//! What it is for.")).len(), 0);

        assert_eq!(undone_faults(&source("a.rs", "fn f() { todo!() }")).len(), 1);
        assert_eq!(undone_faults(&source("a.rs", "fn f() { unimplemented!(\"x\") }")).len(), 1);
        for word in UNDONE {
            assert_eq!(undone_faults(&source("a.rs", &format!("// {word}: later"))).len(), 1);
        }
        assert_eq!(undone_faults(&source("a.rs", "let todo = 1;")).len(), 0);
    }

    #[test]
    fn a_file_without_a_mod_is_dead() {
        let files = [
            source("src/lib.rs", "pub mod wire;\n// mod dead;"),
            source("tests/x.rs", "#[path = \"../benches/support/y.rs\"]\nmod y;"),
            source("benches/support/y.rs", ""),
            source("src/wire/mod.rs", "mod name;"),
            source("src/wire/name.rs", "#[cfg(test)]\nmod tests;"),
            source("src/wire/name/tests.rs", ""),
            source("src/dead.rs", ""),
            source("src/wire/tests.rs", ""),
        ];
        assert_eq!(
            dead_files(&files, &["src/lib.rs", "tests/x.rs"]),
            ["src/dead.rs is reached by no `mod`", "src/wire/tests.rs is reached by no `mod`"]
        );
    }
}
