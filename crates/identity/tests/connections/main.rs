//! Who gets a connection, and what everyone else is told on both sides.
//!
//! Real sockets, real handshakes. `lab` makes certificates good and bad,
//! `accepted` and `refused` use our own two ends, `strangers` brings clients
//! that are not ours: plain text, TLS 1.2, and Python's OpenSSL.

mod accepted;
mod lab;
mod refused;
mod strangers;
