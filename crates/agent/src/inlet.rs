//! Where applications push events: what they send is answered when it is on disk.
//!
//! A push is all or nothing. It is split like any source's content (records one a
//! line, `{"Records":[…]}`, arrays, envelopes; plain, gzip or zstd), appended as
//! one step and made durable, and only then accepted. Whoever gets no answer
//! sends again; an event that so comes twice is told apart by its id, later.
//!
//! # Why this is no [`Source`](crate::source::Source)
//! A source is read, and can be read again; what it yields waits while the spool
//! is full. A push cannot be asked for again and should not wait: it is refused
//! while there is no room, and its sender keeps it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use seam::{Blocking, DiskFile};
use spool::{AppendError, Entry};
use tokio::sync::Mutex;

use crate::hold::{Hold, HoldError};
use crate::places::PUSHED;
use crate::split::{Place, Splitter, Step};

/// What one push may hold, as sent.
pub const PUSH_BYTES_MAX: usize = 4 << 20;

/// What one push may hold as lines, inflated.
pub const PUSH_INFLATED_BYTES_MAX: usize = 32 << 20;

/// What a push came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Units that are on disk: records, and what was set aside.
    pub records: u64,
    /// How many of them are no events; they are kept and reported as such.
    pub set_aside: u64,
}

/// Why nothing of a push was kept.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Try again later: the agent is starting, or moves to another spool.
    #[error("the agent does not take events now; send them again")]
    NotNow,
    /// Try again later: the spool has no room.
    #[error("the agent's spool is full; send them again when there is room")]
    Full(#[source] AppendError),
    /// Send less at once.
    #[error(
        "a push holds at most {PUSH_BYTES_MAX} bytes, and {PUSH_INFLATED_BYTES_MAX} when inflated"
    )]
    TooLarge,
    /// The disk failed; the spool is opened again before anything is taken.
    #[error("the agent's disk failed; send them again")]
    Failed(#[source] HoldError),
}

/// Takes pushes into whichever spool is open.
#[derive(Clone, Default)]
pub struct Inlet(Arc<Mutex<Option<Open>>>);

struct Open {
    /// Whoever pushes does not keep a spool open that its agent has let go.
    hold: Weak<Hold>,
    /// Units put into the spool, for whoever shows progress.
    read: Arc<AtomicU64>,
    /// By source, how many units were ever pushed.
    counts: BTreeMap<String, u64>,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inlet")
    }
}

impl Inlet {
    /// Takes what an application sent under the name of a source.
    ///
    /// # Errors
    /// See [`PushError`]: nothing of it was kept then.
    pub async fn push(
        &self,
        source: &str,
        body: Bytes,
        blocking: Blocking,
    ) -> Result<Accepted, PushError> {
        let name = source.to_owned();
        let (lines, accepted) = blocking.run(move || split(&name, body)).await?;
        if lines.is_empty() {
            return Ok(accepted);
        }
        let mut open = Arc::clone(&self.0).lock_owned().await;
        let name = source.to_owned();
        // Held to the end, also if the sender goes: the spool is not left meanwhile.
        let append = move || {
            let Some(open) = open.as_mut() else { return Err(PushError::NotNow) };
            let Some(hold) = open.hold.upgrade() else { return Err(PushError::NotNow) };
            let label = serde_json::to_string(&name).unwrap_or_default();
            let count = open.counts.entry(name).or_default();
            let cursors: Vec<Vec<u8>> = (*count + 1..)
                .take(lines.len())
                .map(|number| format!("{{{label}:{{\"{PUSHED}\":{number}}}}}").into_bytes())
                .collect();
            let entries: Vec<Entry<'_>> = lines
                .iter()
                .zip(&cursors)
                .map(|(payload, cursors)| Entry { payload, cursors })
                .collect();
            match hold.append(&entries) {
                Ok(()) => {}
                Err(error @ AppendError::Full { .. }) => return Err(PushError::Full(error)),
                Err(error) => return Err(PushError::Failed(HoldError::Append(error))),
            }
            *count += lines.len() as u64;
            open.read.fetch_add(accepted.records, Ordering::Relaxed);
            Ok(accepted)
        };
        blocking.run(append).await
    }

    /// From now on, pushes go there. `counts` says how many there ever were.
    pub(crate) async fn open(
        &self,
        hold: &Arc<Hold>,
        read: Arc<AtomicU64>,
        counts: BTreeMap<String, u64>,
    ) {
        let hold = Arc::downgrade(hold);
        *self.0.lock().await = Some(Open { hold, read, counts });
    }

    /// From now on, nothing is taken; what was under way is on disk.
    pub(crate) async fn close(&self) {
        *self.0.lock().await = None;
    }
}

/// The lines of a push, and what they are.
fn split(source: &str, body: Bytes) -> Result<(Vec<Vec<u8>>, Accepted), PushError> {
    if body.len() > PUSH_BYTES_MAX {
        return Err(PushError::TooLarge);
    }
    let mut splitter = Splitter::new(source.to_owned(), None, Place::default());
    let mut body = Body(body);
    let (mut lines, mut accepted, mut bytes) = (Vec::new(), Accepted::default(), 0);
    loop {
        match splitter.step(&mut body, true) {
            Ok(Step::Found(found)) => {
                bytes += found.line.len();
                if bytes > PUSH_INFLATED_BYTES_MAX {
                    return Err(PushError::TooLarge);
                }
                let is_unit = !event::set_aside::is_continuation(&found.line);
                accepted.records += u64::from(is_unit);
                accepted.set_aside += u64::from(found.set_aside.is_some());
                lines.push(found.line);
            }
            Ok(Step::End | Step::Waiting(_)) => return Ok((lines, accepted)),
            // Memory does not fail to be read.
            Err(_) => return Err(PushError::TooLarge),
        }
    }
}

/// A body in memory, as the splitter reads files.
struct Body(Bytes);

impl DiskFile for Body {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        Ok(count)
    }

    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], records: u64, set_aside: u64) {
        let (_, accepted) = split("app", Bytes::copy_from_slice(body)).expect("split");
        assert_eq!(accepted, Accepted { records, set_aside }, "{}", body.escape_ascii());
    }

    #[test]
    fn a_push_is_split_like_any_source_and_what_is_no_event_is_kept_as_such() {
        let event = r#"{"eventVersion":"1.08","eventName":"A","eventSource":"b"}"#;
        check(b"", 0, 0);
        check(b" \n ", 0, 0);
        check(event.as_bytes(), 1, 0);
        check(format!("{event}\n{event}\n").as_bytes(), 2, 0);
        check(format!("{{\"Records\":[{event},{event}]}}").as_bytes(), 2, 0);
        check(format!("[{event}]").as_bytes(), 1, 0);
        check(format!("{event}\nnonsense\n{{\"a\":1}}\n{event}").as_bytes(), 4, 2);
        check(b"\xff\xfe\x00", 1, 1);
    }

    #[test]
    fn a_push_that_inflates_too_far_is_refused_whole() {
        let line = format!("{{\"eventVersion\":\"1.08\",\"x\":\"{}\"}}\n", "a".repeat(100_000));
        let text = line.repeat(PUSH_INFLATED_BYTES_MAX / line.len() + 1);
        let packed = zstd::bulk::compress(text.as_bytes(), 1).expect("compress");
        assert!(packed.len() < PUSH_BYTES_MAX);
        assert!(matches!(split("app", packed.into()), Err(PushError::TooLarge)));
        assert!(matches!(
            split("app", vec![b' '; PUSH_BYTES_MAX + 1].into()),
            Err(PushError::TooLarge)
        ));
    }
}
