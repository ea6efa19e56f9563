//! Nobody delivers who may not, and everybody is told why.
//!
//! The two programs as people start them, with certificates from `orgtrail ca`
//! and with some that it would never issue. Each refusal must be a sentence in
//! both logs: the one who refuses and the one who is refused.

mod organization;
mod stranger;

mod changed;
mod foreign;
mod refused;
