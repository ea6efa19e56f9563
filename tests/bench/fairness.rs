//! How long a quiet agent waits for its acks, alone and beside one that is not quiet.
//!
//!     cargo run --release -p tests --bin fairness [SECONDS]
//!
//! One aggregator on a local store. The quiet agent delivers one event every
//! 100 ms and notes how long the ack takes. Then, in turns, another agent sends
//! batches of 2,000 events as fast as credit and acks allow, in one session and
//! then in four: far more than a hundred times as much. The answer is the ratio of
//! the two; what the machine does besides is in both.

#![expect(clippy::print_stdout, reason = "a measurement tells what it measured")]

use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::peer::Peer;
use tests::room::Room;
use tokio::task::JoinSet;
use tokio::time::Instant;

const QUIET: &str = "444455556666";
const LOUD: &str = "111122223333";
const EVERY: Duration = Duration::from_millis(100);
const ROUNDS: usize = 3;
const LINES: usize = 2_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let round = Duration::from_secs(seconds);
    for flush_age_millis in [200, 2_000] {
        let room = Room::new(&format!("flush_age_millis = {flush_age_millis}"))?;
        let server = room.serve()?;
        let quiet = room.peer(QUIET, "quiet")?;
        for sessions in [1, 4] {
            let (mut alone, mut beside, mut events) = (Vec::new(), Vec::new(), 0);
            for number in 0..ROUNDS {
                alone.extend(latencies(&quiet, round).await?);
                let mut loud = JoinSet::new();
                let until = Instant::now() + round + Duration::from_millis(500);
                for session in 0..sessions {
                    // One agent is one spool: what is more than one session is as many names.
                    let peer = room.peer(LOUD, &format!("loud-{sessions}-{session}"))?;
                    loud.spawn(send_all_it_can(peer, u8::try_from(number)?, until));
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                beside.extend(latencies(&quiet, round).await?);
                while let Some(sent) = loud.join_next().await {
                    events += sent??;
                }
            }
            let rate = events / (ROUNDS as u64 * seconds);
            report(
                &format!("flush age {flush_age_millis} ms, {sessions} loud"),
                rate,
                alone,
                beside,
            );
        }
        // Killed: the table's passes over all that was sent are not what is measured.
        drop(server);
    }
    Ok(())
}

/// One event every 100 ms; how long each took.
async fn latencies(peer: &Peer, round: Duration) -> Result<Vec<Duration>> {
    let mut sender = peer.session([1; 16]).await?;
    let mut all = Vec::new();
    let until = Instant::now() + round;
    while Instant::now() < until {
        let begun = Instant::now();
        sender.deliver(&[event(all.len()).as_bytes()]).await?;
        all.push(begun.elapsed());
        tokio::time::sleep(EVERY).await;
    }
    Ok(all)
}

async fn send_all_it_can(peer: Peer, round: u8, until: Instant) -> Result<u64> {
    let mut sender = peer.session([round + 2; 16]).await.context("a loud session")?;
    let lines: Vec<String> = (0..LINES).map(event).collect();
    let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    let mut sent = 0;
    while Instant::now() < until {
        let batch = sender.batch(&lines);
        sender.send(batch).await?;
        sent += LINES as u64;
    }
    sender.acked().await?;
    Ok(sent)
}

fn event(number: usize) -> String {
    let noise = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::{LOUD}:assumed-role/r/{noise:x}"}},"eventTime":"2026-11-20T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","requestParameters":{{"bucketName":"b-{noise:x}","key":"{noise:032x}{}"}},"eventID":"{noise:032x}","eventCategory":"Data"}}"#,
        "path/".repeat(100)
    )
}

fn report(what: &str, rate: u64, alone: Vec<Duration>, beside: Vec<Duration>) {
    let [alone, beside] = [alone, beside].map(|mut all| {
        all.sort();
        let at = |share: usize| {
            let index = (all.len() * share / 100).min(all.len().saturating_sub(1));
            all.get(index).copied().unwrap_or_default().as_secs_f64() * 1_000.0
        };
        (at(50), at(99), all.len())
    });
    println!(
        "{what}: {rate} events/s beside it; alone p50 {:.0} ms p99 {:.0} ms ({}), beside p50 {:.0} ms \
         p99 {:.0} ms ({}); ratio p50 {:.2}, p99 {:.2}",
        alone.0,
        alone.1,
        alone.2,
        beside.0,
        beside.1,
        beside.2,
        beside.0 / alone.0,
        beside.1 / alone.1
    );
}
