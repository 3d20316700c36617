//! Words of a command line: options with their values, and lists of names.

use std::ffi::OsString;
use std::path::PathBuf;

/// The value behind an option, as `--name value` or `--name=value`.
pub(super) struct Value<'a, 'b> {
    name: &'a str,
    attached: Option<String>,
    words: &'a mut std::slice::Iter<'b, OsString>,
}

impl<'a, 'b> Value<'a, 'b> {
    /// The option's name, and its value, which may follow in `words`.
    pub(super) fn of(
        text: &'a str,
        words: &'a mut std::slice::Iter<'b, OsString>,
    ) -> (&'a str, Value<'a, 'b>) {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (text, None),
        };
        (name, Value { name, attached, words })
    }

    /// The value as text; the error says that there is none.
    pub(super) fn take(&mut self) -> Result<String, String> {
        let next = || Some(self.words.next()?.to_string_lossy().into_owned());
        let value = self.attached.take().or_else(next).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("{} needs a value", self.name))
    }

    /// The value as the name of a file or folder.
    pub(super) fn path(&mut self) -> Result<PathBuf, String> {
        self.take().map(PathBuf::from)
    }

    /// The value as a number in a range.
    pub(super) fn number<T>(&mut self, range: std::ops::RangeInclusive<T>) -> Result<T, String>
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let text = self.take()?;
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (name, from, to) = (self.name, range.start(), range.end());
            format!("{name} is a number from {from} to {to}, not '{text}'")
        })
    }

    /// Refuses a value that nobody took.
    pub(super) fn expect_used(&self) -> Result<(), String> {
        match self.attached {
            Some(_) => Err(format!("{} takes no value", self.name)),
            None => Ok(()),
        }
    }
}

/// Adds the names of a list, each once.
pub(super) fn add<T: PartialEq>(
    chosen: &mut Vec<T>,
    names: &str,
    what: &str,
    named: impl Fn(&str) -> Option<T>,
    all: &str,
) -> Result<(), String> {
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let one =
            named(name).ok_or_else(|| format!("there is no {what} '{name}'; there are {all}"))?;
        if !chosen.contains(&one) {
            chosen.push(one);
        }
    }
    Ok(())
}
