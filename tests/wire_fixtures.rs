//! Every LISP control message of the captures in `tests/fixtures/lisp`, through the wire crate and back.
use std::fs;
use std::path::{Path, PathBuf};

use wire::auth::{self, AuthError};
use wire::{CONTROL_PORT, Error, Message, MessageType, SentAuthentication};

/// UDP port of the LISP data plane, whose packets are no control messages.
const DATA_PORT: u16 = 4341;

/// What comes of the messages of one capture, those inside Encapsulated Control Messages included.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Parsed, and the same octets again when emitted.
    parsed: usize,
    /// Authentic with the key of the capture, and signed again with the same octets.
    authentic: usize,
    /// Not authentic with the key of the capture.
    unauthentic: usize,
    /// Why the others were refused.
    refused: Vec<Error>,
}

#[test]
fn the_handmade_messages_come_back_unchanged() {
    let refused = vec![
        Error::UnknownVendor(0x00_1122),
        Error::UnknownAfi(8),
        Error::UnexpectedType(MessageType::MapReferral),
        Error::UnexpectedType(MessageType::SharedExtension),
        Error::UnexpectedType(MessageType::Unknown(9)),
    ];
    // The one with a key derived per message has a MAC without derivation.
    let expected = Outcome { parsed: 50, authentic: 8, unauthentic: 1, refused };
    assert_eq!(outcome(&fixtures().join("handmade.pcap"), b"secret"), expected);
}

#[test]
fn the_messages_of_open_overlay_router_come_back_unchanged() {
    let referral = Error::UnexpectedType(MessageType::MapReferral);
    // Its Map-Notify ends with an authentication field for the RTR that later drafts moved elsewhere.
    let old_draft = Error::Malformed;
    let expected: [(&str, usize, usize, &[Error]); 16] = [
        ("basic-noproxy.pcap", 14, 4, &[]),
        ("basic-proxy.pcap", 10, 4, &[]),
        ("ddt.pcap", 22, 4, &[referral, referral, referral]),
        ("elp.pcap", 13, 4, &[]),
        ("iid.pcap", 10, 4, &[]),
        ("mn-mn.pcap", 10, 4, &[]),
        ("nat-NEW-core.pcap", 34, 14, &[]),
        ("nat-NEW-xn.pcap", 5, 3, &[]),
        ("nat-OLD-core.pcap", 34, 14, &[old_draft, old_draft]),
        ("nat-OLD-xn.pcap", 5, 3, &[]),
        ("negative.pcap", 10, 4, &[]),
        ("probe.pcap", 22, 4, &[]),
        ("smr-handover.pcap", 16, 6, &[]),
        ("v6eid.pcap", 14, 8, &[]),
        ("v6rloc.pcap", 10, 4, &[]),
        ("vxlan-gpe.pcap", 10, 4, &[]),
    ];
    for (name, parsed, authentic, refused) in expected {
        let expected = Outcome { parsed, authentic, unauthentic: 0, refused: refused.to_vec() };
        let path = fixtures().join("oor").join(name);
        assert_eq!(outcome(&path, b"password"), expected, "{name}");
    }
    let captures = fs::read_dir(fixtures().join("oor")).expect("captures are in the tree");
    assert_eq!(captures.count(), expected.len(), "a capture is not looked at");
}

#[test]
fn captures_cut_short_or_changed_do_no_harm() {
    let mut state = 0x5eed_u64;
    for message in control_messages(&fixtures().join("handmade.pcap")) {
        for len in 0..message.len() {
            let _ = Message::parse(&message[..len]);
        }
        for _ in 0..1_000 {
            let mut changed = message.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % changed.len();
                changed[at] = (state >> 24) as u8;
            }
            if let Ok(parsed) = Message::parse(&changed) {
                let mut emitted = vec![0xa5; parsed.buffer_len()];
                assert_eq!(parsed.emit(&mut emitted), Ok(emitted.len()));
                assert!(!format!("{parsed} {parsed:?}").is_empty());
            }
            let _ = auth::verify(&changed, b"secret");
        }
    }
}

fn outcome(capture: &Path, key: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    for message in control_messages(capture) {
        examine(&message, key, &mut outcome);
    }
    outcome
}

fn examine(octets: &[u8], key: &[u8], outcome: &mut Outcome) {
    match auth::verify(octets, key) {
        Ok(()) => outcome.authentic += 1,
        Err(AuthError::Mismatch) => outcome.unauthentic += 1,
        Err(_) => {}
    }
    let message = match Message::parse(octets) {
        Ok(message) => message,
        Err(error) => return outcome.refused.push(error),
    };
    outcome.parsed += 1;
    let mut emitted = vec![0xa5; message.buffer_len()];
    assert_eq!(message.emit(&mut emitted), Ok(octets.len()), "{message}");
    assert_eq!(emitted, without_reserved_bits(octets), "{message}");
    sign_again(octets, key);
    if let Message::EncapsulatedControl(outer) = message {
        examine(outer.packet.message(), key, outcome);
    }
}

/// Whoever sent an authentic message computed the MAC as we do.
fn sign_again(octets: &[u8], key: &[u8]) {
    if auth::verify(octets, key) == Ok(()) {
        let mut signed = octets.to_vec();
        let len = usize::from(u16::from_be_bytes([octets[14], octets[15]]));
        signed[16..16 + len].fill(0xa5);
        auth::sign(&mut signed, key, SentAuthentication::default()).expect("it was authentic");
        assert_eq!(signed, octets);
    }
}

/// Reserved bits of the message header that the captures have set; they are sent as zero.
fn without_reserved_bits(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    match wire::message_type(&octets) {
        Ok(MessageType::EncapsulatedControl) => octets[1..4].fill(0),
        Ok(MessageType::MapRegister) => octets[2] &= !0x02,
        _ => {}
    }
    octets
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lisp")
}

/// The UDP payloads from or to the control port.
fn control_messages(capture: &Path) -> Vec<Vec<u8>> {
    let octets = fs::read(capture).expect("the capture is in the tree");
    let link_header_len = match octets[20] {
        1 => 14,
        0x14 => 20,
        other => panic!("unknown link type {other} in {}", capture.display()),
    };
    let mut messages = Vec::new();
    let mut rest = &octets[24..];
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        messages.extend(control_message(&after[link_header_len..len]));
        rest = &after[len..];
    }
    assert!(!messages.is_empty(), "no message in {}", capture.display());
    messages
}

fn control_message(packet: &[u8]) -> Option<Vec<u8>> {
    let datagram = match packet[0] >> 4 {
        4 if packet[9] == 17 => &packet[usize::from(packet[0] & 0x0f) * 4..],
        6 if packet[6] == 17 => &packet[40..],
        _ => return None,
    };
    let field = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    let (source, destination, len) = (field(0), field(2), usize::from(field(4)));
    let is_control = source == CONTROL_PORT || destination == CONTROL_PORT;
    (is_control && destination != DATA_PORT).then(|| datagram[8..len].to_vec())
}
