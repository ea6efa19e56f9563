//! An organization in a directory: its CA, an aggregator, agents, odd certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use tempfile::TempDir;
use tests::process::{Process, free_port};
use tests::programs::{orgtrail, orgtrail_agent};
use tests::python::run;

/// The account that the agents of these tests run in.
pub(crate) const ACCOUNT: &str = "111122223333";

const HOUR: Duration = Duration::from_secs(3_600);

/// A directory with a CA in `ca/`, a store in `store/` and a port to serve on.
pub(crate) struct Organization {
    dir: TempDir,
    pub(crate) port: u16,
}

/// `ca.pem`, a certificate and its key.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate that `orgtrail ca` would not issue.
pub(crate) struct Odd {
    pub(crate) uris: Vec<String>,
    /// From so many hours ago, to in so many hours; negative is the other way.
    pub(crate) hours_before: i32,
    pub(crate) hours_after: i32,
}

impl Odd {
    pub(crate) fn agent() -> Self {
        Self { uris: vec![agent_uri("main")], hours_before: 1, hours_after: 24 }
    }
}

/// The URI of an agent of [`ACCOUNT`].
pub(crate) fn agent_uri(name: &str) -> String {
    format!("spiffe://corp/account/{ACCOUNT}/agent/{name}")
}

impl Organization {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let port = free_port().expect("a port");
        let new = Self { dir, port };
        fs::create_dir(new.path("store")).expect("a directory");
        new.ca(&["init", "--organization", "corp"]);
        new.ca(&["issue", "--server", "localhost", "--out", &new.text("server")]);
        new
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a plain path").to_owned()
    }

    /// The store's URL.
    pub(crate) fn store(&self) -> String {
        format!("file://{}", self.text("store"))
    }

    /// Runs `orgtrail ca` with the CA of this organization.
    pub(crate) fn ca(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(orgtrail().expect("orgtrail"));
        command.arg("ca").args(arguments).arg("--dir").arg(self.path("ca"));
        run(&mut command).expect("orgtrail ca")
    }

    /// Issues to an agent of [`ACCOUNT`], or renews its certificate.
    pub(crate) fn agent(&self, name: &str) -> Files {
        let out = self.text(name);
        self.ca(&["issue", "--account", ACCOUNT, "--agent", name, "--replace", "--out", &out]);
        Files::in_dir(&self.path(name), "agent")
    }

    /// Signs what `orgtrail ca` would not.
    pub(crate) fn odd(&self, name: &str, odd: &Odd) -> Files {
        let read = |file: &str| fs::read_to_string(self.path("ca").join(file)).expect("read");
        let ca_key = KeyPair::from_pem(&read("ca.key")).expect("the CA's key");
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).expect("the CA");
        let mut params = CertificateParams::default();
        let uri = |uri: &String| SanType::URI(uri.as_str().try_into().expect("ASCII"));
        params.subject_alt_names = odd.uris.iter().map(uri).collect();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        #[expect(clippy::disallowed_methods, reason = "the programs under test use the real clock")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let at = |hours: i32| match u32::try_from(hours) {
            Ok(hours) => epoch + (now + HOUR * hours),
            Err(_) => epoch + (now - HOUR * hours.unsigned_abs()),
        };
        params.not_before = at(-odd.hours_before);
        params.not_after = at(odd.hours_after);

        let key = KeyPair::generate().expect("a key");
        let dir = self.path(name);
        fs::create_dir(&dir).expect("a directory");
        let files = Files::in_dir(&dir, "agent");
        let certificate = params.signed_by(&key, &issuer).expect("sign");
        fs::write(&files.ca, read("ca.pem")).expect("write");
        fs::write(&files.certificate, certificate.pem()).expect("write");
        fs::write(&files.key, key.serialize_pem()).expect("write");
        files
    }

    /// Writes `orgtrail.toml`, with this list under `[identity] refuse`.
    pub(crate) fn configure(&self, refuse: &[&str]) -> PathBuf {
        let files = Files::in_dir(&self.path("server"), "server");
        let health = free_port().expect("a port");
        let config = format!(
            "[store]\nurl = {:?}\n\n[aggregator]\nlisten = \"127.0.0.1:{}\"\nflush_age_millis = 100\n\n\
             [operations]\nlisten = \"127.0.0.1:{health}\"\n\n{}refuse = {refuse:?}\n",
            self.store(),
            self.port,
            files.identity(),
        );
        let path = self.path("orgtrail.toml");
        fs::write(&path, config).expect("write");
        path
    }

    /// Starts the aggregator and waits until it serves.
    pub(crate) fn serve(&self) -> Process {
        let config = self.configure(&[]);
        let mut command = Command::new(orgtrail().expect("orgtrail"));
        command.arg("serve").arg("--config").arg(config);
        let server = Process::start(&mut command).expect("start the aggregator");
        server.wait_for("serving").expect("it says that it serves");
        server
    }

    /// Writes an agent's configuration, with this list under `[identity] refuse`.
    pub(crate) fn configure_agent(
        &self,
        name: &str,
        files: &Files,
        source: &Path,
        refuse: &[&str],
    ) -> PathBuf {
        let state = self.path(&format!("{name}-state"));
        let config = format!(
            "state_dir = {state:?}\n\n[aggregator]\nendpoints = [\"localhost:{}\"]\n\n\
             {}refuse = {refuse:?}\n\n[[source]]\nname = \"files\"\npath = {source:?}\n",
            self.port,
            files.identity(),
        );
        let path = self.path(&format!("{name}.toml"));
        fs::write(&path, config).expect("write");
        path
    }

    /// Starts an agent that reads the file or directory `source`.
    pub(crate) fn run(&self, name: &str, files: &Files, source: &Path, more: &[&str]) -> Process {
        let path = self.configure_agent(name, files, source, &[]);
        let mut command = Command::new(orgtrail_agent().expect("orgtrail-agent"));
        command.arg("run").arg("--config").arg(path).args(more);
        Process::start(&mut command).expect("start the agent")
    }

    /// A file of these lines, or more of them at its end.
    pub(crate) fn append(&self, name: &str, lines: &[String]) -> PathBuf {
        use std::io::Write as _;
        let path = self.path(name);
        let mut file = fs::File::options().create(true).append(true).open(&path).expect("open");
        for line in lines {
            writeln!(file, "{line}").expect("write");
        }
        path
    }
}

impl Files {
    fn in_dir(dir: &Path, name: &str) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
        }
    }

    /// `[identity]`, as both programs have it.
    fn identity(&self) -> String {
        let Self { ca, certificate, key } = self;
        format!("[identity]\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n")
    }
}

/// A record of `account`, as CloudTrail writes one.
pub(crate) fn record(account: &str, number: u32) -> String {
    format!(
        r#"{{"eventVersion":"1.11","eventTime":"2026-11-20T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-west-1","eventID":"00000000-0000-4000-8000-{number:012}","recipientAccountId":"{account}"}}"#
    )
}
