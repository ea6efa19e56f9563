//! Who is speaking, and for which accounts.
//!
//! An agent is its certificate. One URI in it names the organization, the
//! account and the agent, and says whether it may deliver other accounts'
//! records; no message can say otherwise. An aggregator's certificate names
//! the same organization, and its host as any server's does.
//!
//! ```text
//! spiffe://<organization>/account/<12 digits>/agent/<name>
//! spiffe://<organization>/account/<12 digits>/organization-agent/<name>
//! spiffe://<organization>/aggregator/<host>
//! ```
//!
//! What this crate promises:
//!
//! - a connection that [`tls::accept`] gives back speaks TLS 1.3, and its
//!   [`Peer`] was issued by our CA, is valid now, has exactly one URI, is an
//!   agent of our organization and is not on the [`Refuse`] list;
//! - every refusal is a sentence that names the object and the remedy, on both
//!   sides of the connection;
//! - sessions are never resumed, so nothing outlives a refused or expired
//!   certificate but a connection already open, and [`Peer`] holds what is
//!   needed to cut those;
//! - changed files take effect without a restart, and a bad file never
//!   replaces a good one.
//!
//! Layout: `name` the URI and its parts; `peer` a certificate read; `refuse`
//! the list; [`ca`] issues; `files`, `verify` and `config` make rustls
//! configurations; `credentials` keeps them current; [`tls`] makes connections.
//!
//! # Why SPIFFE URIs and not the common name
//! A common name has no syntax, and libraries disagree on which of several
//! counts. A URI that must occur exactly once has one reading.
//!
//! # Why no session resumption
//! A resumed session skips the certificate, so each way to revoke one would
//! need a second check. A handshake a day per agent costs nothing.

pub mod ca;
mod config;
mod credentials;
mod files;
mod name;
mod peer;
mod refuse;
pub mod tls;
mod verify;

pub use config::{client_config, server_config};
pub use credentials::{Credentials, CredentialsError, Validity};
pub use files::{Files, FilesError};
pub use name::{
    AgentIdentity, AggregatorIdentity, IdentityError, InvalidOrganization, Organization, SpeaksFor,
};
pub use peer::{Certificate, Peer, certificate, peer};
pub use refuse::{InvalidRefuse, Refuse};
