#![no_main]
//! Fuzzes one JSON message of a WebSocket.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::fuzz::message(data));
