//! How people call a section.

use std::fmt;

/// How people call a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SectionName {
    /// By its name.
    Named(String),
    /// By its type, as it has no name.
    Anonymous(String),
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SectionName::Named(name) => write!(f, "section '{name}'"),
            SectionName::Anonymous(section_type) => {
                write!(f, "the nameless section of type '{section_type}'")
            }
        }
    }
}
