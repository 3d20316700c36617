//! The kernel data plane against a model of kernel WireGuard, on virtual time.

mod endpoints;
mod model;
mod quiet;
mod sessions;
mod silence;
mod world;
