//! Stores in memory, shared by name within the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use object_store::memory::InMemory;

static NAMED: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());

/// The store of that name: the same one for everybody who asks, until the process ends.
pub(crate) fn named(name: &str) -> Arc<dyn ObjectStore> {
    let mut stores = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let store = stores.entry(name.to_owned()).or_default();
    Arc::<InMemory>::clone(store)
}
