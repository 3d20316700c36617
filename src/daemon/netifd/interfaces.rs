//! The logical interfaces that have a network device, as netifd tells all of them at once.

use linux::Text;
use ubus::{Error, Fields, Value};

use crate::bus::call::{MAX_NAME_LEN, PATH};

/// Interfaces with a device at most; others are counted.
pub const MAX_INTERFACES: usize = 64;
/// Interfaces of our own protocol at most; others are not asked to come back.
pub(super) const MAX_OURS: usize = 4;
/// `IFNAMSIZ` without the NUL.
const MAX_DEVICE_LEN: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interface {
    name: Text<MAX_NAME_LEN>,
    device: Text<MAX_DEVICE_LEN>,
}

/// Names of interfaces of our protocol.
type Ours = heapless::Vec<Text<MAX_NAME_LEN>, MAX_OURS>;

/// What netifd told last, and what it tells now, until that is whole.
#[derive(Debug)]
pub(super) struct Interfaces {
    current: Vec<Interface>,
    coming: Vec<Interface>,
    /// Those of our protocol that are up or about to be, as told last and now.
    ours: Ours,
    coming_ours: Ours,
    /// All parts that came are usable, and there was one.
    is_usable: Option<bool>,
    refused: u64,
}

impl Interfaces {
    pub(super) fn new() -> Self {
        let [current, coming] = [(); 2].map(|()| Vec::with_capacity(MAX_INTERFACES));
        let [ours, coming_ours] = [const { Ours::new() }; 2];
        Self { current, coming, ours, coming_ours, is_usable: None, refused: 0 }
    }

    pub(super) fn device_of(&self, name: &str) -> Option<&str> {
        let found = self.current.iter().find(|interface| interface.name.as_str() == name);
        found.map(|interface| interface.device.as_str())
    }

    /// The interfaces of our protocol.
    pub(super) fn ours(&self) -> impl Iterator<Item = Text<MAX_NAME_LEN>> {
        self.ours.iter().copied()
    }

    /// Interfaces that did not fit, since the start.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// All interfaces are about to be told.
    pub(super) fn begin(&mut self) {
        self.coming.clear();
        self.coming_ours.clear();
        self.is_usable = None;
    }

    /// Takes a part of what is told.
    pub(super) fn take(&mut self, fields: Fields<'_>) -> Result<(), Error> {
        let result = self.take_all(fields);
        self.is_usable = Some(self.is_usable.unwrap_or(true) && result.is_ok());
        result
    }

    /// Everything was told: whether that changed anything; `None` when it is not usable.
    pub(super) fn finish(&mut self) -> Option<bool> {
        if self.is_usable.take() != Some(true) {
            return None;
        }
        let is_changed = self.current != self.coming;
        self.current.clone_from(&self.coming);
        self.ours.clone_from(&self.coming_ours);
        Some(is_changed)
    }

    fn take_all(&mut self, fields: Fields<'_>) -> Result<(), Error> {
        let mut list = None;
        for field in fields {
            let field = field?;
            if let ("interface", Value::Array(tables)) = (field.name, field.value) {
                list = Some(tables);
            }
        }
        for table in list.ok_or(Error::Value)? {
            let Value::Table(fields) = table?.value else { return Err(Error::Value) };
            self.take_one(fields)?;
        }
        Ok(())
    }

    fn take_one(&mut self, fields: Fields<'_>) -> Result<(), Error> {
        let (mut name, mut is_up, mut l3_device, mut device) = (None, false, None, None);
        let mut is_ours = false;
        for field in fields {
            let field = field?;
            match field.name {
                "interface" => name = field.value.text(),
                "proto" => is_ours = field.value.text() == Some(PATH),
                "up" | "pending" => is_up |= field.value.boolean().unwrap_or_default(),
                "l3_device" => l3_device = field.value.text().filter(is_device),
                "device" => device = field.value.text().filter(is_device),
                _ => {}
            }
        }
        if let (true, true, Some(name)) = (is_ours, is_up, name.and_then(Text::new)) {
            // The protocol handler asks by itself when netifd has more of them.
            let _ = self.coming_ours.push(name);
        }
        let (true, Some(device)) = (is_up, l3_device.or(device)) else { return Ok(()) };
        let interface = name.and_then(Text::new).zip(Text::new(device));
        match interface {
            Some((name, device)) if self.coming.len() < MAX_INTERFACES => {
                self.coming.push(Interface { name, device });
            }
            _ => self.refused += 1,
        }
        Ok(())
    }
}

/// False for what names no device of the kernel, such as netifd's alias of another interface.
fn is_device(name: &&str) -> bool {
    !name.is_empty() && !name.starts_with('@') && name.len() <= MAX_DEVICE_LEN
}

#[cfg(test)]
mod tests {
    use ubus::{Header, Message, Writer};

    use super::*;

    /// A connection on which the real netifd told that `wan` went down and came back on `eth0`.
    const TOLD: &[u8] = include_bytes!("../../../tests/fixtures/ubus/07_subscribe_iface.s2c.bin");

    /// The fields of an interface, as the real netifd told them.
    fn told(method: &str) -> Fields<'static> {
        let mut stream = TOLD;
        while let Some((_, len)) = Header::parse(stream).expect("a header") {
            let message = Message::parse(&stream[..len]).expect("a message");
            if message.method == Some(method) {
                return message.data.expect("fields");
            }
            stream = &stream[len..];
        }
        panic!("{method} was not told");
    }

    #[test]
    fn real_interfaces_are_understood() {
        let mut interfaces = Interfaces::new();
        for (method, device) in [("interface.update", Some("eth0")), ("interface.down", None)] {
            let mut buffer = [0; 4096];
            let mut writer = Writer::new(&mut buffer);
            writer.array("interface", &mut |writer| {
                writer.table("", &mut |writer| told(method).emit(writer, 8).expect("well-formed"));
            });
            let len = writer.len().expect("room");
            interfaces.begin();
            interfaces.take(Fields::new(&buffer[..len])).expect("well-formed");
            assert_eq!(interfaces.finish(), Some(true));
            assert_eq!(interfaces.device_of("wan"), device, "{method}");
            assert_eq!(interfaces.finish(), None, "it is told once");
        }
    }

    #[test]
    fn an_interface_of_ours_stays_known_while_all_are_told_again() {
        let mut buffer = [0; 256];
        let mut writer = Writer::new(&mut buffer);
        writer.array("interface", &mut |writer| {
            writer.table("", &mut |writer| {
                writer.string("interface", "overlay");
                writer.string("proto", PATH);
                writer.boolean("pending", true);
            });
        });
        let len = writer.len().expect("room");
        let mut interfaces = Interfaces::new();
        interfaces.begin();
        interfaces.take(Fields::new(&buffer[..len])).expect("well-formed");
        assert_eq!(interfaces.ours().count(), 0, "not everything was told");
        assert_eq!(interfaces.finish(), Some(false));
        interfaces.begin();
        assert!(interfaces.ours().eq([Text::truncated("overlay")]));
    }

    #[test]
    fn what_tells_no_interfaces_is_not_usable() {
        let mut interfaces = Interfaces::new();
        interfaces.begin();
        assert_eq!(interfaces.take(told("interface.update")), Err(Error::Value));
        assert_eq!(interfaces.finish(), None);
    }
}
