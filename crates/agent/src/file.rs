//! One file as a source.

use std::sync::Arc;

use seam::{Blocking, Clock, Disk};

use crate::files::{Files, Options, Scope};

/// A source that reads the one file at `options.path`.
///
/// Beside it, files whose names begin with its name are looked at as well, but
/// read only if they are what the file was before it was rotated.
#[must_use]
pub fn file_source(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Clock,
    blocking: Blocking,
) -> Files {
    Files::new(options, Scope::File, disk, clock, blocking)
}
