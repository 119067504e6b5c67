//! What the zone file would have to say for the files to say what is served: the lines to change.

use crate::{
    config::{
        Problems, Spanned,
        policy::{MemberDef, MemberTarget},
        zone,
    },
    control::hand::weights::with_share,
    units::{Share, Weight},
};
use std::{ops::Range, path::Path, sync::Arc};

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The file, relative to the operator's folder.
    pub file: String,
    /// The number of the first line that changes, from 1.
    pub line: usize,
    /// The lines as they are.
    pub before: Vec<String>,
    /// The lines as they are to be.
    pub after: Vec<String>,
}

/// The change of `file`, a zone's `text`, that gives `member` of `record` (`zone/record`) its
/// `share`; nothing where the record does not stand in this file.
pub fn patch(file: &str, text: &str, record: &str, member: &str, share: Share) -> Option<Patch> {
    let path: Arc<Path> = Path::new(file).into();
    let read = zone::read(&path, text, &mut Problems::default())?;
    let apex = read.zone.as_ref()?.get_ref().trim_end_matches('.').to_owned();
    let is_meant = |name: &str| format!("{apex}/{name}").eq_ignore_ascii_case(record);
    let def = read.records.iter().find(|def| is_meant(def.name.get_ref()))?;
    let members = def.body.as_ref()?.members.as_ref()?.get_ref();
    let own = members.iter().position(|def| name(def).is_some_and(|name| name == member))?;
    let written = |def: &MemberDef| def.weight.as_ref().map_or(Weight::ONE, |w| *w.get_ref());
    let weights: Vec<Weight> = members.iter().map(written).collect();
    let wanted = with_share(&weights, own, share);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (def, weight) in members.iter().zip(wanted) {
        if weight != written(def) {
            edits.push(edit(def, weight, text)?);
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    let (first, last) = (edits.first()?.0.start, edits.last()?.0.end);
    let begin = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let end = text[last..].find('\n').map_or(text.len(), |at| last + at);
    let mut after = text[begin..end].to_owned();
    for (span, new) in edits.iter().rev() {
        after.replace_range(span.start - begin..span.end - begin, new);
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    Some(Patch {
        file: file.to_owned(),
        line: text[..begin].matches('\n').count() + 1,
        before: lines(&text[begin..end]),
        after: lines(&after),
    })
}

fn name(def: &MemberDef) -> Option<String> {
    let named = |name: &Spanned<String>| Some(name.get_ref().clone());
    match &def.target {
        MemberTarget::Either(name) | MemberTarget::Pool(name) | MemberTarget::Policy(name) => {
            named(name)
        }
        MemberTarget::Inline(endpoint) => endpoint.name.as_ref().and_then(named),
    }
}

fn edit(def: &MemberDef, weight: Weight, text: &str) -> Option<(Range<usize>, String)> {
    if let Some(written) = &def.weight {
        return Some((written.span(), weight.get().to_string()));
    }
    let own = text.get(def.span.clone())?;
    let new = match own.strip_suffix('}') {
        Some(open) => format!("{}, weight = {} }}", open.trim_end(), weight.get()),
        None => format!("{{ pool = {own}, weight = {} }}", weight.get()),
    };
    Some((def.span.clone(), new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(members: &str, percent: f64) -> Option<(usize, String)> {
        let text = format!(
            "zone = \"g.example\"\nns = [\"ns\"]\n[records.www]\npolicy = \"weighted\"\n\
             members = {members}   # the split\nsticky = \"client\"\n"
        );
        let share = Share::from_fraction(percent / 100.0);
        let patch = patch("zones/g.toml", &text, "g.example/www", "canary", share)?;
        let before = patch.before.join("\n");
        assert!(text.contains(&before), "{before}");
        let whole = text.replace(&before, &patch.after.join("\n"));
        assert!(zone::read(&Path::new("z").into(), &whole, &mut Problems::default()).is_some());
        Some((patch.line, patch.after.join("\n")))
    }

    #[test]
    fn the_lines_to_change_are_named_and_nothing_else_of_them_changes() {
        const TWO: &str = "[{ pool = \"stable\", weight = 90 }, { pool = \"canary\", weight = 10, absorb = false }]";
        for (members, percent, wanted) in [
            (
                TWO,
                50.0,
                "members = [{ pool = \"stable\", weight = 1 }, { pool = \"canary\", weight = 1, absorb = false }]   # the split",
            ),
            (
                TWO,
                100.0,
                "members = [{ pool = \"stable\", weight = 0 }, { pool = \"canary\", weight = 1, absorb = false }]   # the split",
            ),
            (
                TWO,
                0.0,
                "members = [{ pool = \"stable\", weight = 90 }, { pool = \"canary\", weight = 0, absorb = false }]   # the split",
            ),
            (
                "[\"stable\", { pool = \"canary\" }]",
                20.0,
                "members = [{ pool = \"stable\", weight = 4 }, { pool = \"canary\" }]   # the split",
            ),
            (
                "[\n  { pool = \"canary\", weight = 10, absorb = false },\n  { pool = \"stable\", weight = 90 },\n]",
                0.0,
                "  { pool = \"canary\", weight = 0, absorb = false },",
            ),
        ] {
            let (line, after) = patched(members, percent).unwrap();
            assert_eq!(after, wanted, "{percent}");
            assert_eq!(line, if members.starts_with("[\n") { 6 } else { 5 });
        }
        assert_eq!(patched(TWO, 10.0), Some((5, "members = [{ pool = \"stable\", weight = 9 }, { pool = \"canary\", weight = 1, absorb = false }]   # the split".to_owned())));
    }
}
