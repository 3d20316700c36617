//! Wiring: event loop, configuration, status, the demo and the bench; no protocol rule stands here.
#![forbid(unsafe_code)]

#[cfg(feature = "full")]
pub mod bench;
mod bus;
pub mod client;
pub mod commands;
pub mod config;
mod control_socket;
#[cfg(feature = "full")]
pub mod demo;
mod down;
pub mod export;
mod files;
mod handovers;
mod input;
pub mod join;
mod join_line;
mod leftovers;
mod lig;
pub mod links;
mod listings;
mod logging;
mod names;
pub mod netifd;
mod notify;
mod overlay;
mod plan;
mod preflight;
mod questions;
mod reload;
mod report;
mod resolve;
mod router;
mod start;
mod state;
mod status;
mod told;
mod tunnels;
mod uplinks;
mod wiring;

pub use down::down;
pub use start::run;
