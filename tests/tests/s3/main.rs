//! Stores on S3, against a server that speaks S3: moto, started here.
//!
//! What the environment says decides how S3 is reached, so each case runs in a
//! child process of its own with exactly the variables it is about.

mod walk;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path as FilePath;
use std::process::Command;

use futures::TryStreamExt;
use futures::future::join_all;
use object_store::path::Path;
use seam::Entropy;
use store::{CreateError, Store};
use tests::moto::Moto;
use tests::s3_proxy::Proxy;

const BUCKET: &str = "orgtrail-test";
/// What a case's child process works on.
const URL: &str = "ORGTRAIL_TEST_S3_URL";

/// Runs one of the ignored cases below with these variables and no other AWS ones.
fn case(name: &str, url: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", name, "--ignored", "--nocapture"]);
    without_aws(&mut child).env(URL, url).envs(variables.iter().copied());
    let output = child.output().expect("run the case");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}\n{errors}");
    assert!(text.contains("1 passed"), "{name} did not run: {text}");
}

/// Takes away whatever the machine says about AWS.
fn without_aws(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

const KEY: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAFROMENVIRONMENT"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_REGION", "eu-west-1"),
];

fn url() -> String {
    std::env::var(URL).expect("started by another test")
}

async fn open() -> Store {
    Store::open(&url()).await.expect("open")
}

fn with(endpoint: &str) -> Vec<(&str, &str)> {
    [KEY.as_slice(), &[("AWS_ENDPOINT_URL_S3", endpoint)]].concat()
}

#[test]
fn s3_keeps_what_a_store_promises() {
    let moto = Moto::start(BUCKET).expect("moto");
    let endpoint = moto.endpoint();
    for url in [format!("s3://{BUCKET}"), format!("s3://{BUCKET}/some/trail")] {
        case("case_probed_raced_and_read", &url, &with(&endpoint));
    }
    case("case_no_such_bucket", "s3://no-such-bucket", &with(&endpoint));
    case("case_no_region", "s3://bucket", &[("AWS_ACCESS_KEY_ID", "A")]);
}

#[tokio::test]
#[ignore = "a case of the test above"]
async fn case_probed_raced_and_read() {
    let store = open().await;
    store.probe(&Entropy::system()).await.expect("a good store");

    let path = Path::from("trail/x=1/race");
    let racers = (0..16).map(|racer| store.create(&path, format!("racer {racer}").into()));
    let outcomes = join_all(racers).await;
    let winners: Vec<_> = (0..16)
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.is_ok())
        .map(|(racer, _)| racer)
        .collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(CreateError::AlreadyExists)))
    );
    let kept = store.get(&path).await.expect("get").expect("there");
    assert_eq!(kept, format!("racer {}", winners[0]));

    assert_eq!(store.get_range(&path, 2..5).await.expect("range"), "cer");
    assert_eq!(store.get(&Path::from("trail/none")).await.expect("answer"), None);
    let other = Path::from("trail/x=2/other");
    store.ensure(&other, vec![7; 3 << 20].into()).await.expect("create");
    let mut listed: Vec<_> =
        store.list(&Path::from("trail"), None).try_collect().await.expect("list");
    listed.sort();
    assert_eq!(listed, [(path.clone(), 7 + u64::from(winners[0] > 9)), (other.clone(), 3 << 20)]);
    let after: Vec<_> =
        store.list(&Path::from("trail"), Some(&path)).try_collect().await.expect("list");
    assert_eq!(after, [(other.clone(), 3 << 20)]);
    for path in [&path, &other, &other] {
        store.delete(path).await.expect("delete, also of what is gone");
    }
    let left: Vec<_> = store.list(&Path::default(), None).try_collect().await.expect("list");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
#[ignore = "a case of the test above"]
async fn case_no_such_bucket() {
    let error = open().await.probe(&Entropy::system()).await.expect_err("no bucket");
    let said = format!("{:#}", anyhow::Error::from(error));
    assert!(said.contains("s3://no-such-bucket") && said.contains("cannot be"), "{said}");
    assert!(said.contains("NoSuchBucket"), "{said}");
}

#[tokio::test]
#[ignore = "a case of the test above"]
async fn case_no_region() {
    let said = Store::open(&url()).await.expect_err("no region").to_string();
    assert!(said.contains("AWS_REGION"), "{said}");
}

#[test]
fn an_s3_store_that_ignores_create_only_is_refused_by_name() {
    let moto = Moto::start(BUCKET).expect("moto");
    let proxy = Proxy::start(moto.address(), true).expect("proxy");
    case("case_ignores_create_only", &format!("s3://{BUCKET}/trail"), &with(&proxy.endpoint()));
    let honest = Proxy::start(moto.address(), false).expect("proxy");
    case("case_probed_raced_and_read", &format!("s3://{BUCKET}/x"), &with(&honest.endpoint()));
}

#[tokio::test]
#[ignore = "a case of the test above"]
async fn case_ignores_create_only() {
    let store = open().await;
    let error = store.probe(&Entropy::system()).await.expect_err("refused");
    let said = error.to_string();
    assert!(said.contains(store.url()) && said.contains("create-only"), "{said}");
    assert!(said.contains("a second create of one name succeeded"), "{said}");
}

#[test]
fn credentials_region_and_endpoint_are_found_as_the_aws_command_line_finds_them() {
    let moto = Moto::start(BUCKET).expect("moto");
    let dir = tempfile::tempdir().expect("temp dir");
    let script = dir.path().join("credentials");
    let answer = r#"{"Version":1,"AccessKeyId":"AKIAFROMPROCESS","SecretAccessKey":"s","SessionToken":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
    fs::write(&script, format!("#!/bin/sh\necho '{answer}'\n")).expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    let config = dir.path().join("config");
    let text = |path: &FilePath| path.to_str().expect("text").to_owned();
    let (config_text, url) = (text(&config), format!("s3://{BUCKET}/trail"));
    let check = |profile: &str, expected: &str| {
        let proxy = Proxy::start(moto.address(), false).expect("proxy");
        let profile =
            profile.replace("ENDPOINT", &proxy.endpoint()).replace("SCRIPT", &text(&script));
        fs::write(&config, profile).expect("write");
        let variables = [("AWS_CONFIG_FILE", config_text.as_str()), ("AWS_PROFILE", "trail")];
        case("case_probed_raced_and_read", &url, &variables);
        assert_eq!(proxy.keys(), [expected]);
    };
    check(
        "[profile trail]\nregion = eu-north-1\nendpoint_url = ENDPOINT\ncredential_process = SCRIPT\n",
        "AKIAFROMPROCESS",
    );
    check(
        "[profile trail]\nendpoint_url = ENDPOINT\naws_access_key_id = AKIAFROMPROFILE\naws_secret_access_key = s\n",
        "AKIAFROMPROFILE",
    );
}
