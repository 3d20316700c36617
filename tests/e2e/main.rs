//! Real nodes in network namespaces of their own: what a user is promised, and what an attacker
//! tries. Nothing outside the namespaces and a temporary directory is touched.
//!
//! `LISPGUARD_LONG_TESTS=1` repeats, waits and sends as often as the promises say.

mod bench;
mod bus;
mod command_line;
mod configurations;
mod dataplane;
mod demo;
mod first_packet;
mod garbage;
mod handover;
mod idle;
mod intruder;
mod join;
mod mobility;
mod netifd;
mod picture;
mod refusals;
mod reload;
mod restarts;
mod silence;
mod testbed;
mod timeline;
mod tunnel;
