//! Memory in huge pages: large tables that are read at random, and what a load reads through.
//!
//! A table of a million names fills 25,000 pages of 4 KiB. The processor remembers where some two
//! thousand are, so that nearly every lookup first finds out where to look; as fifty pages of 2 MiB
//! they all are remembered. And what a start reads is there after thirty faults instead of fifteen
//! thousand. Where the system has no huge pages to give (`transparent_hugepage` is `never`), all
//! of this does nothing.
//!
//! Only whole huge pages inside a table are asked for: small tables and edges stay as they are, so
//! that no memory is taken that nobody uses. Must not know what the memory holds.

#![expect(unsafe_code, reason = "madvise; see SAFETY comment")]

use std::ops::Range;

/// The huge page of x86-64, and of 64-bit ARM where small pages have 4 KiB; where they are larger,
/// so are the pieces that the system finds in a range.
const HUGE: usize = 2 << 20;

/// An empty Vec with room for `room` things, which come in huge pages as the room is used.
pub fn with_room<T>(room: usize) -> Vec<T> {
    let things: Vec<T> = Vec::with_capacity(room);
    advise(whole(things.as_ptr_range().start.addr(), room * size_of::<T>()), libc::MADV_HUGEPAGE);
    things
}

/// Gives back the room that `things` has left over, and moves them into huge pages: for what is
/// finished and will be read for long.
pub fn settle<T>(things: &mut Vec<T>) {
    things.shrink_to_fit();
    let pages = whole(things.as_ptr_range().start.addr(), size_of_val(&things[..]));
    // At once where the system can (Linux 6.1), else by and by.
    advise(pages.clone(), libc::MADV_HUGEPAGE);
    advise(pages, libc::MADV_COLLAPSE);
}

/// The whole huge pages among `bytes` bytes from `start` on.
fn whole(start: usize, bytes: usize) -> Range<usize> {
    start.next_multiple_of(HUGE)..(start + bytes) / HUGE * HUGE
}

fn advise(pages: Range<usize>, advice: libc::c_int) {
    if pages.is_empty() {
        return;
    }
    // SAFETY: both pieces of advice leave what memory holds and who may use it as it is, whatever
    // memory that is.
    let refused = unsafe {
        libc::madvise(std::ptr::with_exposed_provenance_mut(pages.start), pages.len(), advice)
    };
    // Then the pages stay small.
    let _ = refused;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB in huge pages of the mapping that holds `at`.
    fn huge_kib(at: usize) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
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

    fn has_huge_pages() -> bool {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled";
        let enabled = std::fs::read_to_string(path).unwrap_or_default();
        let has = enabled.contains("[madvise]") || enabled.contains("[always]");
        if !has {
            eprintln!("SKIPPED: this system gives no huge pages ({path}: {})", enabled.trim());
        }
        has
    }

    #[test]
    fn large_tables_stand_in_huge_pages_and_hold_what_they_held() {
        if !has_huge_pages() {
            return;
        }
        let mut settled: Vec<u64> = (0..2 << 20).collect();
        settled.reserve(1 << 20);
        settle(&mut settled);
        let mut filled = with_room(2 << 20);
        filled.extend(0..2_u64 << 20);
        assert_eq!(settled, filled);
        for table in [&settled, &filled] {
            let pages = whole(table.as_ptr().addr(), size_of_val(&table[..]));
            // Where memory is in pieces a system may have fewer to give.
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
        assert_eq!((small.as_slice(), with_room::<u64>(0).capacity()), (&[1, 2, 3][..], 0));
    }
}
