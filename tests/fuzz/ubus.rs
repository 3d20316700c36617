//! A client of OpenWrt's bus that hears anything.

use ubus::{Client, Event, Fields, Method, ObjectId, Status, Type, Writer};

/// Octets of the client's buffers, few enough that messages do not fit.
const BUFFER_LEN: usize = 1024;

/// The method of an object of ours.
const METHODS: [Method<'_>; 1] = [Method { name: "resolve", arguments: &[("eid", Type::String)] }];

/// A stream from ubusd, in pieces as long as the first octet says: it means the same as in other
/// pieces, and fields that are emitted are the same again.
pub fn ubus(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else { return };
    let told = hear(stream, usize::from(*piece).max(1));
    assert_eq!(told, hear(stream, BUFFER_LEN / 2));
}

/// What a client makes of a stream, in words.
fn hear(stream: &[u8], piece: usize) -> Vec<String> {
    let mut client = Client::new([0; BUFFER_LEN], [0; BUFFER_LEN]);
    client.add_object().expect("room");
    client.publish("lispguard", &METHODS).expect("room");
    client.lookup("network.interface").expect("room");
    client.invoke(ObjectId(7), "dump", &mut |_| {}).expect("room");
    client.register(ObjectId(7), "ubus.object.add").expect("room");
    client.subscribe(ObjectId(7), ObjectId(8)).expect("room");
    let mut told = Vec::new();
    for mut piece in stream.chunks(piece) {
        while !piece.is_empty() {
            let space = client.space();
            assert!(!space.is_empty(), "no room for what comes");
            let (taken, rest) = piece.split_at(piece.len().min(space.len()));
            space[..taken.len()].copy_from_slice(taken);
            client.handle_received(taken.len());
            piece = rest;
            if let Err(error) = take(&mut client, &mut told) {
                told.push(error.to_string());
                return told;
            }
        }
    }
    told
}

fn take(client: &mut Client<[u8; BUFFER_LEN]>, told: &mut Vec<String>) -> Result<(), ubus::Error> {
    while let Some(event) = client.poll_event()? {
        told.push(format!("{event:?}"));
        match event {
            Event::Data { fields, .. } => told.push(repeat(fields)),
            Event::Invoked { invocation, fields, .. } => {
                told.push(repeat(fields));
                let _ = client.reply(&invocation, &mut |writer| writer.string("eid", "10.1.0.1"));
                let _ = client.finish(&invocation, Status::Ok);
                client.handle_transmitted(100);
            }
            Event::Subscribers { object, is_active } => {
                let _ =
                    client.notify(object, "peer", &mut |writer| writer.boolean("up", is_active));
                client.handle_transmitted(100);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Fields that can be emitted are the same octets when they are parsed and emitted once more.
fn repeat(fields: Fields<'_>) -> String {
    let (mut first, mut second) = ([0xa5; 2 * BUFFER_LEN], [0x5a; 2 * BUFFER_LEN]);
    let mut writer = Writer::new(&mut first);
    if let Err(error) = fields.emit(&mut writer, 16) {
        return error.to_string();
    }
    let Some(len) = writer.len() else { return "too long".to_owned() };
    let mut writer = Writer::new(&mut second);
    Fields::new(&first[..len]).emit(&mut writer, 16).expect("they are ours");
    assert_eq!(writer.len(), Some(len));
    assert_eq!(first[..len], second[..len]);
    format!("{:?}", &first[..len])
}
