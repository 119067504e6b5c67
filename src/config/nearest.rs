//! "Did you mean": the candidate closest to a mistyped word.

/// The candidate nearest to `word`, if it is near enough to be what was meant: at most a third
/// of the longer word's letters differ. A swap of neighbours counts as one.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            let bound = word.len().max(letters.len()) / 3;
            let far = distance(&word, &letters);
            (far <= bound).then_some((far, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap neighbours) that make `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    // Three rows of the usual matrix: a swap looks two rows back.
    let mut two_back: Vec<usize> = vec![0; b.len() + 1];
    let mut back: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = back[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(back[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(two_back[j - 2] + 1);
            }
        }
        two_back = std::mem::replace(&mut back, row);
    }
    back[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        let regions = ["us-east-1", "eu-west-1", "ap-northeast-1"];
        for (typed, meant) in [
            ("eu-wset", Some("eu-west-1")),
            ("US-EAST-1", Some("us-east-1")),
            ("us-east1", Some("us-east-1")),
            ("mars", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, regions), meant, "{typed}");
        }
        assert_eq!(nearest("tll", ["ttl", "tie"]), Some("ttl"));
        assert_eq!(nearest("ab", ["xy"]), None);
    }
}
