//! Stores on S3, against a server that speaks S3: moto, started here.
//!
//! What the environment says decides how S3 is reached, so each case runs in a
//! child process of its own with exactly the variables it is about. moto takes
//! any signature; whose key signed is seen by a small proxy in between, which
//! can also be told to forget `If-None-Match`, as a store without create-only
//! does.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path as FilePath;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::join_all;
use object_store::path::Path;
use seam::Entropy;
use store::{CreateError, Store};
use tests::python::Python;

const BUCKET: &str = "orgtrail-test";
/// What a case's child process works on.
const URL: &str = "ORGTRAIL_TEST_S3_URL";
/// How long moto may take to start on a busy machine.
const START_TRIES: u32 = 600;

/// An S3 server that lives as long as this value.
struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    fn start() -> Self {
        let python = Python::oracle().expect("an environment with moto");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let process = Command::new(python.program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start moto_server");
        let moto = Self { process, address };
        moto.wait();
        let made = moto.request(&format!("PUT /{BUCKET}"));
        assert!(made.starts_with("HTTP/1.1 200"), "{made}");
        moto
    }

    fn wait(&self) {
        for _ in 0..START_TRIES {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("moto_server does not listen on {}", self.address);
    }

    fn request(&self, what: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("connect");
        let head = format!(
            "{what} HTTP/1.1\r\nHost: s3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.process.kill().expect("stop moto");
        self.process.wait().expect("join moto");
    }
}

/// Passes requests on to moto, and notes the access keys that signed them.
struct Proxy {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(moto: SocketAddr, forget_if_none_match: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let address = listener.local_addr().expect("address");
        let keys = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&keys);
        // Both kinds of thread end with the test process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || {
                    let served = client
                        .and_then(|client| pass_on(client, moto, forget_if_none_match, &noted));
                    if let Err(error) = served {
                        eprintln!("proxy: {error}");
                    }
                });
            }
        });
        Self { address, keys }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn keys(&self) -> Vec<String> {
        let mut keys = self.keys.lock().expect("keys").clone();
        keys.sort();
        keys.dedup();
        keys
    }
}

/// Serves one request on one connection.
fn pass_on(
    mut client: TcpStream,
    moto: SocketAddr,
    forget_if_none_match: bool,
    keys: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            read => received.extend_from_slice(&buffer[..read]),
        }
    };
    let mut body = received.split_off(head_end);
    let head = String::from_utf8_lossy(&received).into_owned();
    let mut length = 0;
    let mut passed = String::new();
    for line in head.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().expect("a length"),
            "authorization" => {
                let key = value.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
                keys.lock().expect("keys").push(key.unwrap_or("none").to_owned());
            }
            "if-none-match" if forget_if_none_match => continue,
            "connection" => continue,
            _ => {}
        }
        passed.push_str(line);
        passed.push_str("\r\n");
    }
    while body.len() < length {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            read => body.extend_from_slice(&buffer[..read]),
        }
    }
    passed.push_str("Connection: close\r\n\r\n");
    let mut server = TcpStream::connect(moto)?;
    server.write_all(passed.as_bytes())?;
    server.write_all(&body)?;
    io::copy(&mut server, &mut client)?;
    Ok(())
}

/// Runs one of the ignored cases below with these variables and no other AWS ones.
fn case(name: &str, url: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", name, "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        child.env_remove(name);
    }
    child
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(URL, url)
        .envs(variables.iter().copied());
    let output = child.output().expect("run the case");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}\n{errors}");
    assert!(text.contains("1 passed"), "{name} did not run: {text}");
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

fn with<'a>(endpoint: &'a str) -> Vec<(&'a str, &'a str)> {
    [KEY.as_slice(), &[("AWS_ENDPOINT_URL_S3", endpoint)]].concat()
}

#[test]
fn s3_keeps_what_a_store_promises() {
    let moto = Moto::start();
    let endpoint = format!("http://{}", moto.address);
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
    let moto = Moto::start();
    let proxy = Proxy::start(moto.address, true);
    case("case_ignores_create_only", &format!("s3://{BUCKET}/trail"), &with(&proxy.endpoint()));
    let honest = Proxy::start(moto.address, false);
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
    let moto = Moto::start();
    let dir = tempfile::tempdir().expect("temp dir");
    let script = dir.path().join("credentials");
    let answer = r#"{"Version":1,"AccessKeyId":"AKIAFROMPROCESS","SecretAccessKey":"s","SessionToken":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
    fs::write(&script, format!("#!/bin/sh\necho '{answer}'\n")).expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    let config = dir.path().join("config");
    let text = |path: &FilePath| path.to_str().expect("text").to_owned();
    let (config_text, url) = (text(&config), format!("s3://{BUCKET}/trail"));
    let check = |profile: &str, expected: &str| {
        let proxy = Proxy::start(moto.address, false);
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
