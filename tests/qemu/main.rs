//! Nodes of other machines, big-endian MIPS and ARM, under qemu's user-mode emulation: they speak
//! with native ones over a little internet. `tests/run qemu` builds their programs and runs this.
//!
//! `LISPGUARD_TEST_MIPS` and `LISPGUARD_TEST_ARM` name the programs.

mod emulated;
mod idle_memory;
mod overlay;
mod system_calls;

// Shared with the end-to-end tests, each of which uses its own part.
#[allow(dead_code)]
#[path = "../e2e/intruder.rs"]
mod intruder;
#[allow(dead_code)]
#[path = "../e2e/mobility.rs"]
mod mobility;
#[allow(dead_code)]
#[path = "../e2e/testbed.rs"]
mod testbed;
#[allow(dead_code)]
#[path = "../e2e/tunnel.rs"]
mod tunnel;
