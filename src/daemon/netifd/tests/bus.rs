//! ubusd and netifd in one, as far as Netifd talks to them; the octets are put together by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use linux::unix::Listener;

const OURS: u32 = 0x9999_0001;
/// The object that others call.
const PUBLISHED: u32 = 0x9999_0002;
const NETIFD: u32 = 0xc100_42ab;
const OTHER_CLIENT: u32 = 0x258879c0;

const OK: u32 = 0;
const METHOD_NOT_FOUND: u32 = 3;
const NOT_FOUND: u32 = 4;
const DENIED: u32 = 6;

const STATUS: u8 = 1;
const DATA: u8 = 2;
const INVOKE: u8 = 5;
const NOTIFY: u8 = 10;

/// A directory that goes away with this value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lispguard-netifd-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory of our own");
        Self(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("ubus.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the directory is ours");
    }
}

/// The bus, and its ways to misbehave.
pub(crate) struct Bus {
    path: PathBuf,
    listener: Option<Listener>,
    stream: Option<UnixStream>,
    received: Vec<u8>,
    to_send: Vec<u8>,
    sent: usize,
    held: Vec<u8>,
    interfaces: BTreeMap<String, Vec<u8>>,
    objects: BTreeMap<&'static str, u32>,
    next_object: u32,
    subscribed: Vec<u32>,
    is_registered: bool,
    /// The object that others call is there.
    pub(crate) is_published: bool,
    /// What was asked of netifd: methods and arguments.
    pub(crate) orders: Vec<(String, String)>,
    /// What subscribers of the object were told: names and fields.
    pub(crate) notifications: Vec<(String, String)>,
    /// Calls of the object: their answers, and the status that ends them.
    calls: BTreeMap<u16, (Option<u32>, String)>,
    last_call: u16,
    /// The access control forbids to publish.
    pub(crate) denies_publication: bool,
    /// netifd thinks.
    pub(crate) holds_answers: bool,
    /// Random octets instead of messages, and what they are made from.
    pub(crate) nonsense: Option<u64>,
    /// Connections are accepted, and nothing more.
    pub(crate) is_silent: bool,
    /// Nothing is read.
    pub(crate) is_deaf: bool,
    /// Octets written at once at most.
    pub(crate) piece_len: usize,
    /// Octets after which a connection is cut.
    pub(crate) cut_after: Option<usize>,
    /// The access control forbids to listen to events.
    pub(crate) denies_events: bool,
    /// The access control forbids to subscribe.
    pub(crate) denies_subscriptions: bool,
    /// Octets of other fields of each interface.
    pub(crate) filler_len: usize,
    /// The fields of interfaces are malformed.
    pub(crate) is_malformed: bool,
}

impl Bus {
    pub(crate) fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            listener: None,
            stream: None,
            received: Vec::new(),
            to_send: Vec::new(),
            sent: 0,
            held: Vec::new(),
            interfaces: BTreeMap::new(),
            objects: BTreeMap::new(),
            next_object: 0x9000_0000,
            subscribed: Vec::new(),
            is_registered: false,
            is_published: false,
            orders: Vec::new(),
            notifications: Vec::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            denies_publication: false,
            holds_answers: false,
            nonsense: None,
            is_silent: false,
            is_deaf: false,
            piece_len: usize::MAX,
            cut_after: None,
            denies_events: false,
            denies_subscriptions: false,
            filler_len: 0,
            is_malformed: false,
        }
    }

    pub(crate) fn start(&mut self) {
        self.listener = Some(Listener::bind(&self.path, 0o600).expect("bound"));
    }

    pub(crate) fn stop(&mut self) {
        (self.listener, self.stream) = (None, None);
        self.objects.clear();
    }

    pub(crate) fn start_netifd(&mut self) {
        for path in ["network.interface", "network.interface.wan", "network.device"] {
            self.next_object += 1;
            let id = self.next_object;
            self.objects.insert(path, id);
            if self.is_registered {
                let told = [field(5, "id", &id.to_be_bytes()), text("path", path)].concat();
                self.invoke(0, "ubus.object.add", &told, false);
            }
        }
    }

    /// procd has its object.
    pub(crate) fn start_procd(&mut self) {
        self.next_object += 1;
        self.objects.insert("service", self.next_object);
    }

    /// The access control does not show an object.
    pub(crate) fn hide(&mut self, path: &str) {
        self.objects.remove(path).expect("an object");
    }

    pub(crate) fn stop_netifd(&mut self) {
        for id in std::mem::take(&mut self.objects).into_values() {
            if self.subscribed.contains(&id) {
                let attributes = [number(3, OURS), number(8, id)].concat();
                self.to_send.extend(message(9, 1, 0, &attributes));
            }
            self.subscribed.retain(|target| *target != id);
        }
    }

    pub(crate) fn interface(
        &mut self,
        name: &str,
        is_up: bool,
        l3_device: Option<&str>,
        device: Option<&str>,
    ) {
        self.set(name, [is_up, false], l3_device, device);
    }

    pub(crate) fn pending(&mut self, name: &str, device: Option<&str>) {
        self.set(name, [false, true], None, device);
    }

    fn set(
        &mut self,
        name: &str,
        states: [bool; 2],
        l3_device: Option<&str>,
        device: Option<&str>,
    ) {
        let mut fields = text("interface", name);
        for (name, state) in ["up", "pending"].into_iter().zip(states) {
            fields.extend(field(7, name, &[state.into()]));
        }
        for (name, device) in [("l3_device", l3_device), ("device", device)] {
            fields.extend(device.map(|device| text(name, device)).unwrap_or_default());
        }
        self.interfaces.insert(name.to_owned(), fields);
    }

    /// How many objects are subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscribed.len()
    }

    /// netifd notifies, where it is subscribed to.
    pub(crate) fn notify(&mut self, path: &str, name: &str) {
        if self.objects.get(path).is_some_and(|id| self.subscribed.contains(id)) {
            self.invoke(NETIFD, name, &text("interface", "wan"), true);
        }
    }

    /// Another client calls the object that is to be told things.
    pub(crate) fn call_us(&mut self) {
        self.invoke(OTHER_CLIENT, "hello", &[], false);
    }

    /// An interface of our protocol, which waits for us.
    pub(crate) fn overlay(&mut self, name: &str) {
        self.pending(name, None);
        let fields = self.interfaces.get_mut(name).expect("it is set");
        fields.extend(text("proto", "lispguard"));
    }

    /// Another client calls the object that is published; the call's number.
    pub(crate) fn call(&mut self, method: &str, fields: &[u8]) -> u16 {
        self.last_call += 1;
        let named = [number(3, PUBLISHED), attribute(4, &terminated(method))].concat();
        let user = [attribute(12, b"root\0"), attribute(13, b"root\0")].concat();
        let attributes = [named, user, attribute(7, fields)].concat();
        self.to_send.extend(message(INVOKE, self.last_call, OTHER_CLIENT, &attributes));
        self.calls.insert(self.last_call, (None, String::new()));
        self.last_call
    }

    /// The status and the fields that a call was answered with, once it is over.
    pub(crate) fn answer_of(&self, call: u16) -> Option<(u32, String)> {
        let (status, fields) = self.calls.get(&call)?;
        Some(((*status)?, fields.clone()))
    }

    /// The object that is published has subscribers, or no longer.
    pub(crate) fn set_subscribers(&mut self, has_some: bool) {
        let attributes = [number(3, PUBLISHED), attribute(9, &[has_some.into()])].concat();
        self.to_send.extend(message(NOTIFY, 1, 0, &attributes));
    }

    /// Answers that were held are lost.
    pub(crate) fn forget_answers(&mut self) {
        self.held.clear();
    }

    fn invoke(&mut self, caller: u32, method: &str, fields: &[u8], is_unanswered: bool) {
        let mut attributes = Vec::new();
        if is_unanswered {
            attributes.extend(attribute(10, &[1]));
        }
        attributes.extend(number(3, OURS));
        attributes.extend(attribute(4, &terminated(method)));
        attributes.extend(attribute(7, fields));
        self.to_send.extend(message(INVOKE, 77, caller, &attributes));
    }

    /// Does what there is to do without waiting.
    pub(crate) fn run(&mut self) {
        let accepted = self.listener.as_ref().and_then(|one| one.accept().expect("an accept"));
        if let Some((stream, _)) = accepted {
            self.stream = Some(stream);
            self.received.clear();
            self.subscribed.clear();
            (self.sent, self.is_registered, self.is_published) = (0, false, false);
            self.to_send = match &mut self.nonsense {
                Some(state) => nonsense(state),
                None if self.is_silent => Vec::new(),
                None => message(0, 0, OTHER_CLIENT, &[]),
            };
        }
        let is_lost = match &mut self.stream {
            Some(stream) if !self.is_deaf => read(stream, &mut self.received).is_err(),
            _ => false,
        };
        if is_lost {
            self.stream = None;
        }
        self.answer();
        if !self.holds_answers {
            self.to_send.append(&mut self.held);
        }
        self.send();
    }

    fn send(&mut self) {
        let Some(stream) = &mut self.stream else {
            self.to_send.clear();
            return;
        };
        let left = self.cut_after.map_or(usize::MAX, |len| len - self.sent);
        let len = self.piece_len.min(self.to_send.len()).min(left);
        match stream.write(&self.to_send[..len]) {
            Ok(len) => {
                self.to_send.drain(..len);
                self.sent += len;
            }
            Err(error) => assert_ne!(error.kind(), ErrorKind::Interrupted),
        }
        if self.cut_after == Some(self.sent) {
            self.stream = None;
        }
    }

    fn answer(&mut self) {
        while let Some(word) = self.received.get(8..12) {
            let len = 8 + u32::from_be_bytes(word.try_into().expect("four octets")) as usize;
            let Some(request) = self.received.get(..len).map(<[u8]>::to_vec) else { return };
            self.received.drain(..len);
            if self.nonsense.is_none() && !self.is_silent {
                self.answer_to(&request);
            }
        }
    }

    fn answer_to(&mut self, request: &[u8]) {
        let (kind, sequence) = (request[1], u16::from_be_bytes([request[2], request[3]]));
        let asked = attributes(&request[12..]);
        let id =
            |attribute: u8| u32::from_be_bytes(asked[&attribute][..].try_into().expect("an id"));
        match kind {
            STATUS | DATA | NOTIFY => self.handle_answer(kind, sequence, &asked),
            4 => {
                let path = asked[&2].clone();
                let found = self.objects.iter().find(|(one, _)| terminated(one) == path);
                if let Some((_, object)) = found {
                    let told = [attribute(2, &path), number(3, *object), number(5, 7)].concat();
                    self.to_send.extend(message(DATA, sequence, 0, &told));
                }
                let status = if found.is_some() { OK } else { NOT_FOUND };
                self.status(sequence, 0, status);
            }
            INVOKE if id(3) == 1 => {
                assert_eq!(asked[&4], b"register\0");
                self.is_registered = !self.denies_events;
                self.status(sequence, 1, if self.denies_events { DENIED } else { OK });
            }
            INVOKE if [b"renew\0", &b"notify_proto\0"[..]].contains(&&asked[&4][..]) => {
                self.orders.push((name(&asked[&4]), shown(&asked[&7], false)));
                self.status(sequence, id(3), OK);
            }
            INVOKE if asked[&4] == b"event\0" => {
                assert_eq!(self.objects.get("service"), Some(&id(3)));
                self.orders.push((name(&asked[&4]), shown(&asked[&7], false)));
                self.status(sequence, id(3), if self.denies_events { DENIED } else { OK });
            }
            INVOKE => self.answer_call(sequence, id(3), &asked[&4]),
            6 if asked.contains_key(&2) => {
                assert_eq!(asked[&2], b"lispguard\0");
                assert!(asked.contains_key(&6), "a signature");
                if self.denies_publication {
                    return self.status(sequence, 0, DENIED);
                }
                self.is_published = true;
                let told = [number(3, PUBLISHED), number(5, 7)].concat();
                self.to_send.extend(message(DATA, sequence, 0, &told));
                self.status(sequence, 0, OK);
            }
            6 => {
                self.to_send.extend(message(DATA, sequence, 0, &number(3, OURS)));
                self.status(sequence, 0, OK);
            }
            8 if self.denies_subscriptions || !self.objects.values().any(|one| *one == id(8)) => {
                self.status(sequence, 0, NOT_FOUND);
            }
            8 => {
                assert_eq!(id(3), OURS);
                self.subscribed.push(id(8));
                self.status(sequence, 0, OK);
            }
            _ => panic!("a request of type {kind}"),
        }
    }

    /// The object that is published answers a call, or notifies.
    fn handle_answer(&mut self, kind: u8, sequence: u16, asked: &BTreeMap<u8, Vec<u8>>) {
        if asked.get(&3).is_none_or(|object| **object != PUBLISHED.to_be_bytes()) {
            return;
        }
        if kind == NOTIFY {
            assert_eq!(asked[&10], [1], "nobody is to answer");
            return self.notifications.push((name(&asked[&4]), shown(&asked[&7], false)));
        }
        let call = self.calls.get_mut(&sequence).expect("a call");
        assert_eq!(call.0, None, "it is not over");
        if kind == DATA {
            call.1.push_str(&shown(&asked[&7], false));
        } else {
            let status = asked[&1][..].try_into().expect("a status");
            call.0 = Some(u32::from_be_bytes(status));
        }
    }

    fn answer_call(&mut self, sequence: u16, object: u32, method: &[u8]) {
        if self.objects.get("network.interface") != Some(&object) {
            return self.status(sequence, object, NOT_FOUND);
        }
        if method != b"dump\0" {
            return self.status(sequence, object, METHOD_NOT_FOUND);
        }
        let filler = text("filler", &"x".repeat(self.filler_len));
        let tables = self.interfaces.values().map(|fields| {
            let malformed: &[u8] = if self.is_malformed { &[0, 0, 0, 1] } else { &[] };
            field(2, "", &[fields, malformed, &filler].concat())
        });
        let list = field(1, "interface", &tables.collect::<Vec<_>>().concat());
        let told = [number(3, object), attribute(7, &list)].concat();
        self.held.extend(message(DATA, sequence, object, &told));
        let ended = [number(1, OK), number(3, object)].concat();
        self.held.extend(message(STATUS, sequence, object, &ended));
    }

    fn status(&mut self, sequence: u16, peer: u32, status: u32) {
        self.to_send.extend(message(STATUS, sequence, peer, &number(1, status)));
    }
}

/// Reads what there is; an error when the other side is gone.
fn read(stream: &mut UnixStream, received: &mut Vec<u8>) -> Result<(), ()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(()),
            Ok(len) => received.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(()),
        }
    }
}

fn message(kind: u8, sequence: u16, peer: u32, attributes: &[u8]) -> Vec<u8> {
    let mut octets = vec![0, kind];
    octets.extend(sequence.to_be_bytes());
    octets.extend(peer.to_be_bytes());
    octets.extend((4 + attributes.len() as u32).to_be_bytes());
    octets.extend(attributes);
    octets
}

fn word(word: u32, data: &[u8]) -> Vec<u8> {
    let mut octets = (word | (4 + data.len() as u32)).to_be_bytes().to_vec();
    octets.extend(data);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

fn attribute(id: u8, data: &[u8]) -> Vec<u8> {
    word(u32::from(id) << 24, data)
}

fn number(id: u8, value: u32) -> Vec<u8> {
    attribute(id, &value.to_be_bytes())
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

pub(crate) fn field(kind: u8, name: &str, data: &[u8]) -> Vec<u8> {
    let mut octets = (name.len() as u16).to_be_bytes().to_vec();
    octets.extend(terminated(name));
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets.extend(data);
    word(1 << 31 | u32::from(kind) << 24, &octets)
}

/// A text without its NUL.
fn name(octets: &[u8]) -> String {
    String::from_utf8(octets[..octets.len() - 1].to_vec()).expect("text")
}

/// Fields in the manner of JSON, without what is around them.
fn shown(mut octets: &[u8], is_list: bool) -> String {
    let mut rows = Vec::new();
    while let [kind, a, b, c, ..] = *octets {
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let name_len = usize::from(u16::from_be_bytes([octets[4], octets[5]]));
        let name = str::from_utf8(&octets[6..6 + name_len]).expect("text");
        let data = &octets[4 + (3 + name_len).next_multiple_of(4)..len];
        let value = match kind & 0x7f {
            0 => "null".to_owned(),
            1 => format!("[{}]", shown(data, true)),
            2 => format!("{{{}}}", shown(data, false)),
            3 => format!("{:?}", str::from_utf8(&data[..data.len() - 1]).expect("text")),
            4 => i64::from_be_bytes(data.try_into().expect("eight octets")).to_string(),
            5 => i32::from_be_bytes(data.try_into().expect("four octets")).to_string(),
            7 => (data[0] != 0).to_string(),
            other => panic!("a value of type {other}"),
        };
        rows.push(if is_list { value } else { format!("\"{name}\":{value}") });
        octets = &octets[len.next_multiple_of(4)..];
    }
    rows.join(",")
}

pub(crate) fn text(name: &str, value: &str) -> Vec<u8> {
    field(3, name, &terminated(value))
}

fn attributes(mut octets: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut attributes = BTreeMap::new();
    while let [id, a, b, c, ..] = *octets {
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        attributes.insert(id, octets[4..len].to_vec());
        octets = &octets[len.next_multiple_of(4)..];
    }
    attributes
}

/// Random octets, some of them behind what looks like messages.
fn nonsense(state: &mut u64) -> Vec<u8> {
    let mut next = || {
        *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (*state >> 33) as u32
    };
    let mut octets = match next() % 4 {
        0 => message(0, 0, OTHER_CLIENT, &[]),
        1 => vec![0, 2, 0, 1, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff],
        2 => vec![0, 2, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        _ => Vec::new(),
    };
    let len = next() % 4096;
    octets.extend((0..len).map(|_| next() as u8));
    octets
}
