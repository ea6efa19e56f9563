//! Proof from outside: what a customer would notice.
//!
//! The files of `tests/` start the two programs as people start them and check
//! what they leave behind with readers that are not ours: DuckDB, Polars,
//! PyArrow, and Python that follows the documents rather than the code. This
//! library is what those files share.
//!
//! Layout: [`programs`] builds and finds the two programs, [`process`] runs one, [`python`] makes the
//! environment of the foreign readers and runs scripts in it, [`oracle`] asks
//! the independent checker about a store.
//!
//! It uses no crate of the product but `sample`, which only makes input.

pub mod oracle;
pub mod process;
pub mod programs;
pub mod python;
