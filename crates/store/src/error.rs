//! How operations on a store fail, by what the caller does about it.

use object_store::Error as Cause;

use crate::local;

/// A URL that opens no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a URL at all.
    #[error(
        "{url:?} names no store: write file:///absolute/directory, s3://bucket/prefix, \
         gs://bucket/prefix, az://container/prefix or memory://name"
    )]
    NotAUrl {
        /// What was given.
        url: String,
    },
    /// A URL, but of no store.
    #[error("no store is reached by {scheme}:// ({url}): use file, s3, gs, az or memory")]
    UnknownScheme {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// The right scheme with something missing, or something too much.
    #[error("store {url}: {what}")]
    Malformed {
        /// What was given.
        url: String,
        /// What to change.
        what: &'static str,
    },
    /// The environment does not say what is needed to reach the store.
    #[error("store {url}: {what}")]
    Unconfigured {
        /// What was given.
        url: String,
        /// What is missing, and where it is looked for.
        what: String,
    },
}

/// A failed read, listing or deletion.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object, or the bytes of it that were asked for, are not there.
    #[error("{action} {path}: not in the store")]
    Absent {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
    },
    /// The store refuses. Trying again helps after a person changed something.
    #[error(
        "{action} {path}: the store refuses; check the bucket, the credentials and their rights"
    )]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// The store's words.
        #[source]
        source: Cause,
    },
    /// The store did not answer, or not well. Try again.
    #[error("{action} {path}: no usable answer from the store")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// Nothing is known about what the store holds, for as long as this process
    /// lives. Stop; whoever starts anew looks at the disk itself.
    #[error("{action} {path}: this process cannot use the store any more")]
    Broken {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: String,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Whether trying again later can help without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether only another process can help.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }

    pub(crate) fn of(action: &'static str, path: &str, source: Cause) -> Self {
        let path = path.to_owned();
        match source {
            Cause::NotFound { .. } => Self::Absent { action, path },
            source if local::is_poisoned(&source) => Self::Broken { action, path, source },
            source if is_refusal(&source) => Self::Refused { action, path, source },
            source => Self::Unavailable { action, path, source },
        }
    }
}

/// A create-only put that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// An object of this name was in the way, *as far as the store could say*.
    ///
    /// Read it back before concluding anything. A request that landed but whose
    /// answer was lost is repeated below us, and the repetition meets our own
    /// object; and S3 answers a conflict (409) while another request for the
    /// name is under way, though in the end neither may land.
    #[error("an object of this name is there already")]
    AlreadyExists,
    /// The store refused: nothing landed, and a person has to change something.
    #[error("create {path}: the store refuses; check the bucket, the credentials and their rights")]
    Rejected {
        /// The object.
        path: String,
        /// The store's words.
        #[source]
        source: Cause,
    },
    /// See [`StoreError::Broken`]; nothing of this create landed.
    #[error("create {path}: this process cannot use the store any more")]
    Broken {
        /// The object.
        path: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Nothing is known: it may have landed, or land later. Read it back.
    #[error("create {path}: outcome unknown")]
    Unknown {
        /// The object.
        path: String,
        /// What happened.
        #[source]
        source: Cause,
    },
}

impl CreateError {
    /// Whether only another process can help.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }

    pub(crate) fn of(path: &str, source: Cause) -> Self {
        let path = path.to_owned();
        match source {
            Cause::AlreadyExists { .. } | Cause::Precondition { .. } => Self::AlreadyExists,
            // A bucket or container that is not there takes no objects.
            source @ Cause::NotFound { .. } => Self::Rejected { path, source },
            source if is_refusal(&source) => Self::Rejected { path, source },
            source if local::is_poisoned(&source) => Self::Broken { path, source },
            source => Self::Unknown { path, source },
        }
    }
}

/// For callers to whom every failed create is a failed operation.
impl From<CreateError> for StoreError {
    fn from(error: CreateError) -> Self {
        let action = "create";
        match error {
            CreateError::AlreadyExists => Self::Unavailable {
                action,
                path: "a new object".to_owned(),
                source: Cause::AlreadyExists {
                    path: "a new object".to_owned(),
                    source: "an object of this name is there already".into(),
                },
            },
            CreateError::Rejected { path, source } => Self::Refused { action, path, source },
            CreateError::Broken { path, source } => Self::Broken { action, path, source },
            CreateError::Unknown { path, source } => Self::Unavailable { action, path, source },
        }
    }
}

/// Answers that mean "no", not "perhaps".
fn is_refusal(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::PermissionDenied { .. }
            | Cause::Unauthenticated { .. }
            | Cause::NotImplemented { .. }
            | Cause::NotSupported { .. }
            | Cause::InvalidPath { .. }
            | Cause::UnknownConfigurationKey { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(
        make: impl FnOnce(String, Box<dyn std::error::Error + Send + Sync>) -> Cause,
    ) -> Cause {
        make("log/1.json".to_owned(), "because".into())
    }

    #[test]
    fn each_answer_of_a_store_leads_to_one_decision() {
        let exists = cause(|path, source| Cause::AlreadyExists { path, source });
        assert!(matches!(CreateError::of("p", exists), CreateError::AlreadyExists));
        let precondition = cause(|path, source| Cause::Precondition { path, source });
        assert!(matches!(CreateError::of("p", precondition), CreateError::AlreadyExists));
        let denied = cause(|path, source| Cause::PermissionDenied { path, source });
        assert!(matches!(CreateError::of("p", denied), CreateError::Rejected { .. }));
        let bucket = cause(|path, source| Cause::NotFound { path, source });
        assert!(matches!(CreateError::of("p", bucket), CreateError::Rejected { .. }));
        let timeout = cause(|_, source| Cause::Generic { store: "S3", source });
        assert!(matches!(CreateError::of("p", timeout), CreateError::Unknown { .. }));

        let absent = cause(|path, source| Cause::NotFound { path, source });
        assert!(matches!(StoreError::of("read", "p", absent), StoreError::Absent { .. }));
        let timeout = cause(|_, source| Cause::Generic { store: "S3", source });
        assert!(StoreError::of("read", "p", timeout).is_retryable());
        let denied = cause(|path, source| Cause::Unauthenticated { path, source });
        assert!(!StoreError::of("read", "p", denied).is_retryable());
    }
}
