//! Agents with a valid certificate that break the protocol, one case at a time.
//!
//! Each must be told why, or be hung up on; afterwards the aggregator is as ready
//! as before, and the honest agent beside them has been acked all the while.

use tests::oracle::check_store;
use tests::peer::{Peer, Sender, Session, framed, hello};
use tests::room::{Room, peak_memory_bytes};
use wire::v1::{self, from_agent::Message};

use crate::probe::Probe;
use crate::record;

const ACCOUNT: &str = "111122223333";
const HONEST: &str = "444455556666";
const SPOOL: [u8; 16] = [7; 16];
const MIB: usize = 1 << 20;

/// What the aggregator may use: a buffer of 16 MiB, and what sessions hold of
/// messages that are not whole.
const BYTES_MAX: u64 = 512 << 20;

/// A case: its name, what it is told (in part), and what it does to a batch that
/// would be in order.
type Lie = (&'static str, &'static str, fn(&mut Sender, v1::Batch) -> v1::Batch);

/// Batches that are not what they say.
const LIES: &[Lie] = &[
    ("from nothing", "a batch runs from 0", |_, batch| v1::Batch { from: 0, ..batch }),
    ("backwards", "a batch runs from", |_, batch| v1::Batch { to: batch.from - 1, ..batch }),
    ("to the end of numbers", "a batch runs from", |_, batch| v1::Batch { to: u64::MAX, ..batch }),
    ("to almost there", "lines; the limit is", |_, batch| v1::Batch { to: u64::MAX - 1, ..batch }),
    ("one line more", "lines for", |_, batch| v1::Batch { to: batch.to + 1, ..batch }),
    ("one line less", "lines for", |sender, _| {
        let batch = sender.batch(&[b"{}", b"{}"]);
        v1::Batch { to: batch.from, ..batch }
    }),
    ("behind a hole", "does not follow it", |sender, _| sender.batch(&[b"{}"])),
    ("over what is committed", "does not end where", |_, batch| v1::Batch {
        from: batch.from - 1,
        to: batch.to - 1,
        ..batch
    }),
    ("another chain before", "does not", |_, batch| v1::Batch {
        previous_chain: vec![1; 32].into(),
        ..batch
    }),
    ("another chain after", "does not end where the batch says", |_, batch| v1::Batch {
        chain: vec![1; 32].into(),
        ..batch
    }),
    ("a short chain", "not 32 bytes", |_, batch| v1::Batch { chain: vec![1; 31].into(), ..batch }),
    ("no chain", "not 32 bytes", |_, batch| v1::Batch {
        previous_chain: bytes::Bytes::new(),
        ..batch
    }),
    ("a smaller size", "does not inflate to", |_, batch| v1::Batch {
        inflated_bytes: batch.inflated_bytes - 1,
        ..batch
    }),
    ("a larger size", "does not inflate to", |_, batch| v1::Batch {
        inflated_bytes: batch.inflated_bytes + 1,
        ..batch
    }),
    ("no size", "does not inflate to", |_, batch| v1::Batch { inflated_bytes: 0, ..batch }),
    ("every size", "the limit is", |_, batch| v1::Batch { inflated_bytes: u64::MAX, ..batch }),
    ("a bomb that says so", "the limit is", |_, batch| v1::Batch {
        frame: bomb(64 * MIB),
        inflated_bytes: 64 << 20,
        ..batch
    }),
    ("a bomb that does not", "does not inflate to", |_, batch| v1::Batch {
        frame: bomb(64 * MIB),
        inflated_bytes: 8 << 20,
        ..batch
    }),
    ("a bomb in a bomb", "lines for", |_, batch| {
        let frame = zstd::bulk::compress(&bomb(64 * MIB), 1).expect("memory");
        v1::Batch { frame: frame.into(), inflated_bytes: bomb(64 * MIB).len() as u64, ..batch }
    }),
    ("two frames", "not exactly one zstd frame", |_, batch| v1::Batch {
        frame: [batch.frame.clone(), batch.frame.clone()].concat().into(),
        ..batch
    }),
    ("a frame and a byte", "not exactly one zstd frame", |_, batch| v1::Batch {
        frame: [batch.frame.as_ref(), b"x"].concat().into(),
        ..batch
    }),
    ("no frame", "does not inflate to", |_, batch| v1::Batch {
        frame: bytes::Bytes::new(),
        ..batch
    }),
    ("noise", "does not inflate to", |_, batch| v1::Batch {
        frame: vec![0xa5; 4_000].into(),
        ..batch
    }),
    ("half a frame", "does not inflate to", |_, batch| {
        let half = batch.frame.slice(..batch.frame.len() / 2);
        v1::Batch { frame: half, ..batch }
    }),
    ("a frame of 3 MiB", "the limit is", |_, batch| v1::Batch {
        frame: vec![0; 3 * MIB].into(),
        ..batch
    }),
    ("no line feed", "lines for", |_, batch| {
        let frame = zstd::bulk::compress(b"{}", 1).expect("memory");
        v1::Batch { frame: frame.into(), inflated_bytes: 2, ..batch }
    }),
    ("a line of 2 MiB", "a line of", |sender, _| sender.batch(&[&vec![b'x'; 2 * MIB]])),
    ("300,000 empty lines", "lines; the limit is", |sender, _| {
        sender.batch(&vec![b"".as_slice(); 300_000])
    }),
    ("a cursor that is an array", "JSON objects", |_, batch| with_cursor(batch, "files", b"[1]")),
    ("a cursor that is no JSON", "JSON objects", |_, batch| with_cursor(batch, "files", b"{")),
    ("a cursor of 200 KiB", "JSON objects", |_, batch| {
        let changes = format!("{{\"a\":\"{}\"}}", "x".repeat(200 << 10));
        with_cursor(batch, "files", changes.as_bytes())
    }),
    ("a cursor nested deep", "JSON objects", |_, batch| {
        let changes = format!("{{\"a\":{}{}}}", "[".repeat(60_000), "]".repeat(60_000));
        with_cursor(batch, "files", changes.as_bytes())
    }),
    ("a cursor with a name of 10 KiB", "JSON objects", |_, batch| {
        with_cursor(batch, &"n".repeat(10 << 10), b"{}")
    }),
    ("cursors of 65 sources", "JSON objects", |_, mut batch| {
        batch.cursors = (0..65).map(|number| cursor(&format!("s{number}"), b"{}")).collect();
        batch
    }),
    ("cursors of 6 MiB", "of cursor changes; the limit is", |_, mut batch| {
        let changes = format!("{{\"a\":\"{}\"}}", "x".repeat(100 << 10));
        let sources = 0..60;
        batch.cursors =
            sources.map(|number| cursor(&format!("s{number}"), changes.as_bytes())).collect();
        batch
    }),
    ("a cursor that outgrows its limit", "cannot be committed", |_, batch| {
        let changes = format!("{{\"a\":\"{}\"}}", "x".repeat(80 << 10));
        with_cursor(batch, "files", changes.as_bytes())
    }),
];

/// What is said instead of a session, and a part of the answer.
type Word = (&'static str, &'static str, fn(&mut Session) -> anyhow::Result<()>);

const WORDS: &[Word] = &[
    ("a batch first", "first message must be a hello", |session| {
        session.say(Message::Batch(v1::Batch::default()))
    }),
    ("want first", "first message must be a hello", |session| {
        session.say(Message::Want(v1::Want { bytes: u64::MAX }))
    }),
    ("an empty message first", "first message must be a hello", |session| session.raw(framed(b""))),
    ("no protocol", "speaks delivery protocol", |session| {
        session.say(Message::Hello(v1::Hello::default()))
    }),
    ("noise", "ended", |session| session.raw(framed(&[0xff; 5_000]))),
    ("a message of 9 MiB", "ended", |session| session.raw(framed(&vec![0; 9 * MIB]))),
    ("a message of 4 GiB", "ended", |session| {
        session.raw(bytes::Bytes::from_static(b"\0\xff\xff\xff\xffxxxx"))
    }),
    ("a compressed message", "ended", |session| {
        session.raw(bytes::Bytes::from_static(b"\x01\0\0\0\x04abcd"))
    }),
    ("a flag that is none", "ended", |session| {
        session.raw(bytes::Bytes::from_static(b"\x7f\0\0\0\x04abcd"))
    }),
    ("HTTP", "ended", |session| session.raw(bytes::Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"))),
    ("hello, and a batch without a spool", "not the active one", |session| {
        session.say(hello(&SPOOL))?;
        session.say(Message::Batch(v1::Batch::default()))
    }),
    ("hello twice", "not the active one", |session| {
        session.say(hello(&SPOOL))?;
        session.say(hello(&SPOOL))
    }),
    ("a spool of 3 bytes", "a spool id is 16 bytes", |session| {
        session.say(hello(b"abc"))?;
        session.say(Message::Open(v1::Open { spool_id: vec![1; 3].into(), ..v1::Open::default() }))
    }),
    ("a spool that replaces 17 bytes", "a spool id is 16 bytes", |session| {
        session.say(hello(&[]))?;
        let (spool_id, replaces) = (vec![1; 16].into(), vec![2; 17].into());
        session.say(Message::Open(v1::Open { spool_id, replaces, ..v1::Open::default() }))
    }),
    ("a spool that replaces nothing known", "another spool of this agent", |session| {
        session.say(hello(&[]))?;
        let (spool_id, replaces) = (vec![1; 16].into(), vec![2; 16].into());
        session.say(Message::Open(v1::Open { spool_id, replaces, ..v1::Open::default() }))
    }),
];

/// Lines that are no events, each of which must be in quarantine or a row, once.
fn no_events() -> Vec<Vec<u8>> {
    let aside = |inside: &str| format!("{{\"orgtrail_set_aside\":{{{inside}}}}}").into_bytes();
    vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"{}".to_vec(),
        b"null".to_vec(),
        b"\0".to_vec(),
        b"\xff\xfe".to_vec(),
        vec![b'['; 1 << 19],
        vec![b'x'; 1 << 20],
        b"{\"eventVersion\":\"1\"".to_vec(),
        aside("\"part\":1"),
        aside("\"part\":"),
        aside("\"part\":0,\"reason\":\"syntax\""),
        aside("\"part\":1,\"parts\":1,\"reason\":\"no such reason\""),
        aside("\"part\":4294967296,\"parts\":1,\"reason\":\"syntax\""),
        aside(
            "\"part\":1,\"parts\":1,\"reason\":\"syntax\",\"detail\":\"\",\"source\":\"../../x\",\"position\":18446744073709551615,\"length\":18446744073709551615,\"sha256\":\"00\"",
        ),
        record("999999999999", 1).into_bytes(),
        record("../../../etc", 2).into_bytes(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_breaks_the_protocol_is_told_why_and_harms_nobody() {
    let room = Room::new("flush_age_millis = 50\nbuffer_bytes = 16777216").expect("a room");
    let server = room.serve().expect("the aggregator serves");
    let honest = room.peer(HONEST, "honest").expect("a certificate");
    let probe = Probe::start(&honest, HONEST, 1).await;

    for (at, (name, told, lie)) in LIES.iter().enumerate() {
        let agent = room.peer(ACCOUNT, &format!("lie-{at}")).expect("a certificate");
        lies(&agent, *lie).await.told(name, told);
    }
    for (at, (name, told, say)) in WORDS.iter().enumerate() {
        let agent = room.peer(ACCOUNT, &format!("word-{at}")).expect("a certificate");
        let mut connection = agent.connect().await.expect("a connection");
        let mut session = connection.call().await.expect("a call");
        // It may be hung up on while it still speaks.
        let said = say(&mut session);
        let answer = session.refusal().await;
        Answer(answer.map_err(|error| format!("{error:#} after {said:?}"))).told(name, told);
    }
    headers(&room).await;
    lines_that_are_no_events(&room).await;

    let (latencies, delivered) = probe.finish().await;
    let peak = peak_memory_bytes(server.id()).expect("memory");
    let (status, said) = server.stop().expect("the aggregator ends");
    assert!(status.success() && !said.contains("panicked"), "{status}\n{said}");
    let found = check_store(&room.store()).expect("every line has one fate");
    let rows = found.get("rows").and_then(serde_json::Value::as_u64);
    println!("{} cases; peak {} MiB; {latencies:?}", LIES.len() + WORDS.len(), peak >> 20);
    assert!(rows >= Some(delivered.len() as u64), "{found}");
    assert!(peak <= BYTES_MAX, "the aggregator used {} MiB", peak >> 20);
}

struct Answer(Result<(i32, String), String>);

impl Answer {
    fn told(self, name: &str, part: &str) {
        match self.0 {
            Ok((_, sentence)) => {
                let hung_up = part == "ended" && !sentence.is_empty();
                assert!(sentence.contains(part) || hung_up, "{name}: {sentence:?}, not {part:?}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// Delivers one good record and then lies about the next.
async fn lies(agent: &Peer, lie: fn(&mut Sender, v1::Batch) -> v1::Batch) -> Answer {
    let mut sender = agent.session(SPOOL).await.expect("a session");
    sender.deliver(&[record(ACCOUNT, 1).as_bytes()]).await.expect("a good record is acked");
    sender.want(4 << 20).await.expect("credit");
    let good = sender.batch(&[record(ACCOUNT, 2).as_bytes(), record(ACCOUNT, 3).as_bytes()]);
    let batch = lie(&mut sender, good);
    let said = sender.session.say(Message::Batch(batch));
    let answer = sender.session.refusal().await;
    Answer(answer.map_err(|error| format!("{error:#} after {said:?}")))
}

/// Calls that no agent makes.
async fn headers(room: &Room) {
    let agent = room.peer(ACCOUNT, "headers").expect("a certificate");
    let huge = "x".repeat(MIB);
    let path = "/orgtrail.delivery.v1.Delivery/Deliver";
    let mut connection = agent.connect().await.expect("a connection");
    let answer = connection.call_with(path, &[("x-more", &huge)]).await;
    assert!(answer.is_err() || answer.is_ok_and(|session| session.status != Some(0)), "1 MB");
    let many: Vec<(String, String)> =
        (0..2_000).map(|number| (format!("x-{number}"), "y".repeat(100))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut connection = agent.connect().await.expect("a connection");
    let answer = connection.call_with(path, &many).await;
    assert!(answer.is_err() || answer.is_ok_and(|session| session.status != Some(0)), "many");
    let mut connection = agent.connect().await.expect("a connection");
    for other in ["/", "/orgtrail.delivery.v1.Delivery/Nothing", "/../../etc/passwd", "/%00"] {
        let mut call = connection.call_with(other, &[]).await.expect("an answer");
        while let Ok(Some(_)) = call.hear().await {}
        assert_eq!(call.status, Some(12), "{other}: unimplemented");
    }
}

async fn lines_that_are_no_events(room: &Room) {
    let agent = room.peer(ACCOUNT, "lines").expect("a certificate");
    let mut sender = agent.session(SPOOL).await.expect("a session");
    let lines = no_events();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    sender.deliver(&lines).await.expect("what they mean is not looked at");
    let empty = vec![b"".as_slice(); 100_000];
    sender.deliver(&empty).await.expect("empty lines are lines");
}

fn bomb(size: usize) -> bytes::Bytes {
    zstd::bulk::compress(&vec![b'\n'; size], 1).expect("memory").into()
}

fn cursor(source: &str, changes: &[u8]) -> v1::Cursor {
    v1::Cursor { source: source.to_owned(), changes: changes.to_vec().into() }
}

fn with_cursor(mut batch: v1::Batch, source: &str, changes: &[u8]) -> v1::Batch {
    batch.cursors = vec![cursor(source, changes)];
    batch
}
