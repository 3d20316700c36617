//! Behaviour of the xTR on virtual time, against a Map-Server played by hand.

mod bench;
mod hostile;
mod mappings;
mod model;
mod registration;
mod resolution;
