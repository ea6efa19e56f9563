//! A day of virtual time without an object store.

use sim::outage::{BUFFER_BYTES, day};

#[test]
fn a_day_without_a_store_costs_no_memory_and_no_event() {
    let day = day(1).unwrap_or_else(|failure| panic!("{failure:#?}"));
    eprintln!("{day:?}");
    assert!(day.before > 0 && day.before < day.after, "{day:?}");
    assert!(day.rest_bytes_max <= day.first_hour_bytes_max, "it stays flat: {day:?}");
    assert!(day.first_hour_bytes_max <= BUFFER_BYTES, "{day:?}");
}
