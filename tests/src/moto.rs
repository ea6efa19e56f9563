//! An S3 server for tests: moto.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::python::{Python, run};

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

    /// Copies a bucket's objects into a directory, by way of AWS's own library.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn copy(&self, bucket: &str, to: &Path) -> Result<()> {
        let mut command = Python::oracle()?.script("copy_bucket.py");
        run(command.args([&self.endpoint(), bucket]).arg(to)).map(drop)
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
