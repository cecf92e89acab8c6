#![no_main]
//! Fuzzes ChannelData, and a payload in both wrappings.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::channel_data(data));
