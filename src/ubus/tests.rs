//! Real connections: what the program `ubus` and ubusd said to each other.

use crate::{
    Client, Error, Event, Fields, HEADER_LEN, Header, MAX_REQUESTS, Message, MessageType, Method,
    ObjectId, SYSTEM_OBJECT, Status, Type, Value, Writer,
};

/// One connection, and how many messages went to and came from ubusd.
struct Capture {
    name: &'static str,
    sent: &'static [u8],
    received: &'static [u8],
    counts: (usize, usize),
}

macro_rules! captures {
    ($($name:literal $sent:literal $received:literal;)*) => {
        [$(Capture {
            name: $name,
            sent: include_bytes!(concat!("../../tests/fixtures/ubus/", $name, ".c2s.bin")),
            received: include_bytes!(concat!("../../tests/fixtures/ubus/", $name, ".s2c.bin")),
            counts: ($sent, $received),
        }),*]
    };
}

const CAPTURES: [Capture; 14] = captures! {
    "01_list_wan" 1 3;
    "02_list_glob" 1 6;
    "03_call_status" 2 5;
    "04_call_set_data" 2 4;
    "05_listen_all" 4 6;
    "06_listen_prefix" 4 6;
    "07_subscribe_iface" 3 8;
    "08_send_event" 1 2;
    "09_call_notfound" 1 2;
    "10_call_badmethod" 2 4;
    "11_wait_for" 3 12;
    "12_monitor" 2 15;
    "13_publish_server" 8 11;
    "14_target_gone" 3 7;
};

fn capture(name: &str) -> &'static Capture {
    const { &CAPTURES }.iter().find(|capture| capture.name == name).expect("a capture")
}

/// The messages of a stream, each with its octets.
fn messages(mut stream: &[u8]) -> Vec<(Message<'_>, &[u8])> {
    let mut messages = Vec::new();
    while let Some((_, len)) = Header::parse(stream).expect("a header") {
        let (octets, rest) = stream.split_at(len);
        messages.push((Message::parse(octets).expect("a message"), octets));
        stream = rest;
    }
    assert_eq!(stream, b"");
    messages
}

fn client() -> Client<Vec<u8>> {
    Client::new(vec![0; 4096], vec![0; 1024])
}

/// What a client makes of a stream that comes in pieces of a length, in words.
fn events(client: &mut Client<Vec<u8>>, stream: &[u8], piece: usize) -> Vec<String> {
    let mut told = Vec::new();
    for piece in stream.chunks(piece) {
        client.space()[..piece.len()].copy_from_slice(piece);
        client.handle_received(piece.len());
        while let Some(event) = client.poll_event().expect("a stream") {
            told.push(format!("{event:?}"));
        }
    }
    told
}

/// Makes the request that a captured message makes; false for what this client never asks.
fn repeat(client: &mut Client<Vec<u8>>, message: &Message<'_>) -> bool {
    match (message.header.message_type, message.object, message.path) {
        (MessageType::AddObject, _, Some(path)) => {
            client.publish(path, &METHODS).expect("room");
        }
        (MessageType::AddObject, _, None) => {
            client.add_object().expect("room");
        }
        (MessageType::Lookup, _, Some(path)) => {
            client.lookup(path).expect("room");
        }
        (MessageType::Subscribe, Some(object), _) => {
            client.subscribe(object, message.target.expect("a target")).expect("room");
        }
        (MessageType::Invoke, Some(object), _) => {
            let (method, fields) = (message.method.expect("a method"), message.data);
            let fields = fields.expect("fields");
            let mut result = Ok(());
            let mut fill = |writer: &mut Writer<'_>| result = fields.emit(writer, 8);
            client.invoke(object, method, &mut fill).expect("room");
            // The program itself sends something else than fields to start monitoring.
            return result.is_ok();
        }
        _ => return false,
    }
    true
}

#[test]
fn every_captured_message_is_understood() {
    for Capture { name, sent, received, counts } in &CAPTURES {
        let (sent, received) = (messages(sent), messages(received));
        assert_eq!((sent.len(), received.len()), *counts, "{name}");
        for (message, octets) in sent.iter().chain(&received) {
            let Some(fields) = message.data else { continue };
            let mut buffer = [0xa5; 4096];
            let mut writer = Writer::new(&mut buffer);
            let is_monitor = *name == "12_monitor" && message.object == Some(ObjectId(3));
            assert_eq!(fields.emit(&mut writer, 8).is_err(), is_monitor, "{name}: {message:?}");
            let len = writer.len().expect("room");
            if !is_monitor {
                assert!(octets.ends_with(&buffer[..len]), "{name}: {message:?}");
            }
        }
    }
}

#[test]
fn requests_and_answers_are_what_the_program_ubus_sends() {
    let mut compared = 0;
    for Capture { name, sent, received, .. } in &CAPTURES {
        let mut client = client();
        let sent = messages(sent);
        let is_answer = |kind| matches!(kind, MessageType::Status | MessageType::Data);
        let (answers, requests): (Vec<_>, Vec<_>) =
            sent.iter().partition(|(message, _)| is_answer(message.header.message_type));
        for (message, octets) in requests {
            if repeat(&mut client, &message) {
                assert_eq!(client.waiting(), octets, "{name}");
                compared += 1;
            } else if client.waiting().is_empty() {
                client.lookup("a request of the same number").expect("room");
            }
            client.handle_transmitted(client.waiting().len());
        }
        let answers: Vec<_> =
            answers.iter().filter(|(message, _)| message.status.is_some()).collect();
        let mut finished = 0;
        client.space()[..received.len()].copy_from_slice(received);
        client.handle_received(received.len());
        while let Some(event) = client.poll_event().expect("a stream") {
            let Event::Invoked { invocation, .. } = event else { continue };
            let Some((answer, octets)) = answers.get(finished) else {
                client.finish(&invocation, Status::Ok).expect("room");
                assert_eq!(client.waiting(), b"", "{name}: nobody waits");
                continue;
            };
            client.finish(&invocation, answer.status.expect("a status")).expect("room");
            assert_eq!(client.waiting(), *octets, "{name}");
            client.handle_transmitted(octets.len());
            finished += 1;
        }
        assert_eq!(finished, answers.len(), "{name}");
        compared += finished;
    }
    // Of 37; five monitor, or look up everything.
    assert_eq!(compared, 32);
}

/// The methods that the program of a capture publishes, one of them with a slip of its author's.
const METHODS: [Method<'_>; 3] = [
    Method { name: "hello", arguments: &[("id", Type::I32), ("msg", Type::String)] },
    Method { name: "watch", arguments: &[("id", Type::I32), ("counter", Type::I32)] },
    Method { name: "count", arguments: &[("to", Type::I32), ("string", Type::String)] },
];

#[test]
fn an_object_is_published_called_and_heard_as_the_real_one_is() {
    let Capture { sent, received, .. } = capture("13_publish_server");
    let sent = messages(sent);
    let is_kind =
        |kind| move |(message, _): &&(Message<'_>, &[u8])| message.header.message_type == kind;
    let mut client = client();
    let published = client.publish("test", &METHODS).expect("room");
    assert_eq!(client.waiting(), sent[0].1);
    client.handle_transmitted(client.waiting().len());
    client.space()[..received.len()].copy_from_slice(received);
    client.handle_received(received.len());
    let (mut ours, mut replies, mut subscribers) = (None, 0, Vec::new());
    while let Some(event) = client.poll_event().expect("a stream") {
        match event {
            Event::Object { request, object, .. } if request == published => ours = Some(object),
            Event::Subscribers { object, is_active } => {
                assert_eq!(Some(object), ours);
                subscribers.push(is_active);
            }
            Event::Invoked { invocation, method, .. } if method != "watch" => {
                let data = sent.iter().filter(is_kind(MessageType::Data)).nth(replies);
                let (answer, octets) = data.expect("an answer");
                let fields = answer.data.expect("fields");
                let mut fill =
                    |writer: &mut Writer<'_>| fields.emit(writer, 1).expect("well-formed");
                client.reply(&invocation, &mut fill).expect("room");
                assert_eq!(client.waiting(), *octets);
                client.handle_transmitted(octets.len());
                let mut unanswered = invocation;
                unanswered.is_unanswered = true;
                client.reply(&unanswered, &mut fill).expect("nothing");
                assert_eq!(client.waiting(), b"", "nobody waits");
                replies += 1;
            }
            _ => {}
        }
    }
    assert_eq!((replies, subscribers), (2, vec![true, false]));
}

#[test]
fn a_notification_is_one_message_that_nobody_answers() {
    let mut client = client();
    client.notify(ObjectId(0x0102_0304), "peer", &mut |writer| writer.i8("up", 1)).expect("room");
    let expected = b"\0\x0a\0\x01\x01\x02\x03\x04\0\0\0\x34\
        \x03\0\0\x08\x01\x02\x03\x04\x04\0\0\x09peer\0\0\0\0\x0a\0\0\x05\x01\0\0\0\
        \x07\0\0\x14\x87\0\0\x0d\0\x02up\0\0\0\0\x01\0\0\0";
    assert_eq!(client.waiting().len(), expected.len());
    assert_eq!(client.waiting(), expected);
    let full = client.notify(ObjectId(1), "peer", &mut |writer| writer.string("a", [0; 2000]));
    assert_eq!(full, Err(Error::Overfull));
    assert_eq!(client.waiting(), expected, "it leaves no trace");
}

#[test]
fn what_would_be_too_long_is_not_written() {
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer);
    assert!(writer.within(64, &mut |writer| writer.i32("a", 1)));
    assert_eq!(writer.len(), Some(12));
    assert!(!writer.within(20, &mut |writer| writer.i32("b", 2)));
    assert!(!writer.within(1000, &mut |writer| writer.string("b", [b'x'; 100])));
    assert_eq!(writer.len(), Some(12));
    assert!(writer.within(24, &mut |writer| writer.i32("c", 3)));
    writer.string("d", [b'x'; 100]);
    assert!(!writer.within(1000, &mut |_| {}));
    assert_eq!((writer.len(), writer.capacity()), (None, 64));
}

#[test]
fn a_stream_means_the_same_in_any_pieces() {
    for Capture { name, sent, received, .. } in &CAPTURES {
        let ask = || {
            let mut client = client();
            for (message, _) in messages(sent) {
                repeat(&mut client, &message);
            }
            client
        };
        let whole = events(&mut ask(), received, received.len());
        assert_eq!(whole[0], "Connected", "{name}");
        for piece in [1, 2, 3, 5, 8, 13, 100, 347] {
            assert_eq!(events(&mut ask(), received, piece), whole, "{name}, pieces of {piece}");
        }
    }
}

#[test]
fn a_subscription_is_told_what_happens_until_its_target_is_gone() {
    let mut client = client();
    let ours = ObjectId(0x96c7_8529);
    let target = ObjectId(0xa40a_6dc1);
    let added = client.add_object().expect("room");
    let found = client.lookup("network.interface").expect("room");
    let subscribed = client.subscribe(ours, target).expect("room");
    let stream = capture("14_target_gone").received;
    client.space()[..stream.len()].copy_from_slice(stream);
    client.handle_received(stream.len());
    let path = Some("network.interface");
    let status = Status::Ok;
    for expected in [
        Event::Connected,
        Event::Object { request: added, object: ours, path: None },
        Event::Completed { request: added, status },
        Event::Object { request: found, object: target, path },
        Event::Completed { request: found, status },
        Event::Completed { request: subscribed, status },
        Event::Unsubscribed { target },
    ] {
        assert_eq!(client.poll_event(), Ok(Some(expected)));
    }
    assert_eq!(client.poll_event(), Ok(None));
}

#[test]
fn a_notification_and_an_event_are_told_with_their_fields() {
    for (name, method, caller, is_unanswered, field) in [
        ("07_subscribe_iface", "interface.down", 0xc100_42ab, true, ("interface", "wan")),
        ("05_listen_all", "network.interface", 0, false, ("action", "ifdown")),
    ] {
        let mut client = client();
        let stream = capture(name).received;
        client.space()[..stream.len()].copy_from_slice(stream);
        client.handle_received(stream.len());
        loop {
            let event = client.poll_event().expect("a stream").expect("an event");
            let Event::Invoked { invocation, method: told, mut fields } = event else { continue };
            assert_eq!((told, invocation.caller), (method, caller));
            assert_eq!(invocation.is_unanswered, is_unanswered);
            let first = fields.next().expect("a field").expect("well-formed");
            assert_eq!((first.name, first.value.text()), (field.0, Some(field.1)));
            break;
        }
    }
}

#[test]
fn failures_are_told_as_they_are() {
    for (name, expected) in
        [("09_call_notfound", Status::NotFound), ("10_call_badmethod", Status::MethodNotFound)]
    {
        let mut client = client();
        for (message, _) in messages(capture(name).sent) {
            repeat(&mut client, &message);
        }
        let told = events(&mut client, capture(name).received, 64);
        assert!(told.last().expect("events").contains(&format!("{expected:?}")), "{told:?}");
    }
}

#[test]
fn what_is_longer_than_the_buffer_is_told_and_skipped() {
    let mut client = Client::new(vec![0; 400], vec![0; 400]);
    let object = ObjectId(0xb980_2538);
    let found = client.lookup("network.interface.wan").expect("room");
    let called = client.invoke(object, "status", &mut |_| {}).expect("room");
    let told = events(&mut client, capture("03_call_status").received, 17);
    let completed = |request| Event::Completed { request, status: Status::Ok };
    assert_eq!(told.len(), 5);
    assert_eq!(told[2], format!("{:?}", completed(found)));
    assert!(told[3].starts_with("TooLong(Header { message_type: Data, "), "{}", told[3]);
    assert_eq!(told[4], format!("{:?}", completed(called)));
    let mut announced = vec![0, 2, 0, 1, 0, 0, 0, 0, 0, 0x10, 0, 0];
    announced.resize(announced.len() + (1 << 20) - 4, 0xff);
    announced.extend(capture("01_list_wan").received);
    let told = events(&mut client, &announced, 64);
    assert!(told[0].starts_with("TooLong(Header { message_type: Data, "), "{}", told[0]);
    assert_eq!(told[1], "Connected");
}

#[test]
fn a_stream_that_makes_no_sense_is_an_error_for_good() {
    for (header, error) in [
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4], Error::Version(1)),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], Error::Length(3)),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 1], Error::Length(0x10_0001)),
    ] {
        let mut client = client();
        client.space()[..HEADER_LEN].copy_from_slice(&header);
        client.handle_received(HEADER_LEN);
        assert_eq!(client.poll_event(), Err(error));
        assert_eq!(client.poll_event(), Err(error));
        client.reset();
        assert_eq!(client.poll_event(), Ok(None));
    }
}

#[test]
fn a_malformed_message_does_not_touch_the_next() {
    let mut stream = b"\0\x01\0\x01\0\0\0\0\0\0\0\x0b\x01\0\0\x07\0\0\0".to_vec();
    stream.extend(capture("01_list_wan").received);
    let told = events(&mut client(), &stream, stream.len());
    assert_eq!(told[..2], ["Malformed(Truncated)", "Connected"]);
}

#[test]
fn every_truncated_message_is_refused() {
    for Capture { received, .. } in &CAPTURES {
        for (_, octets) in messages(received) {
            for len in 0..octets.len() {
                assert_eq!(Message::parse(&octets[..len]), Err(Error::Truncated));
            }
        }
    }
}

#[test]
fn what_was_not_asked_or_is_forgotten_is_unexpected() {
    let mut client = client();
    let request = client.lookup("network.interface.wan").expect("room");
    client.forget(request);
    let told = events(&mut client, capture("01_list_wan").received, 64);
    assert_eq!(told, ["Connected", "Unexpected(Data)", "Unexpected(Status)"]);
}

#[test]
fn requests_without_room_are_refused_and_leave_no_trace() {
    let mut client = Client::new([0; 64], [0; 64]);
    assert_eq!(client.lookup(&"x".repeat(60)), Err(Error::Overfull));
    assert_eq!(client.waiting(), b"");
    for _ in 0..MAX_REQUESTS {
        client.add_object().expect("room");
        client.handle_transmitted(client.waiting().len());
    }
    assert_eq!(client.add_object(), Err(Error::TooManyRequests));
    assert_eq!(client.waiting(), b"");
}

#[test]
fn numbers_of_requests_in_flight_are_not_given_again() {
    let mut client = client();
    let first = client.add_object().expect("room");
    for _ in 1..u16::MAX {
        let request = client.add_object().expect("room");
        client.handle_transmitted(client.waiting().len());
        assert_ne!(request, first);
        client.forget(request);
    }
    let zero = client.add_object().expect("room");
    let next = client.add_object().expect("room");
    assert!(zero != first && next != first && zero != next);
}

#[test]
fn what_waits_is_sent_in_any_pieces() {
    let mut client = client();
    let mut sent = Vec::new();
    for _ in 0..100 {
        let request = client.register(ObjectId(7), "ubus.object.add").expect("room");
        client.forget(request);
        for _ in 0..4 {
            let piece = client.waiting().len().min(23);
            sent.extend_from_slice(&client.waiting()[..piece]);
            client.handle_transmitted(piece);
        }
    }
    sent.extend_from_slice(client.waiting());
    let messages = messages(&sent);
    assert_eq!(messages.len(), 100);
    assert!(messages.iter().all(|(message, _)| message.object == Some(SYSTEM_OBJECT)));
}

#[test]
fn a_field_must_fit_its_type_and_its_name() {
    let fields = |octets| Fields::new(octets).next().expect("one field");
    assert_eq!(fields(b"\x85\0\0\x0a\0\x01a\0\0\0"), Err(Error::Truncated), "padding is cut off");
    assert_eq!(fields(b"\x85\0\0\x0a\0\x01a\0\0\0\0\0"), Err(Error::Value), "two octets of four");
    assert_eq!(fields(b"\x87\0\0\x09\0\x01a\x01\x01\0\0\0"), Err(Error::Name), "no NUL");
    assert_eq!(fields(b"\x87\0\0\x09\0\x01\0\0\x01\0\0\0"), Err(Error::Name), "a NUL inside");
    assert_eq!(fields(b"\x87\0\0\x09\0\x01\xff\0\x01\0\0\0"), Err(Error::Name), "no UTF-8");
    assert_eq!(fields(b"\x87\0\0\x09\0\x40a\0\x01\0\0\0"), Err(Error::Truncated), "a long name");
    assert_eq!(fields(b"\x83\0\0\x09\0\x01a\0b\0\0\0"), Err(Error::Value), "no NUL in the text");
    let field = fields(b"\x83\0\0\x0a\0\x01a\0\xff\0\0\0").expect("any encoding");
    assert_eq!((field.value, field.value.text()), (Value::String(b"\xff"), None));
    let field = fields(b"\x89\0\0\x09\0\x01a\0\x01\0\0\0").expect("something newer");
    assert_eq!(field.value, Value::Unknown(9, &[1]));
    let field = fields(b"\x87\0\0\x09\0\x01a\0\x02\0\0\0").expect("a truth value");
    assert_eq!(field.value.boolean(), Some(true));
}

#[test]
fn tables_nested_deeper_than_asked_for_are_refused() {
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer);
    writer.table("a", &mut |writer| writer.array("b", &mut |writer| writer.boolean("", true)));
    let len = writer.len().expect("room");
    let fields = Fields::new(&buffer[..len]);
    let mut copy = [0; 256];
    assert_eq!(fields.emit(&mut Writer::new(&mut copy), 1), Err(Error::Value));
    assert_eq!(fields.emit(&mut Writer::new(&mut copy), 2), Ok(()));
    assert_eq!(copy, buffer);
}
