//! What can be wrong with a configuration: where, what, and what to do about it.

use core::fmt;

use super::problem::{FileProblem, OptionProblem, SectionProblem, ValueProblem};
use super::section_name::SectionName;

/// One thing that is wrong; shown in one line with its remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The configuration file.
    pub file: String,
    /// The line, from 1; `None` when the file as a whole is meant.
    pub line: Option<u32>,
    /// The part that is wrong.
    pub place: Place,
    /// What is wrong with it.
    pub problem: Problem,
}

/// All that is wrong with a configuration, in the order of its lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    /// The first [`MAX_ERRORS`], and one that counts the others; never empty.
    pub errors: Vec<ConfigError>,
}

/// Errors that are told at once.
pub const MAX_ERRORS: usize = 20;

/// The part of a configuration that an error is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// All of it.
    File,
    /// A section.
    Section(SectionName),
    /// An option, whether it is there or missing.
    Option(String, SectionName),
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// With a file.
    File(FileProblem),
    /// With the text as UCI.
    Syntax(uci::ErrorKind),
    /// With a section.
    Section(SectionProblem),
    /// With the presence of an option.
    Option(OptionProblem),
    /// With what an option says.
    Value(ValueProblem),
    /// There is more than is told at once.
    More(usize),
}

impl From<FileProblem> for Problem {
    fn from(problem: FileProblem) -> Problem {
        Problem::File(problem)
    }
}

impl From<SectionProblem> for Problem {
    fn from(problem: SectionProblem) -> Problem {
        Problem::Section(problem)
    }
}

impl From<OptionProblem> for Problem {
    fn from(problem: OptionProblem) -> Problem {
        Problem::Option(problem)
    }
}

impl From<ValueProblem> for Problem {
    fn from(problem: ValueProblem) -> Problem {
        Problem::Value(problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::File(problem) => problem.fmt(f),
            Problem::Syntax(kind) => kind.fmt(f),
            Problem::Section(problem) => problem.fmt(f),
            Problem::Option(problem) => problem.fmt(f),
            Problem::Value(problem) => problem.fmt(f),
            Problem::More(count) => write!(f, "{count} more errors; correct these first"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match &self.place {
            Place::File => {}
            Place::Section(section) => write!(f, ": {section}")?,
            Place::Option(option, section) => write!(f, ": option '{option}' in {section}")?,
        }
        write!(f, ": {}", self.problem)
    }
}

impl core::error::Error for ConfigError {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.errors.iter().enumerate() {
            let separator = if place == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigErrors {}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = core::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.iter()
    }
}
