//! Finished tables in huge pages: those that are large, read at random and for long.
//!
//! A table of a million names fills 25,000 pages of 4 KiB. The processor remembers where some two
//! thousand are, so that nearly every lookup first finds out where to look; as fifty pages of 2 MiB
//! they all are remembered. Only whole huge pages inside a table are made so: one below 4 MiB may
//! have none, and its edges stay as they are. Must not know what the memory holds.
//!
//! The memory itself is moved, once; how memory is given out is not changed (`MADV_HUGEPAGE` would
//! stay with the addresses, and whatever stands there next would be rounded up to 2 MiB). For each
//! huge page the system may have to make room first, which takes longer where memory is in pieces:
//! a thing for a load, never for an answer.

#![expect(unsafe_code, reason = "madvise; see SAFETY comment")]

use std::{fs, ops::Range, sync::OnceLock};

/// The huge page of x86-64, and of 64-bit ARM where small pages have 4 KiB.
const HUGE: usize = 2 << 20;
/// Linux 6.1; earlier ones refuse it. (The libc crate has it for one C library only.)
const MADV_COLLAPSE: libc::c_int = 25;
/// Where the machine's operator says whether there may be huge pages.
const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Gives back the room that `things` has left over and moves them into huge pages, unless the
/// system has none to give or is told not to.
pub fn settle<T>(things: &mut Vec<T>) {
    things.shrink_to_fit();
    let pages = whole(things.as_ptr_range().start.addr(), size_of_val(&things[..]));
    if !pages.is_empty() && are_allowed() {
        collapse(pages);
    }
}

/// The whole huge pages among `bytes` bytes from `start` on.
fn whole(start: usize, bytes: usize) -> Range<usize> {
    start.next_multiple_of(HUGE)..(start + bytes) / HUGE * HUGE
}

/// Whether the setting is another than `never`, which a collapse would pass over.
fn are_allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| fs::read_to_string(ENABLED).is_ok_and(|set| !set.contains("[never]")))
}

fn collapse(pages: Range<usize>) {
    let start = std::ptr::without_provenance_mut(pages.start);
    // SAFETY: this advice changes neither what memory holds nor who may use it, whatever memory it
    // is given. Where it is refused the pages stay small.
    let _ = unsafe { libc::madvise(start, pages.len(), MADV_COLLAPSE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB in huge pages of the mapping that holds `at`.
    fn huge_kib(at: usize) -> usize {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((from, to)) = range
                && let Ok(from) = usize::from_str_radix(from, 16)
                && let Ok(to) = usize::from_str_radix(to, 16)
            {
                is_here = (from..to).contains(&at);
            } else if is_here && let Some(kib) = line.strip_prefix("AnonHugePages:") {
                return kib.trim().trim_end_matches(" kB").parse().unwrap();
            }
        }
        panic!("no mapping holds {at:x}");
    }

    /// Whether this system collapses what it is asked to, and does not do so unasked.
    fn can_be_seen() -> bool {
        let set = fs::read_to_string(ENABLED).unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut parts = release.split('.').map(|part| part.parse().unwrap_or(0));
        let is_new = (parts.next(), parts.next()) >= (Some(6), Some(1));
        let can = set.contains("[madvise]") && is_new;
        if !can {
            eprintln!("SKIPPED: {ENABLED} is {}, Linux {}", set.trim(), release.trim());
        }
        can
    }

    #[test]
    fn a_large_table_stands_in_huge_pages_and_holds_what_it_held() {
        let mut table: Vec<u64> = (0..2 << 20).collect();
        table.reserve(1 << 20);
        settle(&mut table);
        assert!(table.iter().copied().eq(0..2 << 20));
        let pages = whole(table.as_ptr().addr(), size_of_val(&table[..]));
        assert!(pages.len() >= 14 << 20);
        if can_be_seen() {
            // Where memory is in pieces the system may have fewer to give.
            assert!(huge_kib(pages.start) >= pages.len() / 2_048, "of {} bytes", pages.len());
        }
    }

    #[test]
    fn only_whole_huge_pages_are_asked_for() {
        assert_eq!(whole(HUGE, 3 * HUGE), HUGE..4 * HUGE);
        assert_eq!(whole(HUGE + 4_096, 3 * HUGE), 2 * HUGE..4 * HUGE);
        assert!(whole(4_096, HUGE).is_empty());
        assert!(whole(HUGE + 4_096, 4_096).is_empty());
        assert!(whole(0, 0).is_empty());
        let mut small = vec![1, 2, 3];
        settle(&mut small);
        settle::<u8>(&mut Vec::new());
        settle(&mut vec![(); 3]);
        assert_eq!(small, [1, 2, 3]);
    }
}
