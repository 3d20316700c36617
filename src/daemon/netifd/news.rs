//! What the object that is ours is told.

use ubus::{Fields, Invocation, Value};

/// The object that knows the interfaces, and the one that knows of carriers.
pub(super) const PATHS: [&str; 2] = ["network.interface", "network.device"];
/// The event of ubusd that tells of a new object.
pub(super) const OBJECT_ADDED: &str = "ubus.object.add";

/// What our object was told.
pub(super) enum News {
    /// One of [`PATHS`], its place there and its number.
    Added { place: usize, target: Option<u32> },
    /// Another object.
    OtherAdded,
    /// Something changed.
    Notification,
}

impl News {
    pub(super) fn new(invocation: &Invocation, method: &str, fields: Fields<'_>) -> Self {
        if invocation.caller != 0 || method != OBJECT_ADDED {
            return Self::Notification;
        }
        let (mut added, mut target) = (None, None);
        for field in fields.map_while(Result::ok) {
            match (field.name, field.value) {
                ("path", value) => added = value.text(),
                ("id", Value::I32(id)) => target = Some(id.cast_unsigned()),
                _ => {}
            }
        }
        let place = added.and_then(|added| PATHS.iter().position(|path| *path == added));
        place.map_or(Self::OtherAdded, |place| Self::Added { place, target })
    }
}
