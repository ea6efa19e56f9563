//! An S3 server for tests: moto, and a proxy that sees and forgets.
//!
//! moto takes any signature, so whose key signed is seen by the proxy. It can
//! also forget `If-None-Match`, as a store without create-only does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::python::Python;

/// How often moto is asked whether it is up, every 100 ms: machines are busy.
const START_TRIES: u32 = 600;

/// An S3 server that lives as long as this value.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    /// Starts it on a free port of the loopback, with one bucket.
    ///
    /// # Errors
    /// The environment cannot be made, or the server does not come up.
    pub fn start(bucket: &str) -> Result<Self> {
        let python = Python::oracle()?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = free.local_addr().context("find a free port")?;
        drop(free);
        let process = Command::new(python.program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start moto_server")?;
        let moto = Self { process, address };
        moto.wait()?;
        let made = moto.request(&format!("PUT /{bucket}"))?;
        ensure!(made.starts_with("HTTP/1.1 200"), "moto makes no bucket: {made}");
        Ok(moto)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as an endpoint is written.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait(&self) -> Result<()> {
        for _ in 0..START_TRIES {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("moto_server does not listen on {}", self.address)
    }

    fn request(&self, what: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).context("connect to moto")?;
        let head = format!(
            "{what} HTTP/1.1\r\nHost: s3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).context("ask moto")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("hear moto")?;
        Ok(answer)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let stopped = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = stopped {
            eprintln!("moto_server goes on: {error}");
        }
    }
}

/// Passes requests on to moto, and notes the access keys that signed them.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts it before `moto`; its threads end with the test process.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(moto: SocketAddr, forget_if_none_match: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = listener.local_addr().context("find a free port")?;
        let keys = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&keys);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || {
                    let served = client
                        .and_then(|client| pass_on(client, moto, forget_if_none_match, &noted));
                    if let Err(error) = served {
                        eprintln!("proxy: {error}");
                    }
                });
            }
        });
        Ok(Self { address, keys })
    }

    /// Where it listens, as an endpoint is written.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The access keys that signed requests, each once.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        keys.sort();
        keys.dedup();
        keys
    }
}

/// Serves one request on one connection.
fn pass_on(
    mut client: TcpStream,
    moto: SocketAddr,
    forget_if_none_match: bool,
    keys: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut buffer)? {
            0 => return Ok(()),
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
                let key = value.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
                keys.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(key.unwrap_or("none").to_owned());
            }
            "if-none-match" if forget_if_none_match => continue,
            "connection" => continue,
            _ => {}
        }
        passed.push_str(line);
        passed.push_str("\r\n");
    }
    while body.len() < length {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            read => body.extend(buffer.iter().take(read)),
        }
    }
    passed.push_str("Connection: close\r\n\r\n");
    let mut server = TcpStream::connect(moto)?;
    server.write_all(passed.as_bytes())?;
    server.write_all(&body)?;
    io::copy(&mut server, &mut client)?;
    Ok(())
}
