//! What all stores behind a network share: how long we wait, how often we try.

use std::time::Duration;

use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take, body included: 16 MiB at 2.2 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is repeated within one operation. Callers repeat
/// operations at their own pace; this only rides out a dropped connection or a
/// "slow down".
const RETRIES_MAX: usize = 4;
/// After this long an operation is not repeated any more.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause before a repetition; the following ones grow, with jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest pause before a repetition.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(crate) fn client_options(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
}

pub(crate) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: BACKOFF_FIRST, max_backoff: BACKOFF_MAX, base: 2.0 },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// Google Cloud Storage, with the application-default credentials.
pub(crate) fn google(bucket: &str) -> Result<impl ObjectStore, object_store::Error> {
    GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client_options(false))
        .with_retry(retry())
        .build()
}

/// Azure Blob Storage, with the account that `AZURE_STORAGE_ACCOUNT_NAME` names.
///
/// `AZURE_STORAGE_USE_EMULATOR=true` allows plain http, to the emulator alone.
pub(crate) fn azure(container: &str) -> Result<impl ObjectStore, object_store::Error> {
    let emulator = std::env::var("AZURE_STORAGE_USE_EMULATOR").is_ok_and(|value| value == "true");
    MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(client_options(emulator))
        .with_retry(retry())
        .build()
}
