//! Clients that are none of ours: Python's OpenSSL, and plain text.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use tests::process::PATIENCE;
use tests::python::run;

use crate::organization::Files;

/// Dials `localhost:PORT` with the files given; says what became of it, or the
/// SHA-256 fingerprint of the server that let it in.
const CLIENT: &str = r#"
import hashlib, socket, ssl, sys
port, ca, certificate, key, version = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(certificate, key)
context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_alpn_protocols(["h2"])
try:
    with socket.create_connection(("localhost", int(port)), timeout=30) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            server = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            tls.recv(1)
            print(server)
except ssl.SSLError as error:
    print(error)
"#;

/// What Python's client has to say.
pub(crate) fn python(port: u16, files: &Files, version: &str) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", CLIENT, &port.to_string()]);
    command.args([&files.ca, &files.certificate, &files.key]).arg(version);
    run(&mut command).expect("python3 runs").trim().to_owned()
}

/// What is answered to `bytes` without TLS.
pub(crate) fn plaintext(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("localhost", port)).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(bytes).expect("send");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, and no reset");
    String::from_utf8_lossy(&answer).into_owned()
}
