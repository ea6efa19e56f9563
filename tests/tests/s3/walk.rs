//! The whole walk over S3: log files, agent, aggregator, journal and table, with
//! nothing on the server's disk; then the store is copied out and checked as a
//! local one is.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::path::Path;
use sample::{Grouping, Organization, Shape};
use store::Store;
use tests::moto::Moto;
use tests::process::{PATIENCE, Process, free_port};
use tests::programs::{orgtrail, orgtrail_agent};
use tests::python::{Python, run};
use tests::s3_proxy::Proxy;

use crate::{BUCKET, case, url, with, without_aws};

const EVENTS: u64 = 3_000;
const HOST: &str = "localhost";
/// Where a case copies its store to.
const COPY: &str = "ORGTRAIL_TEST_S3_COPY";

/// The files of one server and one agent of an organization.
struct Site {
    dir: tempfile::TempDir,
    store: String,
    port: u16,
}

impl Site {
    fn new(store: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let site = Self { dir, store: store.to_owned(), port: free_port().expect("a free port") };
        site.ca(&["init", "--organization", "corp"]);
        site.ca(&["issue", "--server", HOST, "--out", &site.text("server")]);
        let agent = ["issue", "--account", "111122223333", "--agent", "main", "--organization"];
        site.ca(&[agent.as_slice(), &["--out", &site.text("agent")]].concat());
        let server = format!(
            "[store]\nurl = {:?}\n\n[aggregator]\nlisten = \"127.0.0.1:{}\"\nflush_age_millis = 200\n\n\
             [operations]\nlisten = \"127.0.0.1:{}\"\n\n[table]\npass_age_secs = 1\n\n{}",
            site.store,
            site.port,
            free_port().expect("a free port"),
            site.identity("server"),
        );
        fs::write(site.path("server.toml"), server).expect("write");
        let agent = format!(
            "state_dir = {:?}\n\n[aggregator]\nendpoints = [\"{HOST}:{}\"]\n\n{}\n\
             [[source]]\nname = \"files\"\npath = {:?}\n",
            site.path("state"),
            site.port,
            site.identity("agent"),
            site.path("files"),
        );
        fs::write(site.path("agent.toml"), agent).expect("write");
        site
    }

    fn serve(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(orgtrail().expect("orgtrail"));
        command.args(["serve", "--config"]).arg(self.path("server.toml"));
        Process::start(without_aws(&mut command).envs(variables.iter().copied())).expect("start")
    }

    fn identity(&self, name: &str) -> String {
        let dir = self.path(name);
        format!(
            "[identity]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n",
            dir.join("ca.pem"),
            dir.join(format!("{name}.pem")),
            dir.join(format!("{name}.key")),
        )
    }

    fn ca(&self, arguments: &[&str]) {
        let mut command = Command::new(orgtrail().expect("orgtrail"));
        run(command.arg("ca").args(arguments).arg("--dir").arg(self.path("ca"))).expect("ca");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("text").to_owned()
    }
}

#[test]
fn the_walk_over_s3_loses_and_doubles_nothing() {
    let moto = Moto::start(BUCKET).expect("moto");
    let endpoint = moto.endpoint();
    let variables = with(&endpoint);
    let site = Site::new(&format!("s3://{BUCKET}/some/trail"));
    let shape = Shape { accounts: 4, regions: 3, days: 2 };
    let end = "2026-11-19T12:00:00Z".parse().expect("a time");
    let written = Organization::with_shape(7, shape)
        .write_log_files(&site.path("files"), EVENTS, end, Grouping::default(), |_| {})
        .expect("write log files");
    assert_eq!(written.records, EVENTS);

    let server = site.serve(&variables);
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", site.port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens: {}", server.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut agent = Command::new(orgtrail_agent().expect("orgtrail-agent"));
    agent.args(["run", "--once", "--config"]).arg(site.path("agent.toml"));
    let (status, said) = Process::start(&mut agent).expect("start").wait().expect("it ends");
    assert!(status.success(), "{said}\n{}", server.said());
    let (status, said) = server.stop().expect("it drains");
    assert!(status.success(), "{said}");

    let mut command = Command::new(orgtrail().expect("orgtrail"));
    command.args(["status", "-o", "json", "--store", &site.store]);
    let told = run(without_aws(&mut command).envs(variables.iter().copied())).expect("status");
    assert!(told.contains(&EVENTS.to_string()), "{told}");

    let copy = site.text("copy");
    let mut variables = variables;
    variables.push((COPY, &copy));
    case("walk::case_copied", &site.store, &variables);
    let mut check = Python::oracle().expect("an environment").script("check.py");
    let found = run(check.arg(&copy).arg(site.path("files")).arg("--organization")).expect("same");
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found.get("rows").and_then(serde_json::Value::as_u64), Some(EVENTS), "{found:#}");
}

#[tokio::test]
#[ignore = "a case of the test above"]
async fn case_copied() {
    let store = Store::open(&url()).await.expect("open");
    let copy = PathBuf::from(std::env::var(COPY).expect("where to"));
    let objects: Vec<_> = store.list(&Path::default(), None).try_collect().await.expect("list");
    for (path, size) in objects {
        let bytes = store.get(&path).await.expect("get").expect("there");
        assert_eq!(bytes.len() as u64, size);
        assert!(!path.as_ref().starts_with("probe/"), "{path} stays behind");
        let file = copy.join(path.as_ref());
        fs::create_dir_all(file.parent().expect("a directory")).expect("create");
        fs::write(file, bytes).expect("write");
    }
}

#[test]
fn a_server_whose_store_ignores_create_only_does_not_start() {
    let moto = Moto::start(BUCKET).expect("moto");
    let proxy = Proxy::start(moto.address(), true).expect("proxy");
    let site = Site::new(&format!("s3://{BUCKET}/trail"));
    let (status, said) = site.serve(&with(&proxy.endpoint())).wait().expect("it ends");
    assert!(!status.success(), "{said}");
    assert!(said.contains(&site.store) && said.contains("create-only"), "{said}");
}
