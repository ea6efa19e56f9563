//! A program under test while it runs: what it says, and how it is ended.
//!
//! Both outputs are read line by line into memory as they come, so a test can
//! wait for a sentence and a failure can show all that was said. A value that
//! is dropped kills its program.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a program may take to say or do what a test waits for, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often the end of a program is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

/// All that a program has said so far.
#[derive(Debug, Default)]
struct Said {
    text: Mutex<String>,
    more: Condvar,
}

impl Process {
    /// Starts `command`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("NO_COLOR", "1");
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let said = Arc::new(Said::default());
        let out = child.stdout.take().context("standard output is a pipe")?;
        let errors = child.stderr.take().context("standard error is a pipe")?;
        let readers = vec![said.listen(out), said.listen(errors)];
        Ok(Self { child, said, readers })
    }

    /// The number that the system knows it by.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said `sentence`, now or before.
    ///
    /// # Errors
    /// If it has not within [`PATIENCE`], with all that it did say.
    pub fn wait_for(&self, sentence: &str) -> Result<()> {
        self.wait_for_times(sentence, 1)
    }

    /// Waits until it has said `sentence` at least this often.
    ///
    /// # Errors
    /// If it has not within [`PATIENCE`], with all that it did say.
    pub fn wait_for_times(&self, sentence: &str, times: usize) -> Result<()> {
        let text = self.said.text.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |text: &mut String| text.matches(sentence).count() < times;
        let (text, late) = self
            .said
            .more
            .wait_timeout_while(text, PATIENCE, missing)
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            bail!("it did not say {sentence:?} {times} times, but:\n{}", *text);
        }
        Ok(())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look for its end")
    }

    /// Waits for its own end; gives how it ended and all that it said.
    ///
    /// # Errors
    /// If it has not ended within [`PATIENCE`].
    pub fn wait(self) -> Result<(ExitStatus, String)> {
        self.wait_at_most(PATIENCE)
    }

    /// Waits for its own end; gives how it ended and all that it said.
    ///
    /// # Errors
    /// If it has not ended within `time`.
    pub fn wait_at_most(mut self, time: Duration) -> Result<(ExitStatus, String)> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().context("look for its end")? {
                break status;
            }
            if start.elapsed() > time {
                bail!("it goes on and on, having said:\n{}", self.said());
            }
            std::thread::sleep(LOOK_EVERY);
        };
        for reader in self.readers.drain(..) {
            if reader.join().is_err() {
                bail!("a reader of its output panicked");
            }
        }
        Ok((status, self.said()))
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// If it has not ended within [`PATIENCE`].
    pub fn stop(self) -> Result<(ExitStatus, String)> {
        self.signal("TERM")?;
        self.wait()
    }

    /// Sends it a signal by its name, such as `STOP` and `CONT`.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        let sent = kill.arg(format!("-{name}")).arg(self.id().to_string()).status();
        sent.with_context(|| format!("send SIG{name}")).map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Said {
    fn listen(self: &Arc<Self>, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let said = Arc::clone(self);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let mut text = said.text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&String::from_utf8_lossy(&line));
                said.more.notify_all();
                line.clear();
            }
        })
    }
}

/// A port that nobody listens on just now.
///
/// # Errors
/// If the system has none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    Ok(listener.local_addr().context("ask for the address")?.port())
}
