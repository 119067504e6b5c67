//! Fuzzes [`fuzzed::proxy`].

#![no_main]

use libfuzzer_sys::fuzz_target;
use tradewind_fuzz::fuzzed;

fuzz_target!(|bytes: &[u8]| fuzzed::proxy(bytes));
