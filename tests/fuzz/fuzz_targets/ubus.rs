#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lispguard_fuzz::ubus(data));
