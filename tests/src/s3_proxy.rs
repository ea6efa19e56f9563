//! A proxy before an S3 server that sees, forgets and faults.
//!
//! moto takes any signature, so whose key signed is seen here. The proxy can
//! forget `If-None-Match`, as a store without create-only does; and it can be a
//! bad server to order: gone (the address refuses, what was open is reset), silent,
//! slow, and answering 409, 412, 500 and 503 whether or not a request landed.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::dice::Dice;

/// How often a listener looks whether it is to be there.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the server behaves, until told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Good,
    /// As it should, after a time.
    Slow(Duration),
    /// The address refuses, and open connections end.
    Gone,
    /// It takes requests and never answers.
    Silent,
    /// Out of so many requests one is answered badly: refused, refused though it
    /// landed, landed and unanswered, unanswered.
    Faulty(u64),
}

/// Passes requests on, and notes the access keys that signed them.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    forget_if_none_match: bool,
    state: Mutex<State>,
    /// Held by one create at a time: under load moto lets two of one name succeed.
    create: Mutex<()>,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    /// Told with each change, so that what is under way in an older mood ends.
    changes: u64,
    dice: Dice,
    keys: Vec<String>,
    faults: u64,
}

/// What is done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Answered with this status; it did not land.
    Refused(u16),
    /// Answered with this status, though it landed.
    Landed(u16),
    /// It landed, and the connection ends.
    Unanswered,
    /// It did not land, and the connection ends.
    Lost,
}

impl Proxy {
    /// Starts it before `server`; its threads end with the test process.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(server: SocketAddr, forget_if_none_match: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = listener.local_addr().context("find a free port")?;
        let state = State {
            mood: Mood::Good,
            changes: 0,
            dice: Dice::new(u64::from(address.port())),
            keys: Vec::new(),
            faults: 0,
        };
        let shared = Arc::new(Shared {
            server,
            forget_if_none_match,
            state: Mutex::new(state),
            create: Mutex::new(()),
        });
        let proxy = Self { address, shared };
        let listening = proxy.clone();
        thread::spawn(move || listening.listen(listener));
        Ok(proxy)
    }

    /// Where it listens, as an endpoint is written.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The access keys that signed requests, each once.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.state().keys.clone();
        keys.sort();
        keys.dedup();
        keys
    }

    /// How many requests were answered badly.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.state().faults
    }

    /// From now on the server behaves like this.
    pub fn set(&self, mood: Mood) {
        let mut state = self.state();
        state.mood = mood;
        state.changes += 1;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            if self.state().mood == Mood::Gone {
                listener = None;
            } else if listener.is_none() {
                listener = TcpListener::bind(self.address).ok();
            }
            let accepted = listener.as_ref().and_then(|listener| {
                listener.set_nonblocking(true).and_then(|()| listener.accept()).ok()
            });
            let Some((client, _)) = accepted else {
                thread::sleep(LOOK_EVERY);
                continue;
            };
            let proxy = self.clone();
            // A client that goes meanwhile is no failure of the test.
            thread::spawn(move || drop(proxy.serve(client)));
        }
    }

    /// Serves one request on one connection.
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nonblocking(false)?;
        let (mood, changes) = {
            let state = self.state();
            (state.mood, state.changes)
        };
        let Some((head, body)) = self.read(&mut client)? else { return Ok(()) };
        let fault = match mood {
            Mood::Gone => return Ok(()),
            Mood::Silent => {
                // What nobody answers stays open for good, also when all is well again.
                thread::sleep(Duration::from_secs(600));
                return Ok(());
            }
            Mood::Slow(time) => {
                thread::sleep(time);
                None
            }
            Mood::Faulty(one_in) => self.draw(one_in),
            Mood::Good => None,
        };
        let gone = |state: &State| state.mood == Mood::Gone && state.changes != changes;
        if gone(&self.state()) || fault == Some(Fault::Lost) {
            return Ok(());
        }
        if let Some(Fault::Refused(status)) = fault {
            return client.write_all(answer(status).as_bytes());
        }
        let creates = head.to_ascii_lowercase().contains("if-none-match:");
        let _one_at_a_time =
            creates.then(|| self.shared.create.lock().unwrap_or_else(PoisonError::into_inner));
        let mut server = TcpStream::connect(self.shared.server)?;
        server.write_all(head.as_bytes())?;
        server.write_all(&body)?;
        match fault {
            Some(Fault::Landed(status)) => {
                io::copy(&mut server, &mut io::sink())?;
                client.write_all(answer(status).as_bytes())
            }
            Some(Fault::Unanswered) => io::copy(&mut server, &mut io::sink()).map(drop),
            _ => io::copy(&mut server, &mut client).map(drop),
        }
    }

    fn draw(&self, one_in: u64) -> Option<Fault> {
        let mut state = self.state();
        if state.dice.below(one_in) != 0 {
            return None;
        }
        state.faults += 1;
        let status = [409, 412, 500, 503].get(state.dice.index(4)).copied().unwrap_or(500);
        Some(match state.dice.below(8) {
            0..=3 => Fault::Refused(status),
            4 | 5 => Fault::Landed(status),
            6 => Fault::Unanswered,
            _ => Fault::Lost,
        })
    }

    /// A request's head as it is passed on, and its body.
    fn read(&self, client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let head_end = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match client.read(&mut buffer)? {
                0 => return Ok(None),
                read => received.extend(buffer.iter().take(read)),
            }
        };
        let mut body = received.split_off(head_end);
        let head = String::from_utf8_lossy(&received).into_owned();
        let mut length = 0;
        let mut passed = String::new();
        for line in head.lines().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "authorization" => {
                    let key =
                        value.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
                    self.state().keys.push(key.unwrap_or("none").to_owned());
                }
                "if-none-match" if self.shared.forget_if_none_match => continue,
                "connection" => continue,
                _ => {}
            }
            passed.push_str(line);
            passed.push_str("\r\n");
        }
        while body.len() < length {
            match client.read(&mut buffer)? {
                0 => return Ok(None),
                read => body.extend(buffer.iter().take(read)),
            }
        }
        passed.push_str("Connection: close\r\n\r\n");
        Ok(Some((passed, body)))
    }
}

/// An error as S3 writes one.
fn answer(status: u16) -> String {
    let (reason, code) = match status {
        409 => ("Conflict", "ConditionalRequestConflict"),
        412 => ("Precondition Failed", "PreconditionFailed"),
        503 => ("Service Unavailable", "SlowDown"),
        _ => ("Internal Server Error", "InternalError"),
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>to order</Message></Error>"
    );
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
