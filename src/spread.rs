//! One piece of work for each of many things, over all cores; and work that gives way.
//!
//! Results come back in the order of the things, whichever was done first, so that what is made
//! of them does not depend on chance. Must not know what the work is.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// What `work` makes of each of `things`, in their order. Runs on this thread and as many others
/// as there are cores to spare.
///
/// # Panics
/// When `work` does.
pub fn map<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        while let Some((index, thing)) = numbered(things, next.fetch_add(1, Ordering::Relaxed)) {
            done.push((index, work(thing)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(things.len())).map(|_| scope.spawn(take)).collect();
        let mut done = take();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// How much less than others a thread gets that gives way: a thirtieth of a core that somebody else
/// wants whole.
const NICER: i32 = 15;

/// What `work` makes, on a thread that gives way to all others of the process, as do those that it
/// spreads work over: reading a million names takes all cores for a second, and a thread that
/// answers would wait for its turn longer than the kernel keeps packets for it.
///
/// # Panics
/// When `work` does.
pub fn giving_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let made = thread::scope(|scope| scope.spawn(|| nicer(work)).join());
    made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Drops `thing` on a thread that gives way, without waiting for it; here, where no thread is to
/// be had.
pub fn freed_aside<T: Send + 'static>(thing: T) {
    let free = move || nicer(|| drop(thing));
    // Whoever cannot start it drops what it was to do.
    let _ = thread::Builder::new().name("free".into()).spawn(free);
}

fn nicer<T>(work: impl FnOnce() -> T) -> T {
    // On Linux a thread's own, and those it starts have it too. Where it is refused, loads are
    // as urgent as answers.
    let _ = rustix::process::nice(NICER);
    work()
}

fn numbered<T>(things: &[T], index: usize) -> Option<(usize, &T)> {
    things.get(index).map(|thing| (index, thing))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    /// Says on which thread it was dropped.
    struct Told(mpsc::Sender<thread::ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn what_is_freed_aside_is_freed_by_another_thread() {
        let (told, dropped) = mpsc::channel();
        super::freed_aside(Told(told));
        let by = dropped.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_ne!(by, thread::current().id());
    }

    #[test]
    fn results_stand_in_the_order_of_the_things() {
        let things: Vec<u64> = (0..1_000).collect();
        let squares = super::map(&things, |n| n * n);
        assert!(squares.iter().zip(&things).all(|(square, n)| *square == n * n));
        assert_eq!((squares.len(), super::map(&[], |n: &u64| *n).len()), (1_000, 0));
    }

    #[test]
    fn what_gives_way_does_so_on_all_its_threads_and_nobody_else_does() {
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
            fields.nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = nice();
        let all = super::giving_way(|| super::map(&[0; 64], |_| nice()));
        assert_eq!(all, [(before + super::NICER).min(19); 64]);
        assert_eq!(nice(), before);
    }
}
