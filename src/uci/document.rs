//! A configuration as sections of options, read from text or built to be written.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use zeroize::ZeroizeOnDrop;

use crate::Position;

/// A whole file. Its `Display` writes text that [`parse`](crate::parse) reads back as an equal
/// document, provided that names are libuci's (letters, digits, `_`), each section name occurs
/// once, no list is empty and no value holds a control character other than tab and line feed.
///
/// Positions take no part in comparisons.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    /// What a `package` line says; libuci lets the file's name decide instead.
    pub package: Option<String>,
    /// The sections in the order of the file.
    pub sections: Vec<Section>,
}

/// `config TYPE [NAME]` with its options.
#[derive(Clone, Eq, Debug)]
pub struct Section {
    /// The type.
    pub section_type: String,
    /// The name; `None` for an anonymous section.
    pub name: Option<String>,
    /// Where the type stands.
    pub position: Position,
    /// Where the file opens the section of this name again; libuci merges the two, as here.
    pub repeated_at: Option<Position>,
    /// The options in the order of the file, each name once.
    pub options: Vec<SectionOption>,
}

/// `option NAME VALUE`, or all `list NAME VALUE` of a name.
#[derive(Clone, Eq, Debug)]
pub struct SectionOption {
    /// The name.
    pub name: String,
    /// The value or values.
    pub value: Value,
    /// Where the name stands first.
    pub position: Position,
    /// Where an `option` of this name stands again. The last value that is not empty counts, as
    /// in libuci.
    pub repeated_at: Option<Position>,
}

/// What an option holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// From `option`. When empty, libuci behaves as if the option were not there.
    Single(Text),
    /// From `list`; an `option` before it is its first item, as in libuci.
    List(Vec<Text>),
}

/// A value as it is after quotes and escapes are taken away. It may be a secret, and is wiped.
#[derive(Clone, Eq, Debug, ZeroizeOnDrop)]
pub struct Text {
    /// The characters.
    pub text: String,
    /// Where it starts in the file.
    #[zeroize(skip)]
    pub position: Position,
}

impl Document {
    /// Adds a section and returns it, to be filled.
    pub fn section(&mut self, section_type: &str, name: Option<&str>) -> &mut Section {
        let place = self.sections.len();
        self.sections.push(Section::new(section_type, name));
        &mut self.sections[place]
    }
}

impl Section {
    /// A section without options.
    pub fn new(section_type: &str, name: Option<&str>) -> Section {
        Section {
            section_type: section_type.into(),
            name: name.map(String::from),
            position: Position::START,
            repeated_at: None,
            options: Vec::new(),
        }
    }

    /// The option of this name.
    pub fn option(&self, name: &str) -> Option<&SectionOption> {
        self.options.iter().find(|option| option.name == name)
    }

    /// Adds `option NAME VALUE`, replacing what had the name before.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Section {
        self.options.retain(|option| option.name != name);
        self.options.push(SectionOption::new(name, Value::Single(Text::new(value))));
        self
    }

    /// Adds `list NAME VALUE`.
    pub fn add(&mut self, name: &str, value: &str) -> &mut Section {
        let value = Text::new(value);
        match self.options.iter_mut().find(|option| option.name == name) {
            Some(option) => option.value.push(value),
            None => self.options.push(SectionOption::new(name, Value::List([value].into()))),
        }
        self
    }
}

impl SectionOption {
    fn new(name: &str, value: Value) -> SectionOption {
        let position = Position::START;
        SectionOption { name: name.into(), value, position, repeated_at: None }
    }
}

impl Value {
    /// The one text of an `option`, or each of a `list`.
    pub fn texts(&self) -> &[Text] {
        match self {
            Value::Single(text) => core::slice::from_ref(text),
            Value::List(texts) => texts,
        }
    }

    /// Adds an item; a single value that is not empty becomes the list's first.
    pub(crate) fn push(&mut self, text: Text) {
        match self {
            Value::List(texts) => texts.push(text),
            Value::Single(first) if first.text.is_empty() => *self = Value::List([text].into()),
            Value::Single(first) => {
                let first = core::mem::replace(first, Text::new(""));
                *self = Value::List([first, text].into());
            }
        }
    }
}

impl Text {
    fn new(text: &str) -> Text {
        Text { text: text.into(), position: Position::START }
    }
}

impl Position {
    /// The first character, and the position of all that was not read from a file.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl PartialEq for Section {
    fn eq(&self, other: &Section) -> bool {
        self.section_type == other.section_type
            && self.name == other.name
            && self.options == other.options
    }
}

impl PartialEq for SectionOption {
    fn eq(&self, other: &SectionOption) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.text == other.text
    }
}

/// Writes a word in single quotes, which keep all but the single quote itself.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for character in self.0.chars() {
            match character {
                '\'' => f.write_str("'\\''")?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('\'')
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(package) = &self.package {
            writeln!(f, "package {package}")?;
        }
        for (place, section) in self.sections.iter().enumerate() {
            if place > 0 || self.package.is_some() {
                f.write_char('\n')?;
            }
            write!(f, "{section}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        if self.section_type.chars().all(is_plain) {
            write!(f, "config {}", self.section_type)?;
        } else {
            write!(f, "config {}", Quoted(&self.section_type))?;
        }
        if let Some(name) = &self.name {
            write!(f, " {}", Quoted(name))?;
        }
        f.write_char('\n')?;
        for option in &self.options {
            let statement = if matches!(option.value, Value::List(_)) { "list" } else { "option" };
            for text in option.value.texts() {
                writeln!(f, "\t{statement} {} {}", option.name, Quoted(&text.text))?;
            }
        }
        Ok(())
    }
}
