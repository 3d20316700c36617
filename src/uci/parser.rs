//! Reads UCI text the way libuci does.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Argument;
use crate::limits::{MAX_FILE, MAX_LINE, MAX_LINES, MAX_OPTIONS, MAX_SECTIONS};
use crate::{Document, Error, ErrorKind, Position, Section, SectionOption, Text, Value};

/// More octets than a secret has.
const ROOM_FOR_SECRET: usize = 512;

/// Reads a whole file.
///
/// # Errors
/// The first place where the text is not UCI, or more than [`limits`](crate::limits) allow.
pub fn parse(octets: &[u8]) -> Result<Document, Error> {
    let text = check_characters(octets)?;
    let mut parser = Parser {
        cursor: Cursor { text, position: Position::START },
        document: Document::default(),
        by_name: Vec::new(),
        current: None,
        open_quote: None,
    };
    while parser.cursor.peek().is_some() {
        parser.line()?;
    }
    Ok(parser.document)
}

/// Refuses at once what no part of a file may hold, so that the parser need not look for it.
fn check_characters(octets: &[u8]) -> Result<&str, Error> {
    let fail = |position, kind| Err(Error { position, kind });
    if octets.len() > MAX_FILE {
        return fail(Position::START, ErrorKind::FileTooLarge);
    }
    let (text, is_utf8) = match core::str::from_utf8(octets) {
        Ok(text) => (text, true),
        Err(error) => (core::str::from_utf8(&octets[..error.valid_up_to()]).unwrap_or(""), false),
    };
    let mut cursor = Cursor { text, position: Position::START };
    while let Some(character) = cursor.peek() {
        if character.is_control()
            && !matches!(character, '\n' | '\t')
            && !cursor.text.starts_with("\r\n")
        {
            return fail(cursor.position, ErrorKind::ControlCharacter(character));
        }
        if cursor.position.column > MAX_LINE && character != '\n' {
            return fail(cursor.position, ErrorKind::LineTooLong);
        }
        if cursor.position.line > MAX_LINES {
            return fail(cursor.position, ErrorKind::TooManyLines);
        }
        cursor.bump();
    }
    if is_utf8 { Ok(text) } else { fail(cursor.position, ErrorKind::NotUtf8) }
}

/// The rest of the text and where it starts.
struct Cursor<'a> {
    text: &'a str,
    position: Position,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.text.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.text = &self.text[character.len_utf8()..];
        if character == '\n' {
            self.position = Position { line: self.position.line + 1, column: 1 };
        } else {
            self.position.column += 1;
        }
        Some(character)
    }

    fn skip_while(&mut self, is_skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&is_skipped) {
            self.bump();
        }
    }

    fn skip_blanks(&mut self) {
        self.skip_while(|character| matches!(character, ' ' | '\t' | '\r'));
    }

    /// Whether only blanks or a comment are left in the line.
    fn is_at_end_of_line(&self) -> bool {
        matches!(self.peek(), None | Some('\n' | '#'))
    }

    fn error<T>(&self, kind: ErrorKind) -> Result<T, Error> {
        Err(Error { position: self.position, kind })
    }
}

/// An argument of a statement.
struct Word {
    value: Text,
    /// libuci takes a `;` that touches an argument without quotes and escapes, or stands for a
    /// missing one, as part of it, and never sees the statement after it.
    hides_separator: bool,
}

impl Word {
    fn error<T>(&self, kind: ErrorKind) -> Result<T, Error> {
        Err(Error { position: self.value.position, kind })
    }

    /// A name, which is no secret.
    fn into_name(mut self) -> String {
        core::mem::take(&mut self.value.text)
    }

    /// Refuses names that libuci refuses.
    fn check(&self, argument: Argument) -> Result<(), Error> {
        let is_allowed = |octet: u8| match argument {
            Argument::SectionType => octet.is_ascii_graphic(),
            Argument::PackageName => {
                octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-'
            }
            _ => octet.is_ascii_alphanumeric() || octet == b'_',
        };
        if self.value.text.bytes().all(is_allowed) {
            return Ok(());
        }
        self.error(ErrorKind::BadCharacter(argument))
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    document: Document,
    /// Places in the document of the sections that have names, in the order of those.
    by_name: Vec<usize>,
    /// The place of the section that options go to.
    current: Option<usize>,
    /// The first quote of this statement that closes in a later line.
    open_quote: Option<Error>,
}

impl Parser<'_> {
    /// Reads a line of statements, which may continue over several lines of text.
    fn line(&mut self) -> Result<(), Error> {
        self.cursor.skip_blanks();
        if !self.cursor.is_at_end_of_line() {
            self.open_quote = None;
            // After a value of several lines, what is wrong is likely its missing quote.
            while self.statement().map_err(|error| self.open_quote.unwrap_or(error))? {
                self.cursor.skip_blanks();
                match self.cursor.peek() {
                    None | Some('\n') => return self.cursor.error(ErrorKind::EmptyStatement),
                    Some('#') => break,
                    Some(_) => {}
                }
            }
        }
        self.cursor.skip_while(|character| character != '\n');
        self.cursor.bump();
        Ok(())
    }

    /// Reads a statement; tells whether a `;` ended it.
    fn statement(&mut self) -> Result<bool, Error> {
        let (start, position) = (self.cursor.text, self.cursor.position);
        self.cursor.skip_while(|character| !matches!(character, ' ' | '\t' | '\r' | '\n'));
        match &start[..start.len() - self.cursor.text.len()] {
            "p" | "package" => {
                let name = self.required(Argument::PackageName)?;
                let is_continued = self.end(name.hides_separator)?;
                self.document.package = Some(name.into_name());
                Ok(is_continued)
            }
            "c" | "config" => self.config(),
            "o" | "option" => self.option(position, false),
            "l" | "list" => self.option(position, true),
            _ => Err(Error { position, kind: ErrorKind::UnknownStatement }),
        }
    }

    fn config(&mut self) -> Result<bool, Error> {
        let section_type = self.required(Argument::SectionType)?;
        let name = self.word()?;
        let is_continued = self.end(name.hides_separator)?;
        name.check(Argument::SectionName)?;
        let sections = &mut self.document.sections;
        let named = self.by_name.binary_search_by(|&place| {
            sections[place].name.as_deref().cmp(&Some(name.value.text.as_str()))
        });
        if let Ok(at) = named {
            let place = self.by_name[at];
            if sections[place].section_type != section_type.value.text {
                return name.error(ErrorKind::NameOfAnotherType);
            }
            sections[place].repeated_at = Some(section_type.value.position);
            self.current = Some(place);
            return Ok(is_continued);
        }
        if sections.len() == MAX_SECTIONS {
            return section_type.error(ErrorKind::TooManySections);
        }
        self.current = Some(sections.len());
        let mut section = Section::new(&section_type.value.text, None);
        section.position = section_type.value.position;
        if let (Err(at), false) = (named, name.value.text.is_empty()) {
            self.by_name.insert(at, sections.len());
            section.name = Some(name.into_name());
        }
        sections.push(section);
        Ok(is_continued)
    }

    fn option(&mut self, position: Position, is_list: bool) -> Result<bool, Error> {
        let Some(current) = self.current else {
            return Err(Error { position, kind: ErrorKind::OptionOutsideSection });
        };
        let name = self.required(Argument::OptionName)?;
        let value = self.word()?;
        let is_continued = self.end(value.hides_separator)?;
        let section = &mut self.document.sections[current];
        if section.options.iter().map(|option| option.value.texts().len()).sum::<usize>()
            >= MAX_OPTIONS
        {
            return name.error(ErrorKind::TooManyOptions);
        }
        let text = value.value;
        match section.options.iter_mut().find(|option| option.name == name.value.text) {
            Some(option) if is_list => option.value.push(text),
            Some(option) => {
                option.repeated_at = Some(name.value.position);
                if !text.text.is_empty() {
                    option.value = Value::Single(text);
                }
            }
            None => section.options.push(SectionOption {
                position: name.value.position,
                name: name.into_name(),
                value: if is_list { Value::List([text].into()) } else { Value::Single(text) },
                repeated_at: None,
            }),
        }
        Ok(is_continued)
    }

    /// Ends a statement; tells whether a `;` did, so that another must follow.
    fn end(&mut self, hides_separator: bool) -> Result<bool, Error> {
        self.cursor.skip_blanks();
        if self.cursor.is_at_end_of_line() {
            return Ok(false);
        }
        if self.cursor.peek() != Some(';') {
            return self.cursor.error(ErrorKind::ExtraArgument);
        }
        let position = self.cursor.position;
        self.cursor.bump();
        if !hides_separator {
            return Ok(true);
        }
        self.cursor.skip_blanks();
        if self.cursor.is_at_end_of_line() {
            return Ok(false);
        }
        Err(Error { position, kind: ErrorKind::Separator })
    }

    /// The next argument, which must be there and not be empty.
    fn required(&mut self, argument: Argument) -> Result<Word, Error> {
        let word = self.word()?;
        if word.value.text.is_empty() {
            return word.error(ErrorKind::MissingArgument(argument));
        }
        word.check(argument)?;
        Ok(word)
    }

    /// The next argument: quoted and unquoted pieces up to a blank; empty at the end of the line.
    fn word(&mut self) -> Result<Word, Error> {
        self.cursor.skip_blanks();
        let position = self.cursor.position;
        // Room for a secret, so that growing leaves no copies of one behind.
        let rest = self.cursor.text.split('\n').next().unwrap_or_default();
        let mut value =
            Text { text: String::with_capacity(rest.len().min(ROOM_FOR_SECRET)), position };
        let mut is_plain = true;
        loop {
            match self.cursor.peek() {
                None | Some('#' | ';' | ' ' | '\t' | '\r' | '\n') => break,
                Some(quote @ ('\'' | '"')) => {
                    is_plain = false;
                    self.quoted(quote, &mut value.text)?;
                }
                Some('\\') => {
                    is_plain = false;
                    value.text.extend(self.escaped());
                }
                Some(character) => {
                    value.text.push(character);
                    self.cursor.bump();
                }
            }
        }
        let hides_separator =
            is_plain && (value.text.is_empty() || self.cursor.peek() == Some(';'));
        Ok(Word { value, hides_separator })
    }

    /// A quoted piece, which may hold line feeds; escapes are seen in double quotes only.
    fn quoted(&mut self, quote: char, text: &mut String) -> Result<(), Error> {
        let start = self.cursor.position;
        let unterminated = Error { position: start, kind: ErrorKind::UnterminatedQuote(quote) };
        self.cursor.bump();
        loop {
            match self.cursor.peek() {
                None => return Err(unterminated),
                Some('\\') if quote == '"' => text.extend(self.escaped()),
                Some(character) => {
                    self.cursor.bump();
                    if character == quote {
                        if self.cursor.position.line > start.line {
                            self.open_quote.get_or_insert(unterminated);
                        }
                        return Ok(());
                    }
                    text.push(character);
                }
            }
        }
    }

    /// What a backslash stands for: the next character, or nothing at the end of a line, which
    /// then goes on with the next one.
    fn escaped(&mut self) -> Option<char> {
        self.cursor.bump();
        if self.cursor.text.starts_with("\r\n") {
            self.cursor.bump();
        }
        self.cursor.bump().filter(|&character| character != '\n')
    }
}
