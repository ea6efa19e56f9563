//! The tree as people see it, and the object that programs read.

use query::Proof;

use super::*;
use crate::golden;

const LEAKED: &str = "AKIAIOSFODNN7EXAMPLE";

fn at(minute: u32) -> Option<Timestamp> {
    format!("2026-11-20T10:{minute:02}:00Z").parse().ok()
}

fn hop(minute: u32, from: Option<&str>, to: Option<&str>, target: &str, proof: Proof) -> Hop {
    Hop {
        from: from.map(str::to_owned),
        caller: "arn:aws:iam::111122223333:user/build".to_owned(),
        to: to.map(str::to_owned),
        event_name: "AssumeRole".to_owned(),
        event_id: format!("00000000-0000-0000-0000-0000000000{minute:02}"),
        account: "111122223333".to_owned(),
        time: at(minute),
        target: target.to_owned(),
        proof,
    }
}

fn used(who: &str, events: u64, failed: u64, accounts: u64, addresses: u64) -> KeyUse {
    KeyUse {
        who: who.to_owned(),
        events,
        failed,
        accounts,
        addresses,
        address: "198.51.100.7".to_owned(),
        first: at(1),
        last: at(59),
    }
}

/// A key that another user made, and where it led: every proof, a key that nobody
/// used, one that two calls issued, one that no record names, and a role that an
/// attacker named.
fn trace(cut: bool) -> Trace {
    let role = "arn:aws:iam::444455556666:role/deploy";
    let hostile = "arn:aws:iam::444455556666:role/\u{1b}[2Jx\n└─ forged";
    let mut made = hop(0, None, Some(LEAKED), "user/build", Proof::IssuedKey);
    made.event_name = "CreateAccessKey".to_owned();
    let hops = vec![
        hop(2, Some(LEAKED), Some("ASIAISSUED0000000001"), role, Proof::IssuedKey),
        hop(3, Some(LEAKED), Some("ASIAISSUED0000000002"), role, Proof::SharedEvent),
        hop(4, Some(LEAKED), None, role, Proof::SessionName),
        hop(
            5,
            Some("ASIAISSUED0000000001"),
            Some("ASIAISSUED0000000003"),
            hostile,
            Proof::SessionName,
        ),
        hop(6, Some("ASIAISSUED0000000002"), Some("ASIAISSUED0000000003"), role, Proof::IssuedKey),
    ];
    let uses = [
        (LEAKED, used("arn:aws:iam::111122223333:user/build", 41, 3, 2, 2)),
        (
            "ASIAISSUED0000000001",
            used("arn:aws:sts::444455556666:assumed-role/deploy/x", 1, 0, 1, 1),
        ),
        ("ASIAISSUED0000000003", used(hostile, 7, 7, 1, 0)),
    ];
    Trace {
        origin: vec![made],
        hops,
        uses: uses.into_iter().map(|(key, used)| (key.to_owned(), used)).collect(),
        cut,
        ..Trace::default()
    }
}

#[test]
fn a_trace_is_a_tree_that_says_how_each_hop_is_known() {
    let mut text = String::new();
    for cut in [false, true] {
        let trace = trace(cut);
        let tree = Tree { trace: &trace, zone: &TimeZone::UTC, text: String::new() };
        text.push_str(&tree.draw(LEAKED));
        text.push_str("\n\n");
    }
    let zone = TimeZone::fixed(jiff::tz::offset(9));
    let trace = trace(false);
    text.push_str(&Tree { trace: &trace, zone: &zone, text: String::new() }.draw(LEAKED));
    text.push('\n');
    assert!(!text.contains('\u{1b}'), "nothing reaches the terminal as it is");
    golden::check("trace.txt", &text);
}

#[test]
fn a_trace_is_one_object_for_programs() {
    let json = serde_json::to_string_pretty(&as_json(LEAKED, &trace(true))).expect("JSON");
    golden::check("trace.json", &format!("{json}\n"));
}
