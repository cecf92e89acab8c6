#![no_main]
//! Fuzzes one compound of RTCP, sealed or plain.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::rtcp(data));
