//! From a URL to a store.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use crate::error::OpenError;
use crate::local::LocalStore;
use crate::location::Location;
use crate::{cloud, memory, s3};

/// Builds the store at `url`. Nothing is sent, made or changed there yet.
pub(crate) async fn open(url: &str) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let unconfigured = |source: object_store::Error| OpenError::Unconfigured {
        url: url.to_owned(),
        what: source.to_string(),
    };
    match Location::parse(url)? {
        Location::File { root } => {
            Ok(Arc::new(LocalStore::new(&root, seam::Entropy::system()).map_err(unconfigured)?))
        }
        Location::Memory { name, prefix } => Ok(below(memory::named(&name), prefix)),
        Location::S3 { bucket, prefix } => Ok(below(s3::open(url, &bucket).await?, prefix)),
        Location::Gs { bucket, prefix } => {
            Ok(below(Arc::new(cloud::google(&bucket).map_err(unconfigured)?), prefix))
        }
        Location::Az { container, prefix } => {
            Ok(below(Arc::new(cloud::azure(&container).map_err(unconfigured)?), prefix))
        }
    }
}

fn below(store: Arc<dyn ObjectStore>, prefix: Path) -> Arc<dyn ObjectStore> {
    if prefix.is_root() { store } else { Arc::new(PrefixStore::new(store, prefix)) }
}
