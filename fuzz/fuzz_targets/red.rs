#![no_main]
//! Fuzzes redundant audio: one payload, or a talk with gaps.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::red(data));
