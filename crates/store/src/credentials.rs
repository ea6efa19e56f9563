//! AWS credentials for `object_store`, from AWS's own provider chain.
//!
//! The chain may run a program, read SSO's cache or ask STS each time, so its
//! answer is kept until shortly before it expires. When that time comes, one
//! caller renews it while the others go on with what is still valid; only if
//! there is nothing valid do callers wait, each for its own request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use seam::Clock;

/// Renewal begins this long before credentials expire. A request signed now may
/// be repeated for a minute with the same signature.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// Credentials closer to their end than this are not used any more.
const USABLE_UNTIL: Duration = Duration::from_secs(60);
/// Credentials that name no end are asked for again after this long, so that a
/// rotated key in a file is noticed.
const RELOAD_AFTER: Duration = Duration::from_secs(15 * 60);
/// How long the chain may take: instance metadata and SSO answer in seconds.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Hands the chain's credentials to `object_store`.
#[derive(Debug)]
pub(crate) struct Bridge {
    provider: SharedCredentialsProvider,
    clock: Clock,
    held: Mutex<Option<Held>>,
    renewing: AtomicBool,
}

#[derive(Clone, Debug)]
struct Held {
    credential: Arc<AwsCredential>,
    renew_at: SystemTime,
    unusable_at: Option<SystemTime>,
}

enum Answer {
    Use(Arc<AwsCredential>),
    /// Usable, but this caller renews it.
    Renew(Arc<AwsCredential>),
    Load,
}

impl Bridge {
    pub(crate) fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        Self { provider, clock, held: Mutex::new(None), renewing: AtomicBool::new(false) }
    }

    fn held(&self) -> Answer {
        let now = SystemTime::from(self.clock.now());
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match held {
            Some(held) if held.unusable_at.is_some_and(|end| end <= now) => Answer::Load,
            Some(held) if now < held.renew_at || self.renewing.swap(true, Ordering::AcqRel) => {
                Answer::Use(held.credential)
            }
            Some(held) => Answer::Renew(held.credential),
            None => Answer::Load,
        }
    }

    async fn load(&self) -> object_store::Result<Arc<AwsCredential>> {
        let loaded = tokio::time::timeout(LOAD_TIMEOUT, self.provider.provide_credentials()).await;
        let credentials = match loaded {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(error)) => return Err(unauthenticated(Box::new(error))),
            Err(_elapsed) => {
                return Err(unauthenticated(
                    format!("no credentials within {} s", LOAD_TIMEOUT.as_secs()).into(),
                ));
            }
        };
        let held = Held::new(&credentials, SystemTime::from(self.clock.now()));
        let credential = Arc::clone(&held.credential);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(credential)
    }
}

#[async_trait]
impl CredentialProvider for Bridge {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        match self.held() {
            Answer::Use(credential) => Ok(credential),
            Answer::Load => self.load().await,
            Answer::Renew(still_good) => {
                // Given back also when this future is dropped half-way.
                let _turn = Turn(&self.renewing);
                match self.load().await {
                    Ok(credential) => Ok(credential),
                    Err(error) => {
                        tracing::warn!(%error, "could not renew AWS credentials; using those that are still valid");
                        Ok(still_good)
                    }
                }
            }
        }
    }
}

impl Held {
    fn new(credentials: &Credentials, now: SystemTime) -> Self {
        let credential = AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        };
        let before_end = |span| credentials.expiry().and_then(|end| end.checked_sub(span));
        Self {
            credential: Arc::new(credential),
            renew_at: before_end(RENEW_BEFORE).unwrap_or(now + RELOAD_AFTER),
            unusable_at: before_end(USABLE_UNTIL),
        }
    }
}

/// The right to renew, given back on drop.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn unauthenticated(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Unauthenticated { path: "AWS credentials".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU64;
    use std::task::Poll;

    use aws_credential_types::provider::{error::CredentialsError, future};

    use super::*;

    /// Gives key 1, 2, 3, … each valid for an hour from `now`; fails when told to.
    #[derive(Debug, Default)]
    struct Chain {
        now: AtomicU64,
        asked: AtomicU64,
        fails: AtomicBool,
    }

    #[derive(Debug)]
    struct Provider(Arc<Chain>);

    impl ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async move {
                let mut yielded = false;
                poll_fn(|context| {
                    if std::mem::replace(&mut yielded, true) {
                        return Poll::Ready(());
                    }
                    context.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                if self.0.fails.load(Ordering::Relaxed) {
                    return Err(CredentialsError::not_loaded("told to fail"));
                }
                let asked = self.0.asked.fetch_add(1, Ordering::Relaxed) + 1;
                let end = self.0.now.load(Ordering::Relaxed) + 3600;
                let end = SystemTime::UNIX_EPOCH + Duration::from_secs(end);
                Ok(Credentials::new(format!("key {asked}"), "secret", None, Some(end), "test"))
            })
        }
    }

    fn bridge(chain: &Arc<Chain>) -> Bridge {
        let now = Arc::clone(chain);
        let clock = Clock::new(move || {
            let since = Duration::from_secs(now.now.load(Ordering::Relaxed));
            (SystemTime::UNIX_EPOCH + since).try_into().expect("a time")
        });
        Bridge::new(SharedCredentialsProvider::new(Provider(Arc::clone(chain))), clock)
    }

    #[tokio::test]
    async fn credentials_are_kept_then_renewed_by_one_and_survive_a_failing_chain() {
        let chain = Arc::new(Chain::default());
        let bridge = bridge(&chain);
        let key =
            async || bridge.get_credential().await.map(|credential| credential.key_id.clone());

        assert_eq!(key().await.expect("first"), "key 1");
        chain.now.store(3600 - 301, Ordering::Relaxed);
        assert_eq!(key().await.expect("kept"), "key 1");

        chain.now.store(3600 - 299, Ordering::Relaxed);
        let (renewing, waiting) = tokio::join!(key(), key());
        assert_eq!(renewing.expect("renewed"), "key 2");
        assert_eq!(waiting.expect("still valid"), "key 1");
        assert_eq!(key().await.expect("new for all"), "key 2");

        chain.fails.store(true, Ordering::Relaxed);
        chain.now.store(3600 - 299 + 3600 - 299, Ordering::Relaxed);
        assert_eq!(key().await.expect("still valid"), "key 2");
        chain.now.store(3600 - 299 + 3600 - 30, Ordering::Relaxed);
        assert!(key().await.is_err(), "nearly expired credentials are not used");
        chain.fails.store(false, Ordering::Relaxed);
        assert_eq!(key().await.expect("loaded"), "key 3");
    }
}
