#![no_main]
//! Fuzzes a stream of STUN messages and ChannelData, cut anywhere.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::turn_stream(data));
