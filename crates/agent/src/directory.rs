//! A directory, with all below it, as a source.

use std::sync::Arc;

use seam::{Blocking, Clock, Disk};

use crate::files::{Files, Options, Scope};

/// A source that reads every file below `options.path`, by the order of names.
#[must_use]
pub fn directory_source(
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Clock,
    blocking: Blocking,
) -> Files {
    Files::new(options, Scope::Directory, disk, clock, blocking)
}
