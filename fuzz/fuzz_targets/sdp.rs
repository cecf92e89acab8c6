#![no_main]
//! Fuzzes one SDP offer.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::sdp(data));
