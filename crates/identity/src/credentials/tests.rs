//! Files change under a running process: what is taken, what is not, who hears of it.

use std::path::Path;
use std::sync::Mutex as StdMutex;

use jiff::SignedDuration;
use seam::Entropy;
use tempfile::TempDir;

use super::*;
use crate::ca::{Authority, Existing, Request, init};

struct World {
    dir: TempDir,
    now: Arc<StdMutex<Timestamp>>,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let world = Self { dir, now: Arc::new(StdMutex::new(start())) };
        let organization = "corp".parse().expect("an organization");
        init(world.dir.path(), &organization, start(), &Entropy::system()).expect("make a CA");
        world
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::new(move || *now.lock().expect("no panic while locked"))
    }

    fn pass(&self, days: i64) {
        *self.now.lock().expect("no panic while locked") += SignedDuration::from_hours(24 * days);
    }

    /// Issues to `out`, replacing what is there.
    fn issue(&self, out: &str, name: &str) -> Files {
        let out = self.dir.path().join(out);
        let authority = Authority::open(self.dir.path()).expect("open the CA");
        let (entropy, now) = (Entropy::system(), self.clock().now());
        let request = Request {
            out: &out,
            valid_days: 30,
            existing: Existing::Replace,
            now,
            entropy: &entropy,
        };
        let account = "000000000042".parse().expect("an account id");
        authority
            .issue_agent(account, &name.parse().expect("a name"), false, &request)
            .expect("issue");
        Files::in_dir(&out, "agent")
    }
}

fn start() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("copy");
}

/// Looks twice, as the owner's timer would.
fn looks(credentials: &Credentials<ClientConfig>) -> Result<bool, CredentialsError> {
    Ok(credentials.reload_if_changed()? | credentials.reload_if_changed()?)
}

#[test]
fn a_new_certificate_is_taken_without_a_restart() {
    let world = World::new();
    let credentials =
        Credentials::for_agent(world.issue("a", "main"), world.clock()).expect("load");
    let (first, config) = (credentials.peer(), credentials.config());
    assert!(!looks(&credentials).expect("nothing changed"));
    assert!(Arc::ptr_eq(&config, &credentials.config()));

    world.issue("a", "main");
    assert!(credentials.reload_if_changed().expect("a good certificate"));
    assert_ne!(credentials.peer().fingerprint, first.fingerprint);
    assert!(!Arc::ptr_eq(&config, &credentials.config()));
    assert!(!looks(&credentials).expect("nothing changed"));
}

#[test]
fn a_bad_file_never_replaces_a_good_one_and_is_reported_once() {
    let world = World::new();
    let files = world.issue("a", "main");
    let credentials = Credentials::for_agent(files.clone(), world.clock()).expect("load");
    let good = credentials.peer();
    let backup = world.dir.path().join("good.pem");
    copy(&files.certificate, &backup);

    let check = |change: &dyn Fn(), message: &str| {
        change();
        let error = looks(&credentials).expect_err(message).to_string();
        assert!(error.contains(message), "{error}\nhas no: {message}");
        assert!(!looks(&credentials).expect("reported once"), "{message}");
        assert_eq!(credentials.peer(), good, "{message}");
        copy(&backup, &files.certificate);
        looks(&credentials).expect("good again");
        assert_eq!(credentials.peer(), good, "{message}");
    };
    let write = |text: &'static str| {
        let path = files.certificate.clone();
        move || std::fs::write(&path, text).expect("write")
    };
    check(&write(""), "holds no certificate");
    check(
        &write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "cannot be read as X.509",
    );
    check(&|| std::fs::remove_file(&files.certificate).expect("remove"), "read ");
    let other = world.issue("b", "other");
    check(&|| copy(&other.certificate, &files.certificate), "is not the key of");
}

#[test]
fn a_rotation_half_done_is_waited_out() {
    let world = World::new();
    let files = world.issue("a", "main");
    let credentials = Credentials::for_agent(files.clone(), world.clock()).expect("load");
    let next = world.issue("next", "main");

    copy(&next.key, &files.key);
    assert!(!credentials.reload_if_changed().expect("perhaps not finished yet"));
    copy(&next.certificate, &files.certificate);
    assert!(credentials.reload_if_changed().expect("finished"));
}

#[test]
fn a_running_agent_does_not_become_another() {
    let world = World::new();
    let files = world.issue("a", "main");
    let credentials = Credentials::for_agent(files, world.clock()).expect("load");
    world.issue("a", "other");
    let error = looks(&credentials).expect_err("another agent's");
    assert!(matches!(error, CredentialsError::OtherHolder { .. }), "{error}");
    assert_eq!(credentials.peer().identity.agent.as_str(), "main");
}

#[test]
fn an_expired_certificate_is_read_at_start_but_replaces_nothing() {
    let world = World::new();
    let files = world.issue("a", "main");
    let credentials = Credentials::for_agent(files.clone(), world.clock()).expect("load");
    let old = world.issue("old", "main");
    world.pass(20);
    world.issue("a", "main");
    assert!(credentials.reload_if_changed().expect("a good certificate"));
    world.pass(11);
    copy(&old.key, &files.key);
    copy(&old.certificate, &files.certificate);
    let error = looks(&credentials).expect_err("expired");
    assert!(matches!(error, CredentialsError::NotNow { .. }), "{error}");

    let late = Credentials::for_agent(old, world.clock()).expect("load");
    assert!(matches!(late.validity(world.clock().now()), Validity::Expired { .. }));
}

#[test]
fn the_last_third_is_time_to_renew() {
    let world = World::new();
    let credentials =
        Credentials::for_agent(world.issue("a", "main"), world.clock()).expect("load");
    let until = credentials.peer().not_after;
    let check = |days: i64, expected: Validity| {
        let now = start() + SignedDuration::from_hours(24 * days);
        assert_eq!(credentials.validity(now), expected, "after {days} days");
    };
    check(0, Validity::Good);
    check(19, Validity::Good);
    check(21, Validity::LastThird { until });
    check(30, Validity::LastThird { until });
    check(31, Validity::Expired { since: until });
}
