#![no_main]
//! Fuzzes one RTP packet, sealed or plain, and its payload as RED.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::rtp(data));
