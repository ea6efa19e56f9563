//! A ledger record, and the journal record in it, as an object store may hand
//! them back: read whole and believed, or refused with a sentence.
#![no_main]

use fuzz::block_on;
use integrity::sha256;
use journal::{Body, State};
use ledger::{Head, Ledger};
use libfuzzer_sys::fuzz_target;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::sync::Arc;
use store::Store;

fuzz_target!(|data: &[u8]| {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = Path::from("log/00000000000000000001.json");
    block_on(objects.put(&path, data.to_vec().into())).expect("memory takes it");
    let ledger = Ledger::new(Store::from_objects(objects, "memory://fuzz"), Path::from("log"));
    let record = match block_on(ledger.read(1)) {
        Ok(record) => record.expect("it is there"),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!((record.number, record.hash), (1, sha256(data)));
    let follows = block_on(ledger.next(&Head::EMPTY)).is_ok();
    assert_eq!(follows, record.previous == Head::EMPTY.hash);
    let Ok(body) = record.body::<Body>() else { return };
    // What a state allows does not depend on when it is asked.
    let state = State::new();
    assert_eq!(state.check(&body), state.check(&body));
    drop(record.body::<State>());
});
