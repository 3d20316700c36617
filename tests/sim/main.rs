//! Simulated networks: whole nodes, control and data plane, on virtual time.

mod handover;
mod lanes;
mod nat;
mod network;
mod probing;
mod scenarios;
mod world;
