//! S3, and what speaks its protocol.
//!
//! Credentials, region and endpoint are found where the AWS command line finds
//! them, by the same code: environment, profiles with SSO, assumed roles and
//! `credential_process`, web identity, container and instance roles. The
//! builder that `object_store` brings knows only some of these.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use seam::Clock;

use crate::cloud;
use crate::credentials::Bridge;
use crate::error::OpenError;

/// Reaches another server than AWS's, for S3 alone. It goes before
/// `AWS_ENDPOINT_URL` and a profile's `endpoint_url`, as in AWS's own tools.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL_S3";
/// The region of servers that have none.
const REGION_OF_NO_REGION: &str = "us-east-1";

pub(crate) async fn open(url: &str, bucket: &str) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let unconfigured = |what: String| OpenError::Unconfigured { url: url.to_owned(), what };
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let endpoint = std::env::var(ENDPOINT_VARIABLE)
        .ok()
        .filter(|endpoint| !endpoint.is_empty())
        .or_else(|| sdk.endpoint_url().map(str::to_owned));
    let region = match (sdk.region(), &endpoint) {
        (Some(region), _) => region.to_string(),
        (None, Some(_)) => REGION_OF_NO_REGION.to_owned(),
        (None, None) => {
            return Err(unconfigured(
                "the bucket's region is unknown: set AWS_REGION, or region in the AWS profile"
                    .to_owned(),
            ));
        }
    };
    let Some(provider) = sdk.credentials_provider() else {
        return Err(unconfigured("no AWS credentials are configured".to_owned()));
    };
    let plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_credentials(Arc::new(Bridge::new(provider, Clock::system())))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(cloud::client_options(plain))
        .with_retry(cloud::retry());
    if let Some(endpoint) = endpoint {
        if plain {
            tracing::warn!(%endpoint, "S3 is reached by plain http; events travel in the clear");
        }
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Arc::new(builder.build().map_err(|error| unconfigured(error.to_string()))?))
}
