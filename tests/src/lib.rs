//! Proof from outside: what a customer would notice.
//!
//! The files of `tests/` start the two programs as people start them and check
//! what they leave behind with readers that are not ours: DuckDB, Polars,
//! PyArrow, and Python that follows the documents rather than the code. This
//! library is what those files share.
//!
//! Layout: [`programs`] builds and finds the two programs, [`process`] runs one,
//! [`fleet`] runs many that are killed and moved by [`dice`], [`feed`] writes what
//! they read meanwhile. [`line`], [`small_disk`] and [`s3_proxy`] fail to order, and
//! [`campaign`] lets them all fail together. [`python`] makes the environment of the
//! foreign readers and runs scripts in it, [`oracle`] asks the independent checker
//! about a store, [`verdict`] judges with its help what became of a fleet's records,
//! [`moto`] starts an S3 server. [`room`] is one aggregator with whoever comes to
//! it, and [`peer`] an agent that says what it likes.
//!
//! It uses no crate of the product but `sample`, which only makes input, and for
//! [`peer`] the messages and the hashes (`wire`, `integrity`); the tests
//! themselves also use `store`, to reach S3 as the programs do.

pub mod campaign;
pub mod dice;
pub mod feed;
pub mod fleet;
pub mod line;
pub mod moto;
pub mod oracle;
pub mod peer;
pub mod process;
pub mod programs;
pub mod python;
pub mod room;
pub mod s3_proxy;
pub mod small_disk;
pub mod verdict;
