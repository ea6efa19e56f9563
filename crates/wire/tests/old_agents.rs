//! Agents of other releases keep working: the bytes of every message are fixed.
//!
//! `golden/messages.txt` holds one line per message: its name and its encoding
//! in hexadecimal. A line may be added, never changed. `UPDATE_GOLDEN=1` writes
//! the file anew.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use prost::bytes::Bytes;
use wire::v1::{
    Ack, Batch, Credit, Cursor, FromAgent, FromAggregator, Gap, Gapped, GiveBack, Heartbeat, Hello,
    Leaves, Open, Opened, Position, Progress, Refusal, Refused, SourceProgress, Want, WantLeaves,
    Welcome, from_agent, from_aggregator,
};

fn bytes<const N: usize>(first: u8) -> Bytes {
    (0..N)
        .map(|index| first.wrapping_add(u8::try_from(index).expect("N is small")))
        .collect::<Vec<u8>>()
        .into()
}

fn cursor() -> Cursor {
    Cursor {
        source: "central-bucket".into(),
        changes: Bytes::from_static(br#"{"low":"a/b","done":null}"#),
    }
}

fn progress() -> Progress {
    Progress {
        head: 4_096,
        sources: vec![
            SourceProgress {
                source: "central-bucket".into(),
                caught_up_at_millis: Some(1_795_000_000_123),
                known_delay_secs: Some(900),
            },
            SourceProgress {
                source: "push".into(),
                caught_up_at_millis: None,
                known_delay_secs: None,
            },
        ],
    }
}

/// One of each message an agent sends, every field set.
fn from_agents() -> Vec<(&'static str, FromAgent)> {
    use from_agent::Message;
    let hello = Hello {
        protocol: 1,
        release: "0.1.0".into(),
        spool_id: bytes::<16>(0x10),
        head: 300,
        released: 200,
        replaces: bytes::<16>(0x30),
    };
    let open = Open {
        spool_id: bytes::<16>(0x10),
        replaces: bytes::<16>(0x30),
        opened_by: "host-1 pid 42".into(),
        signing_key: bytes::<32>(0x40),
        signature: bytes::<64>(0x60),
    };
    let batch = Batch {
        from: 201,
        to: 300,
        previous_chain: bytes::<32>(0x01),
        chain: bytes::<32>(0x21),
        cursors: vec![cursor()],
        frame: bytes::<24>(0x80),
        inflated_bytes: 123_456,
        progress: Some(progress()),
        signature: bytes::<64>(0x60),
    };
    let heartbeat = Heartbeat { progress: Some(progress()) };
    vec![
        ("hello", Message::Hello(hello)),
        ("open", Message::Open(open)),
        ("batch", Message::Batch(batch)),
        ("heartbeat", Message::Heartbeat(heartbeat)),
        ("want", Message::Want(Want { bytes: 2 << 20 })),
        ("give_back", Message::GiveBack(GiveBack { bytes: 3 << 20 })),
        ("want_leaves", Message::WantLeaves(WantLeaves { from: 201 })),
        ("gap", Message::Gap(Gap { first: 250, last: 260, reason: "unreadable".into() })),
    ]
    .into_iter()
    .map(|(name, message)| (name, FromAgent { message: Some(message) }))
    .collect()
}

/// One of each message an aggregator sends, every field set.
fn from_aggregators() -> Vec<(&'static str, FromAggregator)> {
    use from_aggregator::Message;
    let welcome = Welcome {
        protocol: 1,
        release: "0.1.0".into(),
        journal_head: 1_024,
        active_spool_id: bytes::<16>(0x10),
        position: Some(Position { watermark: 200, chain: bytes::<32>(0x01), ended: true }),
        cursors: vec![cursor()],
        fenced_by: "host-2 pid 7".into(),
        takes_back: false,
    };
    let opened = Opened { spool_id: bytes::<16>(0x10), record: 1_025, cursors: vec![cursor()] };
    let ack = Ack { spool_id: bytes::<16>(0x10), to: 300, chain: bytes::<32>(0x21), record: 1_026 };
    let refused =
        Refused { reason: Refusal::Fenced.into(), message: "another spool is active".into() };
    vec![
        ("welcome", Message::Welcome(welcome)),
        (
            "welcome_takes_back",
            Message::Welcome(Welcome { takes_back: true, ..Welcome::default() }),
        ),
        ("opened", Message::Opened(opened)),
        ("credit", Message::Credit(Credit { bytes: 4 << 20 })),
        ("ack", Message::Ack(ack)),
        ("refused", Message::Refused(refused)),
        ("leaves", Message::Leaves(Leaves { from: 201, leaves: bytes::<64>(0x90), last: true })),
        ("gapped", Message::Gapped(Gapped { record: 1_027 })),
    ]
    .into_iter()
    .map(|(name, message)| (name, FromAggregator { message: Some(message) }))
    .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &str) -> Vec<u8> {
    let digit =
        |byte: u8| u8::try_from(char::from(byte).to_digit(16).expect("a digit")).expect("below 16");
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    assert!(odd.is_empty(), "two digits a byte");
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

#[test]
fn the_bytes_of_every_message_are_those_of_the_first_release() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/messages.txt");
    let encoded = from_agents()
        .iter()
        .map(|(name, message)| (*name, message.encode_to_vec()))
        .chain(from_aggregators().iter().map(|(name, message)| (*name, message.encode_to_vec())))
        .map(|(name, bytes)| (name.to_owned(), hexadecimal(&bytes)))
        .collect::<BTreeMap<String, String>>();

    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = encoded.iter().map(|(name, hex)| format!("{name} {hex}\n")).collect::<String>();
        std::fs::write(&path, text).expect("write golden/messages.txt");
    }

    let golden = std::fs::read_to_string(&path).expect("read golden/messages.txt");
    let golden = golden
        .lines()
        .map(|line| line.split_once(' ').expect("a name and its bytes"))
        .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
        .collect::<BTreeMap<String, String>>();
    assert_eq!(encoded, golden);

    for (name, message) in from_agents() {
        let decoded = FromAgent::decode(from_hexadecimal(&golden[name]).as_slice())
            .expect("golden bytes decode");
        assert_eq!(decoded, message, "{name}");
    }
    for (name, message) in from_aggregators() {
        let decoded = FromAggregator::decode(from_hexadecimal(&golden[name]).as_slice())
            .expect("golden bytes decode");
        assert_eq!(decoded, message, "{name}");
    }
}

#[test]
fn what_a_newer_peer_adds_is_passed_over() {
    // Field 100, a byte string, behind a known field and in place of a known message.
    const UNKNOWN: &[u8] = &[0xa2, 0x06, 0x02, b'h', b'i'];

    let known = Want { bytes: 7 };
    let mut longer = known.encode_to_vec();
    longer.extend_from_slice(UNKNOWN);
    assert_eq!(Want::decode(longer.as_slice()).expect("unknown fields decode"), known);

    let other = FromAgent::decode(UNKNOWN).expect("unknown messages decode");
    assert_eq!(other.message, None);

    let reason = Refused { reason: 99, message: String::new() };
    let decoded =
        Refused::decode(reason.encode_to_vec().as_slice()).expect("unknown reasons decode");
    assert_eq!(Refusal::try_from(decoded.reason).ok(), None);
    assert_eq!(decoded.reason(), Refusal::Unspecified);
}
