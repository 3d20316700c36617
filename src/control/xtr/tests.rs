//! Behaviour of the xTR on virtual time, against a Map-Server played by hand.

mod adoption;
mod bench;
mod hostile;
mod lanes;
mod mappings;
mod model;
mod probing;
mod registration;
mod resolution;
mod smr;
mod subscription;
