//! A session waits for nobody for ever; in virtual time.

use std::sync::Arc;
use std::time::Duration;

use aggregator::{Buffer, Committer, Health, Metrics, Session, SessionEnd};
use futures::StreamExt;
use identity::{AgentIdentity, Peer, SpeaksFor};
use integrity::Hash;
use jiff::Timestamp;
use journal::{Journal, State};
use seam::{Blocking, Clock, Entropy};
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use wire::v1::{self, from_agent, from_aggregator};

/// An aggregator in memory, and a session that an agent has begun with it.
struct Line {
    to: mpsc::Sender<v1::FromAgent>,
    from: ReceiverStream<v1::FromAggregator>,
    session: JoinSet<SessionEnd>,
    _committer: JoinSet<()>,
    begun: Instant,
}

/// A session whose answers wait in a queue of so many; tests of one process share
/// the stores in its memory by `name`.
async fn line(name: &str, answers_max: usize) -> Line {
    let store = Store::open(&format!("memory://silence-{name}")).await.expect("memory");
    let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
    let journal = Journal::new(store, clock.clone(), Entropy::system(), Blocking::Inline);
    let buffer = Arc::new(Buffer::new(1 << 20, 4 << 10, Duration::from_millis(500), 4));
    let (committer, requests) = Committer::new(
        journal,
        State::new(),
        Arc::clone(&buffer),
        (clock.clone(), Entropy::system(), Blocking::Inline),
        Metrics::default(),
        Health::default(),
    );
    let mut committing = JoinSet::new();
    committing.spawn(async move {
        committer.run(CancellationToken::new()).await.expect("memory does not fail");
    });
    let nobody_is_doubted = Arc::new(|_: &Peer| None);
    let session = Session::new(
        requests,
        buffer,
        1,
        (clock, Blocking::Inline),
        Metrics::default(),
        nobody_is_doubted,
    );
    let account = "111122223333".parse().expect("an account");
    let peer = Peer {
        identity: AgentIdentity {
            organization: "example".parse().expect("a name"),
            account,
            agent: "main".parse().expect("a name"),
            speaks_for: SpeaksFor::Account(account),
        },
        fingerprint: Hash([1; 32]),
        not_before: Timestamp::MIN,
        not_after: Timestamp::MAX,
    };
    let (to, inbound) = mpsc::channel(16);
    let (outbound, from) = mpsc::channel(answers_max);
    let mut talking = JoinSet::new();
    talking.spawn(async move {
        session.run(peer, ReceiverStream::new(inbound), outbound, CancellationToken::new()).await
    });
    let from = ReceiverStream::new(from);
    Line { to, from, session: talking, _committer: committing, begun: Instant::now() }
}

impl Line {
    async fn say(&self, message: from_agent::Message) {
        let message = v1::FromAgent { message: Some(message) };
        self.to.send(message).await.expect("the session listens");
    }

    /// Says hello and opens a spool.
    async fn open(&self) {
        let spool_id = bytes::Bytes::from_static(&[7; 16]);
        self.say(from_agent::Message::Hello(v1::Hello {
            protocol: wire::PROTOCOL_VERSION,
            release: "0.1.0".to_owned(),
            spool_id: spool_id.clone(),
            head: 0,
            released: 0,
            replaces: bytes::Bytes::new(),
        }))
        .await;
        self.say(from_agent::Message::Open(v1::Open {
            spool_id,
            replaces: bytes::Bytes::new(),
            opened_by: String::new(),
            signing_key: bytes::Bytes::new(),
            signature: bytes::Bytes::new(),
        }))
        .await;
    }

    /// The session's last answer, if it was read to the end, and after how many
    /// seconds it ended.
    async fn end(mut self, reads: bool) -> (Option<from_aggregator::Message>, u64) {
        let mut last = None;
        if reads {
            while let Some(answer) = self.from.next().await {
                last = answer.message;
            }
        }
        self.session.join_next().await.expect("a session").expect("no panic");
        (last, self.begun.elapsed().as_secs())
    }
}

fn refusal(message: Option<from_aggregator::Message>) -> String {
    match message {
        Some(from_aggregator::Message::Refused(refused)) => refused.message,
        other => panic!("refused, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_never_says_hello_is_hung_up_on_within_half_a_minute() {
    let line = line("hello", 16).await;
    let (last, seconds) = line.end(true).await;
    assert_eq!(refusal(last), "the first message took too long");
    assert_eq!(seconds, 30);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_falls_silent_is_told_and_hung_up_on_after_three_heartbeats() {
    let line = line("silent", 16).await;
    line.open().await;
    let (last, seconds) = line.end(true).await;
    assert_eq!(refusal(last), "nothing was heard for too long");
    assert!((3 * wire::HEARTBEAT_SECS..=3 * wire::HEARTBEAT_SECS + 60).contains(&seconds));
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_end_a_session() {
    let line = line("unread", 1).await;
    line.open().await;
    let (_, seconds) = line.end(false).await;
    assert!((30..=60).contains(&seconds), "{seconds} s");
}
