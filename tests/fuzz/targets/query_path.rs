//! The paths of queries, with which people reach into JSON that others wrote.
//!
//! The first line is a path, the rest is JSON. The file under test is compiled
//! in here by itself, so that a million executions take a minute.
#![no_main]
#![allow(dead_code, reason = "the part of a crate")]

use libfuzzer_sys::fuzz_target;

#[path = "../../../crates/query/src/json_path.rs"]
mod json_path;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, json) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(path) = json_path::JsonPath::parse(path) else { return };
    let Some(found) = path.get(json) else { return };
    // What is found is no longer than where it was found, and is found again.
    assert!(found.len() <= json.len(), "{found:?} in {json:?}");
    assert_eq!(path.get(&format!(" {json} ")).as_deref(), Some(found.as_ref()));
});
