//! Memory asked for before it is needed.
//!
//! What stands in a large table is not in the processor's cache, and whoever looks for it waits
//! some hundred nanoseconds at each step. Of many questions that came in together the first steps
//! can be on their way at once. Must not know what the memory holds.

#![cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "one instruction without effect; see SAFETY comments")
)]

/// Asks for the first cache line of `thing`, which is about to be read. Waits for nothing, and
/// changes nothing but how long that takes; on processors other than x86-64 and 64-bit ARM not even
/// that.
#[inline(always)]
pub fn prefetch<T>(thing: &T) {
    let at = std::ptr::from_ref(thing);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, to which every address is good; and this one may be read.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; it touches neither what is in memory, nor stack, nor flags.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, nomem, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}
