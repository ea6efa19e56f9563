//! Where a key leads, and how each hop is proven.

use query::Proof;
use sample::Organization;

use crate::world::{SHAPE, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_follows_a_leaked_key_into_every_account_and_to_the_key_that_was_planted() {
    let world = World::mixed().await;
    let incident = Organization::with_shape(5, SHAPE).incident();
    let engine = world.engine();
    let trace = engine.trace(&incident.access_key_id, None, None).await.expect("a trace");
    assert!(trace.origin.is_empty() && !trace.cut, "{trace:?}");
    assert_eq!(trace.uses[&incident.access_key_id].who, incident.user_arn);
    for account in &incident.entered {
        let entered = trace.hops.iter().find(|hop| {
            hop.from.as_deref() == Some(&incident.access_key_id)
                && hop.event_name == "AssumeRole"
                && hop.target.contains(&account.to_string())
        });
        let entered = entered.unwrap_or_else(|| panic!("no hop into {account}: {trace:?}"));
        assert_eq!(entered.proof, Proof::IssuedKey);
        let session = entered.to.as_ref().expect("the answer names the key");
        assert_eq!(trace.uses[session].accounts, 1, "{account}");
        assert_eq!(trace.uses[session].address, incident.address);
    }
    let planted =
        trace.hops.iter().find(|hop| hop.to.as_ref() == Some(&incident.planted_access_key_id));
    assert_eq!(planted.expect("the planted key").event_name, "CreateAccessKey");

    let back = engine.trace(&incident.planted_access_key_id, None, None).await.expect("a trace");
    let names: Vec<&str> = back.origin.iter().map(|hop| hop.event_name.as_str()).collect();
    assert_eq!(names, ["AssumeRole", "CreateAccessKey"]);
    assert_eq!(back.origin[0].from.as_ref(), Some(&incident.access_key_id));
}

/// A record of STS: who called with which key, and what else it says.
fn sts(number: u64, account: u64, caller: &str, rest: &str) -> Vec<u8> {
    format!(
        r#"{{"eventVersion":"1.11","eventTime":"2026-11-19T10:00:{number:02}Z","awsRegion":"us-east-1","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","eventID":"id-{number}","recipientAccountId":"{account:012}","userIdentity":{{{caller}}}{rest}}}"#
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_says_how_each_hop_is_proven() {
    let mut world = World::new().await;
    let first = r#""type":"IAMUser","arn":"arn:aws:iam::000000000001:user/u","accessKeyId":"AKIAFIRSTFIRSTFIRST1""#;
    let asks = |role: &str, session: &str| {
        format!(
            r#","requestParameters":{{"roleArn":"arn:aws:iam::{role}","roleSessionName":"{session}"}}"#
        )
    };
    let acts = |arn: &str, key: &str| {
        format!(r#""type":"AssumedRole","arn":"arn:aws:sts::{arn}","accessKeyId":"{key}""#)
    };
    let shared = r#","sharedEventID":"shared-1""#;
    let answer = r#","responseElements":{"credentials":{"accessKeyId":"ASIASHAREDSHAREDSHA2"}}"#;
    let other = r#""type":"AWSAccount","accountId":"000000000001""#;
    let used = |number, arn: &str, key: &str| {
        let record = sts(number, 3, &acts(arn, key), "");
        String::from_utf8(record).expect("text").replace("AssumeRole\"", "GetCallerIdentity\"")
    };
    world
        .write(&[
            // Our record has no answer, the other account's has.
            sts(1, 1, first, &format!("{}{shared}", asks("000000000002:role/A", "s"))),
            sts(2, 2, other, &format!("{}{shared}{answer}", asks("000000000002:role/A", "s"))),
            // Nobody's record names the key; a session of that name follows.
            sts(3, 1, first, &asks("000000000003:role/path/B", "weak")),
            used(4, "000000000003:assumed-role/B/weak", "ASIAWEAKWEAKWEAKWEA3").into_bytes(),
            // Neither: and one that failed is no hop.
            sts(5, 1, first, &asks("000000000004:role/C", "unseen")),
            sts(6, 1, first, &format!(r#"{},"errorCode":"AccessDenied""#, asks("5:role/D", "no"))),
        ])
        .await;
    let trace = world.engine().trace("AKIAFIRSTFIRSTFIRST1", None, None).await.expect("a trace");
    let hops: Vec<_> = trace
        .hops
        .iter()
        .map(|hop| (hop.event_id.as_str(), hop.to.as_deref(), hop.proof))
        .collect();
    assert_eq!(
        hops,
        [
            ("id-1", Some("ASIASHAREDSHAREDSHA2"), Proof::SharedEvent),
            ("id-3", Some("ASIAWEAKWEAKWEAKWEA3"), Proof::SessionName),
            ("id-5", None, Proof::IssuedKey),
        ]
    );
    assert_eq!(trace.uses["ASIAWEAKWEAKWEAKWEA3"].events, 1);
    assert_eq!(trace.uses["AKIAFIRSTFIRSTFIRST1"].failed, 1);
    let later = Some("2026-11-19T10:00:02Z".parse().expect("a time"));
    let trace = world.engine().trace("AKIAFIRSTFIRSTFIRST1", later, None).await.expect("a trace");
    assert_eq!(trace.hops.len(), 2, "what was before is not asked for");
}
