//! What can be wrong with UCI text, and where.

use core::fmt;

use crate::limits::{MAX_FILE, MAX_LINE, MAX_LINES, MAX_OPTIONS, MAX_SECTIONS};

/// A place in a text, counted from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character within the line.
    pub column: u32,
}

/// A text that is not UCI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// Where the parser stopped.
    pub position: Position,
    /// Why.
    pub kind: ErrorKind,
}

/// Why a text is not UCI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// More than [`MAX_FILE`] octets.
    FileTooLarge,
    /// More than [`MAX_LINES`].
    TooManyLines,
    /// More than [`MAX_LINE`] characters in a line.
    LineTooLong,
    /// More than [`MAX_SECTIONS`].
    TooManySections,
    /// More than [`MAX_OPTIONS`] in a section.
    TooManyOptions,
    /// Octets that are not UTF-8.
    NotUtf8,
    /// A NUL or another control character; line feeds, tabs and CR LF are none.
    ControlCharacter(char),
    /// The text ends inside a quoted value that starts here.
    UnterminatedQuote(char),
    /// A line that starts with none of the four statements.
    UnknownStatement,
    /// A statement that ends too early.
    MissingArgument(Argument),
    /// A statement that goes on after its last argument.
    ExtraArgument,
    /// A `;` that libuci takes together with all that follows it in the line.
    Separator,
    /// A `;` with no statement after it.
    EmptyStatement,
    /// A character that must not stand in such a name.
    BadCharacter(Argument),
    /// An `option` or `list` before the first `config`.
    OptionOutsideSection,
    /// A section whose name an earlier section of another type has.
    NameOfAnotherType,
}

/// The arguments of statements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// `package NAME`
    PackageName,
    /// `config TYPE`
    SectionType,
    /// `config TYPE NAME`
    SectionName,
    /// `option NAME` and `list NAME`
    OptionName,
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Argument::PackageName => "package name",
            Argument::SectionType => "section type",
            Argument::SectionName => "section name",
            Argument::OptionName => "option name",
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::FileTooLarge => write!(f, "more than {MAX_FILE} octets"),
            ErrorKind::TooManyLines => write!(f, "more than {MAX_LINES} lines"),
            ErrorKind::LineTooLong => write!(f, "more than {MAX_LINE} characters in a line"),
            ErrorKind::TooManySections => write!(f, "more than {MAX_SECTIONS} sections"),
            ErrorKind::TooManyOptions => write!(f, "more than {MAX_OPTIONS} options in a section"),
            ErrorKind::NotUtf8 => write!(f, "this is not UTF-8 text; save the file as UTF-8"),
            ErrorKind::ControlCharacter(c) => {
                write!(f, "control character U+{:04X}; delete it", u32::from(*c))
            }
            ErrorKind::UnterminatedQuote(quote) => {
                write!(f, "the closing {quote} is missing")
            }
            ErrorKind::UnknownStatement => {
                write!(f, "unknown statement; a line starts with 'config', 'option', 'list' or '#'")
            }
            ErrorKind::MissingArgument(argument) => write!(f, "the {argument} is missing"),
            ErrorKind::ExtraArgument => {
                write!(f, "too many words; quote a value that contains blanks: 'a value'")
            }
            ErrorKind::Separator => {
                write!(f, "libuci ignores what follows this ';'; start a new line instead")
            }
            ErrorKind::EmptyStatement => write!(f, "nothing follows the ';'; delete it"),
            ErrorKind::BadCharacter(Argument::SectionType) => {
                write!(f, "a section type holds printable ASCII characters only")
            }
            ErrorKind::BadCharacter(Argument::PackageName) => {
                write!(f, "a package name holds letters, digits, '_' and '-' only")
            }
            ErrorKind::BadCharacter(argument) => write!(
                f,
                "a{} {argument} holds letters, digits and '_' only",
                if *argument == Argument::OptionName { "n" } else { "" }
            ),
            ErrorKind::OptionOutsideSection => {
                write!(f, "there is no section yet; start one with 'config TYPE NAME'")
            }
            ErrorKind::NameOfAnotherType => {
                write!(f, "an earlier section of another type has this name; choose another")
            }
        }
    }
}

impl core::error::Error for Error {}
