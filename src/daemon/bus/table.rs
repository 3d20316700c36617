//! What is told as JSON elsewhere, as fields on the bus: one description of the state for both.

use std::borrow::Cow;

use ubus::Writer;

/// Octets left for what follows a list that is cut: the word that says so, and paddings.
const RESERVE: usize = 64;
/// The part of a message that each list of an object takes at most.
const SHARE: usize = 8;

/// Writes the members of an object. `json` is our own; lists that would fill the message are cut,
/// and `truncated` says so.
pub(super) fn object(json: &str, writer: &mut Writer<'_>) {
    let mut reader = Reader::new(json, writer.capacity() / SHARE);
    reader.members(writer);
    reader.finish(writer);
}

/// Writes a list as the field of that name, cut where the message ends.
pub(super) fn list(name: &str, json: &str, writer: &mut Writer<'_>) {
    let mut reader = Reader::new(json, usize::MAX);
    reader.value(name, writer);
    reader.finish(writer);
}

struct Reader<'a> {
    rest: &'a str,
    /// Octets of a list at most.
    share: usize,
    is_cut: bool,
}

impl<'a> Reader<'a> {
    fn new(json: &'a str, share: usize) -> Self {
        Self { rest: json, share, is_cut: false }
    }

    fn finish(self, writer: &mut Writer<'_>) {
        if self.is_cut {
            writer.boolean("truncated", true);
        }
    }

    fn value(&mut self, name: &str, writer: &mut Writer<'_>) {
        match self.rest.as_bytes().first() {
            Some(b'{') => writer.table(name, |writer| self.members(writer)),
            Some(b'[') => writer.array(name, |writer| self.elements(writer)),
            Some(b'"') => writer.string(name, &*self.string()),
            _ => match self.word() {
                "true" => writer.boolean(name, true),
                "false" => writer.boolean(name, false),
                number => match (number.parse(), number.parse()) {
                    (Ok(number), _) => writer.i32(name, number),
                    (_, Ok(number)) => writer.i64(name, number),
                    _ => writer.null(name),
                },
            },
        }
    }

    fn members(&mut self, writer: &mut Writer<'_>) {
        self.skip(1);
        while !self.is_at_end() {
            let name = self.string();
            self.skip(1);
            self.value(&name, writer);
        }
    }

    fn elements(&mut self, writer: &mut Writer<'_>) {
        self.skip(1);
        let start = writer.len().unwrap_or_default();
        let room = writer.capacity().saturating_sub(RESERVE);
        let end = start.saturating_add(self.share).min(room);
        let mut is_cut = false;
        while !self.is_at_end() {
            if is_cut {
                self.value("", &mut Writer::new(&mut []));
            } else {
                is_cut = !writer.within(end, |writer| self.value("", writer));
            }
        }
        self.is_cut |= is_cut;
    }

    /// Passes a comma, or the end of a list or an object; whether it was one.
    fn is_at_end(&mut self) -> bool {
        let next = self.rest.as_bytes().first();
        let is_at_end = next.is_none_or(|next| b"]}".contains(next));
        if is_at_end || next == Some(&b',') {
            self.skip(1);
        }
        is_at_end
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    /// A number, or `true`, `false`, `null`.
    fn word(&mut self) -> &'a str {
        let len = self.rest.find([',', ']', '}', '\n']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word
    }

    /// A text without its quotes.
    fn string(&mut self) -> Cow<'a, str> {
        self.skip(1);
        let text = self.rest;
        let mut octets = text.bytes();
        let (mut len, mut is_plain) = (0, true);
        while let Some(octet) = octets.next().filter(|octet| *octet != b'"') {
            len += 1;
            if octet == b'\\' {
                is_plain = false;
                len += octets.next().map_or(0, |_| 1);
            }
        }
        self.skip(len + 1);
        let text = text.get(..len).unwrap_or_default();
        if is_plain { Cow::Borrowed(text) } else { Cow::Owned(unescape(text)) }
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        let escaped = if char == '\\' { rest.next() } else { None };
        plain.push(match escaped {
            None => char,
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some('u') => {
                let (code, after) = rest.as_str().split_at_checked(4).unwrap_or_default();
                rest = after.chars();
                let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
                code.unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            Some(itself) => itself,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use ubus::{Fields, Value};

    use super::*;
    use crate::status::{CachedMapping, Status, json};

    /// Fields in the manner of JSON.
    fn shown(fields: Fields<'_>, is_list: bool) -> String {
        let mut rows = Vec::new();
        for field in fields {
            let field = field.expect("well-formed");
            let value = match field.value {
                Value::Null => "null".to_owned(),
                Value::Array(fields) => format!("[{}]", shown(fields, true)),
                Value::Table(fields) => format!("{{{}}}", shown(fields, false)),
                Value::I8(value) => (value != 0).to_string(),
                Value::I32(value) => value.to_string(),
                Value::I64(value) => value.to_string(),
                other => json(&other.text().expect("text")).trim_end().to_owned(),
            };
            rows.push(if is_list { value } else { format!("\"{}\":{value}", field.name) });
        }
        rows.join(",")
    }

    fn written(capacity: usize, fill: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut buffer = vec![0; capacity];
        let mut writer = Writer::new(&mut buffer);
        fill(&mut writer);
        let len = writer.len().expect("room");
        shown(Fields::new(&buffer[..len]), false)
    }

    #[derive(Serialize)]
    struct Odd {
        text: String,
        nothing: Option<u8>,
        large: u64,
        negative: i32,
        list: Vec<Vec<bool>>,
    }

    #[test]
    fn what_is_told_is_what_json_says() {
        let text =
            "a \"quoted\" \\ line\n\r\t\u{8}\u{c}\u{1}, {of} [several] \u{fc}\u{1f980}".to_owned();
        let list = vec![vec![], vec![true, false]];
        let odd = Odd { text, nothing: None, large: 1 << 40, negative: -7, list };
        let row = CachedMapping { eid_prefix: "10.0.0.0/8".into(), ..CachedMapping::default() };
        let status = Status { map_cache: vec![row; 3], ok: true, ..Status::default() };
        for json in [json(&odd), status.to_json(), "{}".to_owned()] {
            let told = written(1 << 16, |writer| object(&json, writer));
            assert_eq!(format!("{{{told}}}"), json.trim_end());
        }
    }

    #[test]
    fn long_lists_are_cut_and_that_is_told() {
        let row = CachedMapping { eid_prefix: "10.0.0.0/8".into(), ..CachedMapping::default() };
        let status = Status { map_cache: vec![row.clone(); 5_000], ..Status::default() };
        let told = written(1 << 16, |writer| object(&status.to_json(), writer));
        let count = told.matches("10.0.0.0/8").count();
        assert!((20..100).contains(&count), "{count}");
        assert!(told.contains("\"counters\":[]") && told.ends_with(",\"truncated\":true"));
        let rows = json(&status.map_cache);
        let told = written(1 << 16, |writer| list("mappings", &rows, writer));
        let count = told.matches("10.0.0.0/8").count();
        assert!((300..1_000).contains(&count), "{count}");
        assert!(told.starts_with("\"mappings\":[{") && told.ends_with("}],\"truncated\":true"));
        let told = written(1 << 16, |writer| list("mappings", &json(&[row]), writer));
        assert!(told.ends_with("}]"), "{told}");
    }

    #[test]
    fn what_is_no_json_neither_panics_nor_lasts() {
        let whole = json(&Odd {
            text: "\\\u{1}\u{fc}".into(),
            nothing: None,
            large: 1,
            negative: 1,
            list: vec![],
        });
        for len in (0..whole.len()).filter(|len| whole.is_char_boundary(*len)) {
            let mut buffer = [0; 512];
            object(&whole[..len], &mut Writer::new(&mut buffer));
        }
    }
}
