//! The engine against itself: pairs of nodes on virtual time, with the model of WireGuard.

mod data;
mod hostile;
mod pair;
mod sessions;
mod silence;
