//! How much a file may hold, so that a hostile one costs little memory and time.

/// Octets of a file: 256 KiB.
pub const MAX_FILE: usize = 256 * 1024;
/// Lines of a file.
pub const MAX_LINES: u32 = 16384;
/// Characters of a line.
pub const MAX_LINE: u32 = 4096;
/// Sections of a file.
pub const MAX_SECTIONS: usize = 4096;
/// Options of a section, each item of a list counted as one.
pub const MAX_OPTIONS: usize = 1024;
