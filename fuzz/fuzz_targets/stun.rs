#![no_main]
//! Fuzzes one STUN message.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::stun(data));
