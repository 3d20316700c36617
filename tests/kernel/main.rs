//! Real nodes on a kernel with WireGuard: what the kernel data plane promises. `tests/run kernel`
//! builds this and runs it inside a user-mode Linux; `LISPGUARD_TEST_DATAPLANE` names the data plane.
//!
//! `LISPGUARD_LONG_TESTS=1` repeats as often as the promises say.

mod clock;
mod coexistence;
mod firewall;
mod first_packet;
mod flow;
mod handover;
mod interop;
mod machine;
mod refusals;
mod resolved;
mod restarts;
mod uplinks;

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
