//! What is told of the state to programs: one description for JSON and for OpenWrt's bus.

use std::fmt::Write;

/// A value that is told.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// There is none.
    Null,
    /// Whether something is so.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A text.
    Text(&'a str),
    /// Values with names.
    Object(&'a dyn Object),
    /// Values without names.
    List(&'a dyn List),
}

/// Something with named values.
pub trait Object {
    /// Tells each of them, in their order.
    fn tell(&self, to: &mut dyn FnMut(&str, Value<'_>));
}

/// Several values.
pub trait List {
    /// Tells each of them, in their order.
    fn tell(&self, to: &mut dyn FnMut(Value<'_>));
}

/// Something that is a value.
pub trait Told {
    /// The value.
    fn told(&self) -> Value<'_>;
}

/// Makes a struct an [`Object`] of its fields.
macro_rules! told {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident $(<$lifetime:lifetime>)? {
            $( $(#[$about:meta])* $of_field:vis $field:ident : $type:ty ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $visibility struct $name $(<$lifetime>)? {
            $( $(#[$about])* $of_field $field: $type ),+
        }

        impl $(<$lifetime>)? $crate::told::Object for $name $(<$lifetime>)? {
            fn tell(&self, to: &mut dyn FnMut(&str, $crate::told::Value<'_>)) {
                $( to(stringify!($field), $crate::told::Told::told(&self.$field)); )+
            }
        }

        impl $(<$lifetime>)? $crate::told::Told for $name $(<$lifetime>)? {
            fn told(&self) -> $crate::told::Value<'_> {
                $crate::told::Value::Object(self)
            }
        }
    };
}
pub(crate) use told;

macro_rules! numbers {
    ($($type:ty),+) => {
        $(
            impl Told for $type {
                fn told(&self) -> Value<'_> {
                    Value::Number(*self as u64)
                }
            }
        )+
    };
}
numbers!(u8, u16, u32, u64, usize);

impl Told for bool {
    fn told(&self) -> Value<'_> {
        Value::Flag(*self)
    }
}

impl Told for &str {
    fn told(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Told for String {
    fn told(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl<T: Told> Told for Option<T> {
    fn told(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::told)
    }
}

impl<T: Told> Told for Vec<T> {
    fn told(&self) -> Value<'_> {
        Value::List(self)
    }
}

impl<T: Told> List for Vec<T> {
    fn tell(&self, to: &mut dyn FnMut(Value<'_>)) {
        for one in self {
            to(one.told());
        }
    }
}

/// Octets that most of what is told as JSON has room in.
const ROOM: usize = 4096;

/// A value as JSON, and a newline.
pub fn json(value: Value<'_>) -> String {
    let mut text = String::with_capacity(ROOM);
    put(value, &mut text);
    text.push('\n');
    text
}

fn put(value: Value<'_>, text: &mut String) {
    let mut separator = "";
    match value {
        Value::Null => text.push_str("null"),
        Value::Flag(true) => text.push_str("true"),
        Value::Flag(false) => text.push_str("false"),
        Value::Number(number) => drop(write!(text, "{number}")),
        Value::Text(value) => write_text(value, text),
        Value::Object(object) => {
            text.push('{');
            object.tell(&mut |name, value| {
                text.push_str(separator);
                separator = ",";
                write_text(name, text);
                text.push(':');
                put(value, text);
            });
            text.push('}');
        }
        Value::List(list) => {
            text.push('[');
            list.tell(&mut |value| {
                text.push_str(separator);
                separator = ",";
                put(value, text);
            });
            text.push(']');
        }
    }
}

fn write_text(value: &str, text: &mut String) {
    text.push('"');
    for one in value.chars() {
        match one {
            '"' | '\\' => text.extend(['\\', one]),
            '\n' => text.push_str("\\n"),
            '\0'..' ' => drop(write!(text, "\\u{:04x}", u32::from(one))),
            _ => text.push(one),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    told! {
        struct Odd<'a> {
            text: &'a str,
            nothing: Option<u8>,
            some: Option<String>,
            large: u64,
            lists: Vec<Vec<bool>>,
        }
    }

    #[test]
    fn each_value_is_written_as_json_has_it() {
        let text = "a \"quoted\" \\ line\n\r\u{1}, \u{fc}\u{1f980}";
        let lists = vec![vec![], vec![true, false]];
        let some = Some(String::new());
        let odd = Odd { text, nothing: None, some, large: 1 << 40, lists };
        assert_eq!(
            json(odd.told()),
            "{\"text\":\"a \\\"quoted\\\" \\\\ line\\n\\u000d\\u0001, \u{fc}\u{1f980}\",\
             \"nothing\":null,\"some\":\"\",\"large\":1099511627776,\
             \"lists\":[[],[true,false]]}\n"
        );
    }
}
