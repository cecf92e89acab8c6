#![no_main]
//! Fuzzes the TURN core driven by a script of bytes.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::turn(data));
