//! Fuzzes capture files: no panic, and every byte is accounted for.
#![no_main]

mod capture_reading;

use capture_reading::read_capture;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| read_capture(bytes.to_vec()));
