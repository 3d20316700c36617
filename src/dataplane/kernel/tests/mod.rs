//! The kernel data plane against a model of kernel WireGuard, on virtual time.

mod model;
mod sessions;
mod world;
