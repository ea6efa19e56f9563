//! Configuration: whatever stands in a file, reading it ends with settings that
//! keep their ranges, or with a sentence.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match toml::from_str::<agent::Config>(text) {
        Ok(config) => match config.check() {
            Ok(()) => {
                assert!(!config.sources.is_empty() && !config.aggregator.endpoints.is_empty());
                assert!(config.spool.disk_bytes_max / 4 >= config.spool.segment_bytes);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(config) = toml::from_str::<aggregator::Config>(text)
        && config.check().is_ok()
    {
        assert!(config.buffer_bytes >= 2048 * config.sessions_max as u64);
        assert!((64 << 10..=64 << 20).contains(&config.flush_bytes));
    }
    drop(toml::from_str::<table::Config>(text));
});
