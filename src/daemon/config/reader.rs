//! Takes options out of a section, and keeps account of all that is wrong.

use std::path::PathBuf;

use uci::{Section, SectionOption, Text, Value};

use super::Roles;
use super::error::{ConfigError, ConfigErrors, MAX_ERRORS, Place, Problem};
use super::problem::{OptionProblem, SectionProblem, ValueProblem};
use super::schema::{SECTIONS, SectionRule, User, nearest};
use super::section_name::SectionName;
use super::value;

/// The errors found so far.
pub(super) struct Report {
    file: String,
    /// The first of them, in the order of lines.
    errors: Vec<ConfigError>,
    /// How many others there are.
    more: usize,
    /// What the caller puts right itself.
    is_waived: fn(&Problem) -> bool,
}

impl Report {
    pub(super) fn new(file: &str, is_waived: fn(&Problem) -> bool) -> Report {
        Report { file: file.to_owned(), errors: Vec::new(), more: 0, is_waived }
    }

    pub(super) fn add(&mut self, line: Option<u32>, place: Place, problem: impl Into<Problem>) {
        self.insert(line, place, problem.into());
    }

    fn insert(&mut self, line: Option<u32>, place: Place, problem: Problem) {
        let at = self.errors.partition_point(|error| error.line <= line);
        if (self.is_waived)(&problem) {
            return;
        }
        if at < MAX_ERRORS {
            let file = self.file.clone();
            self.errors.insert(at, ConfigError { file, line, place, problem });
        }
        if at >= MAX_ERRORS || self.errors.len() > MAX_ERRORS {
            self.errors.truncate(MAX_ERRORS);
            self.more += 1;
        }
    }

    pub(super) fn section(&mut self, section: &Section, problem: impl Into<Problem>) {
        self.add(Some(section.position.line), Place::Section(name_of(section)), problem);
    }

    /// The value, when nothing was wrong.
    ///
    /// # Errors
    /// What was reported, in the order of lines.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        if let (Some(value), true) = (value, self.errors.is_empty()) {
            return Ok(value);
        }
        if self.more > 0 {
            let (file, problem) = (self.file, Problem::More(self.more));
            self.errors.push(ConfigError { file, line: None, place: Place::File, problem });
        }
        Err(ConfigErrors { errors: self.errors })
    }
}

/// How people call the section.
pub(super) fn name_of(section: &Section) -> SectionName {
    match &section.name {
        Some(name) => SectionName::Named(name.clone()),
        None => SectionName::Anonymous(section.section_type.clone()),
    }
}

/// A section whose options are taken one by one.
pub(super) struct Reader<'a> {
    pub(super) section: &'a Section,
    pub(super) report: &'a mut Report,
}

impl<'a> Reader<'a> {
    /// Opens a section after reporting whatever in it the schema does not know, and what this
    /// node's roles do not use; `None` for the roles skips the latter.
    pub(super) fn open(
        section: &'a Section,
        rule: &SectionRule,
        roles: Option<Roles>,
        report: &'a mut Report,
    ) -> Reader<'a> {
        let mut reader = Reader { section, report };
        let is_used = |user: User| match (user, roles) {
            (User::Any, _) | (_, None) => true,
            (User::Database, Some(roles)) => roles.has_database(),
            (User::MapServer, Some(roles)) => roles.is_map_server,
        };
        let is_joined = section.repeated_at.is_some();
        if let Some(again) = section.repeated_at {
            reader.report.section(section, SectionProblem::Repeated(again.line));
        }
        if !is_used(rule.user) {
            reader.report.section(section, SectionProblem::WrongRole(rule.user));
        }
        for option in &section.options {
            if let Some(problem) = misplaced(option, rule) {
                // Sections that were joined repeat each other's options: one error is enough.
                let is_said = matches!(problem, OptionProblem::Repeated(_)) && is_joined;
                if !is_said {
                    reader.option(option, problem);
                }
            } else if let Some(known) = rule.option(&option.name)
                && !is_used(known.user)
            {
                reader.option(option, OptionProblem::WrongRole(known.user));
            }
        }
        reader
    }

    /// Reports something about an option that is there.
    fn option(&mut self, option: &SectionOption, problem: impl Into<Problem>) {
        self.at(option.position.line, &option.name, problem);
    }

    /// Reports something about an option at a line.
    pub(super) fn at(&mut self, line: u32, name: &str, problem: impl Into<Problem>) {
        let place = Place::Option(name.to_owned(), name_of(self.section));
        self.report.add(Some(line), place, problem);
    }

    /// The line of an option, or of the section when it is not there.
    pub(super) fn line(&self, name: &str) -> u32 {
        let option = self.section.option(name).map(|option| option.position);
        option.unwrap_or(self.section.position).line
    }

    /// Reports something about an option that may not be there.
    pub(super) fn about(&mut self, name: &str, problem: impl Into<Problem>) {
        self.at(self.line(name), name, problem);
    }

    /// The values of an option that can be read, with their lines; the others are reported.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, ValueProblem>,
    ) -> Vec<(T, u32)> {
        let mut values = Vec::new();
        self.each(name, &mut |text, line| {
            values.push((parse(text)?, line));
            Ok(())
        });
        values
    }

    /// Hands over the texts of an option with their lines, and reports what `read` has against one.
    fn each(&mut self, name: &str, read: &mut dyn FnMut(&str, u32) -> Result<(), ValueProblem>) {
        let Some(option) = self.section.option(name) else { return };
        for text in option.value.texts() {
            let line = text.position.line;
            if let Err(problem) = check_text(text).and_then(|text| Ok(read(text, line)?)) {
                self.at(line, name, problem);
            }
        }
    }

    /// The value of an option; `None` when it is not there or was reported.
    pub(super) fn one<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, ValueProblem>,
    ) -> Option<T> {
        let (text, line) = self.text(name)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.at(line, name, problem);
                None
            }
        }
    }

    /// The text of an option with its line; of several, which are reported, the first.
    fn text(&mut self, name: &str) -> Option<(&'a str, u32)> {
        let text = self.section.option(name)?.value.texts().first()?;
        let line = text.position.line;
        match check_text(text) {
            Ok(text) => Some((text, line)),
            Err(problem) => {
                self.at(line, name, problem);
                None
            }
        }
    }

    /// A number from `min` to `max`.
    pub(super) fn number(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        self.one(name, |text| value::number(text, min, max))
    }

    /// A number from `min` to `max`, or the one that a word means.
    pub(super) fn number_or(
        &mut self,
        name: &str,
        (word, meaning): (&str, u32),
        min: u32,
        max: u32,
    ) -> Option<u32> {
        let is_word = self.section.option(name)?.value.texts().first()?.text == word;
        if is_word { Some(meaning) } else { self.number(name, min, max) }
    }

    /// The place of a value among all that are possible.
    pub(super) fn choice(&mut self, name: &str, names: &'static [&'static str]) -> Option<usize> {
        self.one(name, |text| value::choice(text, names))
    }

    /// Whether something is so.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        Some(self.choice(name, &["1", "0"])? == 0)
    }

    /// An absolute path.
    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.one(name, value::path)
    }

    /// The name of a network device.
    pub(super) fn device(&mut self, name: &str) -> Option<String> {
        self.one(name, value::device)
    }

    /// The value of an option that must be there; `remedy` is what to add otherwise.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        remedy: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueProblem>,
    ) -> Option<T> {
        self.require(name, remedy);
        self.one(name, parse)
    }

    /// Reports an option that is not there; `remedy` is what to add.
    pub(super) fn require(&mut self, name: &str, remedy: &'static str) {
        if self.section.option(name).is_none() {
            self.about(name, OptionProblem::Missing(remedy));
        }
    }

    /// The name of the section, which must have one.
    pub(super) fn name(&mut self) -> Option<String> {
        if self.section.name.is_none() {
            self.report.section(self.section, SectionProblem::Nameless);
        }
        self.section.name.clone()
    }
}

/// What the schema has against an option as such.
fn misplaced(option: &SectionOption, rule: &SectionRule) -> Option<OptionProblem> {
    let Some(known) = rule.option(&option.name) else {
        let near = nearest(&option.name, &rule.names());
        let elsewhere = SECTIONS.iter().find(|rule| rule.option(&option.name).is_some());
        return Some(match (near, elsewhere) {
            (None, Some(rule)) => OptionProblem::OptionOf(rule.section_type),
            (near, _) => OptionProblem::Unknown(near),
        });
    };
    if let Some(again) = option.repeated_at {
        return Some(OptionProblem::Repeated(again.line));
    }
    let has_several = matches!(option.value, Value::List(_));
    (has_several && !known.is_list).then_some(OptionProblem::NotAList)
}

fn check_text(text: &Text) -> Result<&str, Problem> {
    match text.text.as_str() {
        "" => Err(OptionProblem::Empty.into()),
        text if text.contains('\n') => Err(ValueProblem::LineBreak.into()),
        text => Ok(text),
    }
}
