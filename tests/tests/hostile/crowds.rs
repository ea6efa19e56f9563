//! Peers that are too many, too slow or too fast, while an honest agent delivers.
//!
//! A stranger knows no certificate; it dials from another address of this
//! machine. An agent has one and means harm. What each may take is a named limit
//! (docs/limits.md); here it is reached, and the honest agent goes on.

use std::net::Ipv4Addr;
use std::time::Duration;

use tests::oracle::check_store;
use tests::peer::{Connection, hello};
use tests::room::{Room, peak_memory_bytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use wire::v1::{self, from_agent::Message, from_aggregator};

use crate::is_long;
use crate::probe::Probe;
use crate::record;

const ACCOUNT: &str = "111122223333";
const HONEST: &str = "444455556666";
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MIB: u64 = 1 << 20;

/// What the aggregator may use while all of them are there.
const BYTES_MAX: u64 = 512 << 20;

/// Idle connections that a stranger tries to hold; each costs two descriptors here.
const IDLE_WANTED: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_get_their_share_and_an_honest_agent_goes_on() {
    let room = Room::new("flush_age_millis = 50\nbuffer_bytes = 33554432").expect("a room");
    let server = room.serve().expect("the aggregator serves");
    let honest = room.peer(HONEST, "honest").expect("a certificate");
    let probe = Probe::start(&honest, HONEST, 1).await;

    let idle = strangers_who_say_nothing(&room).await;
    // While they are there, others come in.
    let newcomer = room.peer(HONEST, "newcomer").expect("a certificate");
    let mut session = newcomer.session([1; 16]).await.expect("a newcomer is heard");
    session.deliver(&[record(HONEST, 900_001).as_bytes()]).await.expect("acked");
    eprintln!("{} of {IDLE_WANTED} idle strangers were dialled, {} are held", idle.0, idle.1.len());
    drop(idle);

    connections_of_one_agent(&room).await;
    let slow = sessions_that_trickle(&room).await;
    credit_that_is_hoarded(&room).await;
    batches_without_end(&room).await;
    hellos_without_end(&room).await;
    spools_without_end(&room).await;
    resets_without_end(&room).await;
    if is_long() {
        slow_ones_are_hung_up_on(slow).await;
    }

    let (latencies, delivered) = probe.finish().await;
    let peak = peak_memory_bytes(server.id()).expect("memory");
    let (status, said) = server.stop().expect("the aggregator ends");
    assert!(status.success() && !said.contains("panicked"), "{status}\n{said}");
    let lines = said.lines().count();
    let worst = latencies.last().copied().unwrap_or_default();
    eprintln!(
        "peak {} MiB, {lines} lines of log, {} honest records, the slowest took {worst:?}",
        peak >> 20,
        delivered.len()
    );
    assert!(lines < 5_000, "strangers fill the log: {lines} lines");
    assert!(peak <= BYTES_MAX, "the aggregator used {} MiB", peak >> 20);
    check_store(&room.store()).expect("every line has one fate");
}

/// Dials as often as it may; how often that was, and the connections still held.
async fn strangers_who_say_nothing(room: &Room) -> (usize, Vec<TcpStream>) {
    let stranger = room.peer(ACCOUNT, "stranger").expect("a certificate").from(STRANGER);
    let mut streams = Vec::new();
    for _ in 0..IDLE_WANTED {
        match stranger.tcp().await {
            Ok(stream) => streams.push(stream),
            // Descriptors or ports are at their end here.
            Err(_) => break,
        }
    }
    let dialled = streams.len();
    assert!(dialled >= 1_000, "only {dialled} connections can be had here");
    sleep(Duration::from_millis(300)).await;
    let mut held = Vec::new();
    for mut stream in streams {
        let mut byte = [0];
        // Who was hung up on reads the end, or a reset.
        if timeout(Duration::from_micros(200), stream.read(&mut byte)).await.is_err() {
            held.push(stream);
        }
    }
    assert!(held.len() <= 64, "{} handshakes of one address are under way", held.len());
    (dialled, held)
}

async fn connections_of_one_agent(room: &Room) {
    let agent = room.peer(ACCOUNT, "many").expect("a certificate");
    let mut held = Vec::new();
    for _ in 0..40 {
        let Ok(mut connection) = agent.connect().await else { continue };
        if let Ok(session) = connection.call().await {
            held.push((connection, session));
        }
    }
    assert_eq!(held.len(), 8, "connections of one agent");
    // And a second session on one of them waits for the first, or is refused.
    let (first, _session) = held.first_mut().expect("eight");
    let second = timeout(Duration::from_millis(500), first.call()).await;
    assert!(!second.is_ok_and(|call| call.is_ok()), "two sessions on one connection");
}

/// Half a message, then a byte now and then.
async fn sessions_that_trickle(room: &Room) -> Vec<(Connection, tests::peer::Session)> {
    let mut slow = Vec::new();
    for number in 0..40 {
        let agent = room.peer(ACCOUNT, &format!("slow-{number}")).expect("a certificate");
        let mut connection = agent.connect().await.expect("a connection");
        let mut session = connection.call().await.expect("a call");
        session.raw(bytes::Bytes::from_static(b"\0\0\x7f\xff\xff")).expect("half a message");
        session.raw(bytes::Bytes::from_static(b"x")).expect("a byte");
        slow.push((connection, session));
    }
    // One that said hello as it should and then goes to sleep inside a TLS record.
    let agent = room.peer(ACCOUNT, "half-tls").expect("a certificate");
    let mut stream = agent.tls().await.expect("TLS");
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.expect("half a preface");
    std::mem::forget(stream);
    slow
}

async fn slow_ones_are_hung_up_on(slow: Vec<(Connection, tests::peer::Session)>) {
    for (_connection, mut session) in slow {
        let ended = timeout(Duration::from_secs(60), session.refusal()).await;
        let (_, told) = ended.expect("after half a minute").expect("an end");
        assert!(told.contains("took too long") || told.contains("ended"), "{told}");
    }
}

/// Asks for all credit in every session and uses none of it.
async fn credit_that_is_hoarded(room: &Room) {
    let mut granted = 0;
    let mut held = Vec::new();
    for number in 0..12 {
        let agent = room.peer(ACCOUNT, &format!("hoard-{}", number % 3)).expect("a certificate");
        let Ok(mut sender) = agent.session([9; 16]).await else { continue };
        for _ in 0..10 {
            sender.session.say(Message::Want(v1::Want { bytes: u64::MAX })).expect("say");
        }
        while let Ok(Ok(Some(message))) =
            timeout(Duration::from_millis(100), sender.session.hear()).await
        {
            if let from_aggregator::Message::Credit(credit) = message {
                granted += credit.bytes;
            }
        }
        held.push(sender);
    }
    eprintln!("{} sessions hoard {} KiB of 32 MiB", held.len(), granted >> 10);
    assert!(granted <= 17 * MIB, "half of the pool is for base credits: {granted}");
    let third = room.peer(HONEST, "beside").expect("a certificate");
    let mut session = third.session([2; 16]).await.expect("a session");
    session.deliver(&[record(HONEST, 900_002).as_bytes()]).await.expect("base credit is there");
}

/// Batches as small as can be, as many as credit allows, and no ack is read.
async fn batches_without_end(room: &Room) {
    let agent = room.peer(ACCOUNT, "tiny").expect("a certificate");
    let mut sender = agent.session(SPOOL).await.expect("a session");
    let changes = format!("{{\"a\":\"{}\"}}", "x".repeat(40 << 10));
    sender.want(256 << 10).await.expect("credit");
    for number in 0..4_000_u32 {
        let mut batch = sender.batch(&[b"x"]);
        if number % 4 == 0 {
            let source = "files".to_owned();
            batch.cursors = vec![v1::Cursor { source, changes: changes.clone().into() }];
        }
        let cost = wire::batch_cost(batch.frame.len() as u64, batch.inflated_bytes);
        if sender.credit < cost {
            break;
        }
        sender.credit -= cost;
        sender.session.say(Message::Batch(batch)).expect("say");
    }
    sender.acked().await.expect("all of them are in order");
}

const SPOOL: [u8; 16] = [7; 16];

/// Hello and gone, eight at a time.
async fn hellos_without_end(room: &Room) {
    let agent = room.peer(ACCOUNT, "hello").expect("a certificate");
    let (mut welcomes, mut refusals) = (0, 0);
    let mut connection = agent.connect().await.expect("a connection");
    for _ in 0..300 {
        let Ok(mut session) = connection.call().await else {
            connection = agent.connect().await.expect("a connection");
            continue;
        };
        session.say(hello(&SPOOL)).expect("say");
        match session.hear().await {
            Ok(Some(from_aggregator::Message::Welcome(_))) => welcomes += 1,
            Ok(Some(from_aggregator::Message::Refused(refused))) => {
                assert!(refused.message.contains("too often"), "{}", refused.message);
                refusals += 1;
            }
            other => panic!("{other:?}"),
        }
        session.reset();
    }
    eprintln!("{welcomes} hellos were answered, {refusals} refused");
    assert!(welcomes < 120 && refusals > 100, "{welcomes} {refusals}");
}

/// Opens a new spool in place of the last, again and again.
async fn spools_without_end(room: &Room) {
    let agent = room.peer(ACCOUNT, "opens").expect("a certificate");
    let mut opened = 0;
    for number in 0..100_u8 {
        match agent.session([number; 16]).await {
            Ok(_) => opened += 1,
            Err(error) => assert!(format!("{error:#}").contains("too often"), "{error:#}"),
        }
    }
    eprintln!("{opened} spools were opened");
    assert!(opened <= 70, "{opened}");
}

/// Begins calls and resets them.
async fn resets_without_end(room: &Room) {
    let agent = room.peer(ACCOUNT, "resets").expect("a certificate");
    let (mut begun, mut ended) = (0, 0);
    let until = tokio::time::Instant::now() + Duration::from_secs(2);
    while tokio::time::Instant::now() < until {
        let Ok(mut connection) = agent.connect().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        for _ in 0..1_000 {
            match connection.start("/orgtrail.delivery.v1.Delivery/Deliver", &[]).await {
                Ok((mut send, _)) => {
                    begun += 1;
                    send.send_reset(h2::Reason::CANCEL);
                }
                Err(_) => {
                    ended += 1;
                    break;
                }
            }
        }
    }
    eprintln!("{begun} calls were reset; {ended} connections were ended for it");
}
