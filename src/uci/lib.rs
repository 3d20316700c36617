//! UCI text, the configuration format of OpenWrt, as sections and options with positions.
//!
//! The syntax is libuci's, quoting and its odder corners included, with two intended differences.
//! What libuci drops in silence is kept or refused: an `option` without a value stays in the
//! [`Document`], and a statement that libuci would not see is an error. What no file of ours needs
//! is refused: control characters, texts that are not UTF-8, and more than [`limits`] allow.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod document;
mod error;
pub mod limits;
mod parser;
#[cfg(test)]
mod tests;

pub use document::{Document, Section, SectionOption, Text, Value};
pub use error::{Error, ErrorKind, Position};
pub use parser::parse;
