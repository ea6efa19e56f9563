//! How fast records are made: `cargo run --release -p sample --example speed`.

use std::time::Instant;

fn main() {
    let organization =
        sample::Organization::with_shape(42, sample::Shape { accounts: 50, regions: 8, days: 3 });
    let end = "2026-11-20T00:00:00Z".parse().expect("a time");
    let begun = Instant::now();
    let bytes: usize = organization.events(1_000_000, end).map(|event| event.record.len()).sum();
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{:.0} events/s, {:.0} bytes each", 1e6 / seconds, bytes as f64 / 1e6);
    for event in organization.events(3_000, end).skip(2_000).step_by(97) {
        eprintln!("{}", String::from_utf8_lossy(&event.record));
    }
}
