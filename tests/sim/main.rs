//! Simulated networks: whole nodes, control and data plane, on virtual time.

mod network;
mod scenarios;
mod world;
