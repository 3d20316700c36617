//! What is told as fields on the bus.

use ubus::Writer;

use crate::told::{List, Object, Value};

/// Octets left for what follows a list that is cut: the word that says so, and paddings.
const RESERVE: usize = 64;
/// The part of a message that each list of an object takes at most.
const SHARE: usize = 8;

/// Writes the members of an object. Lists that would fill the message are cut, and `truncated`
/// says so.
pub(super) fn object(object: &dyn Object, writer: &mut Writer<'_>) {
    let mut table = Table { share: writer.capacity() / SHARE, is_cut: false };
    table.members(object, writer);
    table.finish(writer);
}

/// Writes a list as the field of that name, cut where the message ends.
pub(super) fn list(name: &str, list: &dyn List, writer: &mut Writer<'_>) {
    let mut table = Table { share: usize::MAX, is_cut: false };
    table.value(name, Value::List(list), writer);
    table.finish(writer);
}

struct Table {
    /// Octets of a list at most.
    share: usize,
    is_cut: bool,
}

impl Table {
    fn finish(self, writer: &mut Writer<'_>) {
        if self.is_cut {
            writer.boolean("truncated", true);
        }
    }

    fn value(&mut self, name: &str, value: Value<'_>, writer: &mut Writer<'_>) {
        match value {
            Value::Null => writer.null(name),
            Value::Flag(is_so) => writer.boolean(name, is_so),
            Value::Text(text) => writer.string(name, text),
            Value::Object(object) => {
                writer.table(name, &mut |writer| self.members(object, writer));
            }
            Value::List(list) => writer.array(name, &mut |writer| self.elements(list, writer)),
            Value::Number(number) => match (i32::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => writer.i32(name, number),
                (_, Ok(number)) => writer.i64(name, number),
                _ => writer.null(name),
            },
        }
    }

    fn members(&mut self, object: &dyn Object, writer: &mut Writer<'_>) {
        object.tell(&mut |name, value| self.value(name, value, writer));
    }

    fn elements(&mut self, list: &dyn List, writer: &mut Writer<'_>) {
        let start = writer.len().unwrap_or_default();
        let room = writer.capacity().saturating_sub(RESERVE);
        let end = start.saturating_add(self.share).min(room);
        let mut is_cut = false;
        list.tell(&mut |value| {
            is_cut = is_cut || !writer.within(end, &mut |writer| self.value("", value, writer));
        });
        self.is_cut |= is_cut;
    }
}

#[cfg(test)]
mod tests {
    use ubus::{Fields, Value};

    use super::{list, object};
    use crate::status::{CachedMapping, Status};
    use crate::told::{Object, Told, json, told};
    use ubus::Writer;

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
                other => json(other.text().expect("text").told()).trim_end().to_owned(),
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

    told! {
        struct Odd {
            text: String,
            nothing: Option<u8>,
            large: u64,
            list: Vec<Vec<bool>>,
        }
    }

    told! {
        struct Row {
            of: Vec<CachedMapping>,
        }
    }

    #[test]
    fn what_is_told_is_what_json_says() {
        let text =
            "a \"quoted\" \\ line\n\r\t\u{8}\u{c}\u{1}, {of} [several] \u{fc}\u{1f980}".to_owned();
        let list = vec![vec![], vec![true, false]];
        let odd = Odd { text, nothing: None, large: 1 << 40, list };
        let row = CachedMapping { eid_prefix: "10.0.0.0/8".into(), ..CachedMapping::default() };
        let status = Status { map_cache: vec![row.clone(); 3], ok: true, ..Status::default() };
        let row = Row { of: vec![row] };
        for one in [&odd as &dyn Object, &status, &row] {
            let told = written(1 << 16, |writer| object(one, writer));
            assert_eq!(format!("{{{told}}}"), json(crate::told::Value::Object(one)).trim_end());
        }
    }

    #[test]
    fn long_lists_are_cut_and_that_is_told() {
        let row = CachedMapping { eid_prefix: "10.0.0.0/8".into(), ..CachedMapping::default() };
        let status = Status { map_cache: vec![row.clone(); 5_000], ..Status::default() };
        let told = written(1 << 16, |writer| object(&status, writer));
        let count = told.matches("10.0.0.0/8").count();
        assert!((20..100).contains(&count), "{count}");
        assert!(told.contains("\"counters\":[]") && told.ends_with(",\"truncated\":true"));
        let told = written(1 << 16, |writer| list("mappings", &status.map_cache, writer));
        let count = told.matches("10.0.0.0/8").count();
        assert!((300..1_000).contains(&count), "{count}");
        assert!(told.starts_with("\"mappings\":[{") && told.ends_with("}],\"truncated\":true"));
        let told = written(1 << 16, |writer| list("mappings", &vec![row], writer));
        assert!(told.ends_with("}]"), "{told}");
    }
}
