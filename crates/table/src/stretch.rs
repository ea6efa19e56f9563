//! Which files of a day something was made of: those in a stretch of paths, up to
//! a record of the log.

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::log::DataFile;

/// A stretch of a day's paths, as the files there were at a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Files of later intents are not covered.
    pub to: u64,
    /// The first path,
    pub first: String,
    /// and the last.
    pub last: String,
}

impl Stretch {
    /// The least stretch that covers all of these files; none of no files.
    pub(crate) fn of(files: &[DataFile]) -> Option<Self> {
        let intents = files.iter().map(|file| Layout::intent_of(&Path::from(file.path.as_str())));
        let paths = || files.iter().map(|file| file.path.as_str());
        Some(Self {
            to: intents.collect::<Option<Vec<_>>>()?.into_iter().max()?,
            first: paths().min()?.to_owned(),
            last: paths().max()?.to_owned(),
        })
    }

    /// Whether all that another covers is covered.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        other.to <= self.to && self.first <= other.first && other.last <= self.last
    }

    /// Whether a file of the day was there, and in the stretch.
    #[must_use]
    pub fn covers(&self, file: &DataFile) -> bool {
        self.has(&file.path)
            && Layout::intent_of(&Path::from(file.path.as_str()))
                .is_some_and(|intent| intent <= self.to)
    }

    /// Whether a path lies in the stretch, whenever it came.
    pub(crate) fn has(&self, path: &str) -> bool {
        (self.first.as_str()..=self.last.as_str()).contains(&path)
    }

    /// Whether two stretches have a path in common.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}
