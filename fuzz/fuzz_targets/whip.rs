#![no_main]
//! Fuzzes one fragment of a foreign client: trickled candidates, or an ICE restart.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::whip(data));
