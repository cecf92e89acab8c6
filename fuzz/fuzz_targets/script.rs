#![no_main]
//! Fuzzes a whole shard driven by a script of bytes.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::script(data));
