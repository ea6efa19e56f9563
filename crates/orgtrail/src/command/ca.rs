//! `orgtrail ca`: certificates for aggregators and agents.
//!
//! Works on files alone: no configuration, no store, no network. Whoever has a
//! CA already needs none of this; `docs/identity.md` says what its certificates
//! must carry.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use event::{AccountId, AgentName};
use identity::Organization;
use identity::ca::{
    self, Authority, CA_VALID_DAYS, CaError, Existing, Issued, Request, VALID_DAYS,
};
use seam::{Clock, Entropy};

/// Make a certificate authority, and certificates for aggregators and agents.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail ca init --organization example.org
  orgtrail ca issue --server trail.example.org
  orgtrail ca issue --account 123456789012 --agent main
  orgtrail ca issue --account 123456789012 --agent central --organization")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a CA: ca.pem for every machine, ca.key for none but yours.
    Init(Init),
    /// Issue one certificate, into a directory that is all its machine needs.
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail ca init --organization example.org
  orgtrail ca init --organization corp --dir /secure/orgtrail-ca")]
struct Init {
    /// The name that every certificate carries: lower-case labels joined by dots.
    #[arg(long, value_name = "NAME")]
    organization: Organization,
    /// Where the CA lives.
    #[arg(long, value_name = "DIR", default_value = "ca")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("holder").required(true).args(["server", "agent"]))]
#[command(after_help = "Examples:
  orgtrail ca issue --server trail.example.org --out /etc/orgtrail
  orgtrail ca issue --account 123456789012 --agent main
Renew it:
  orgtrail ca issue --account 123456789012 --agent main --replace
One that may deliver every account's records:
  orgtrail ca issue --account 123456789012 --agent central --organization")]
struct Issue {
    /// For the aggregator that agents dial as this DNS name or IP address.
    #[arg(long, value_name = "HOST")]
    server: Option<String>,
    /// For an agent: the account that it runs in.
    #[arg(long, value_name = "ID", requires = "agent")]
    account: Option<AccountId>,
    /// For an agent: its name in that account.
    #[arg(long, value_name = "NAME", requires = "account")]
    agent: Option<AgentName>,
    /// Let the agent deliver records of every account, not only of its own.
    #[arg(long, requires = "agent")]
    organization: bool,
    /// Where the CA lives.
    #[arg(long, value_name = "DIR", default_value = "ca")]
    dir: PathBuf,
    /// Where the files go [default: a directory of its own in DIR/issued].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long the certificate is valid.
    #[arg(long, value_name = "DAYS", default_value_t = VALID_DAYS)]
    #[arg(value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(CA_VALID_DAYS)))]
    valid_days: u32,
    /// Replace the certificate and key that are there.
    #[arg(long)]
    replace: bool,
}

/// Makes what was asked for and says where it is.
///
/// # Errors
/// When a file is in the way, the CA cannot be used or a disk does not take a file.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Init(init) => make(init),
        Command::Issue(issue) => issue.run(),
    }
}

fn make(init: &Init) -> anyhow::Result<()> {
    let Init { organization, dir } = init;
    let issued = ca::init(dir, organization, Clock::system().now(), &Entropy::system())
        .map_err(|error| advise(error, "there is a CA already: use it, or name another --dir"))?;
    show(&issued)?;
    eprintln!(
        "keep {} where no service runs: whoever has it can be any agent",
        issued.key.display()
    );
    Ok(())
}

impl Issue {
    fn run(&self) -> anyhow::Result<()> {
        let authority = Authority::open(&self.dir).map_err(|error| {
            advise(error, "make a CA with `orgtrail ca init`, or name its directory with --dir")
        })?;
        let out = self.out.clone().unwrap_or_else(|| self.default_out());
        let entropy = Entropy::system();
        let request = Request {
            out: &out,
            valid_days: self.valid_days,
            existing: if self.replace { Existing::Replace } else { Existing::Keep },
            now: Clock::system().now(),
            entropy: &entropy,
        };
        let issued = match (&self.server, self.account, &self.agent) {
            (Some(host), _, _) => authority.issue_server(host, &request),
            (None, Some(account), Some(agent)) => {
                authority.issue_agent(account, agent, self.organization, &request)
            }
            _ => anyhow::bail!("name the holder: --server HOST, or --account ID --agent NAME"),
        };
        let issued = issued.map_err(|error| {
            advise(error, "pass --replace to renew it, or name another directory with --out")
        })?;
        show(&issued)?;
        eprintln!(
            "{} has all that its machine needs; running processes take new files by themselves",
            out.display()
        );
        Ok(())
    }

    fn default_out(&self) -> PathBuf {
        let name = match (&self.server, self.account, &self.agent) {
            (None, Some(account), Some(agent)) => format!("{account}-{agent}"),
            (host, _, _) => host.clone().unwrap_or_default(),
        };
        // A host that is no plain name is refused when it is issued to.
        let name = Path::new(&name).file_name().unwrap_or_default().to_owned();
        self.dir.join("issued").join(name)
    }
}

/// What was made, one fact per line.
fn show(issued: &Issued) -> anyhow::Result<()> {
    let Issued { certificate, key, uri, fingerprint, not_after } = issued;
    let mut out = std::io::stdout().lock();
    writeln!(out, "certificate  {}", certificate.display())
        .and_then(|()| writeln!(out, "key          {}", key.display()))
        .and_then(|()| writeln!(out, "uri          {uri}"))
        .and_then(|()| writeln!(out, "fingerprint  {fingerprint}"))
        .and_then(|()| writeln!(out, "valid until  {not_after}"))
        .context("write to standard output")
}

/// Adds what to try where we know it.
fn advise(error: CaError, existing: &'static str) -> anyhow::Error {
    let advice = match &error {
        CaError::Exists { .. } | CaError::Files(_) | CaError::NotOurs { .. } => Some(existing),
        CaError::Host { .. } => {
            Some("give --server the name that agents dial, without port or scheme")
        }
        CaError::Expired { .. } => {
            Some("make a new CA in another --dir; docs/identity.md says how to change over")
        }
        CaError::Sign(_) | CaError::Write { .. } => None,
    };
    let error = anyhow::Error::new(error);
    match advice {
        // Nothing is hidden: the chain stays below, for --verbose.
        Some(advice) => {
            let what = format!("{error}\n  try: {advice}");
            error.context(what)
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn ca(line: &str) -> anyhow::Result<()> {
        let cli = Cli::try_parse_from(std::iter::once("ca").chain(line.split_whitespace()))?;
        run(&cli.args)
    }

    #[test]
    fn a_holder_is_named_whole_or_not_at_all() {
        let check = |line: &str, valid: bool| {
            let words = ["ca", "issue"].into_iter().chain(line.split_whitespace());
            assert_eq!(Cli::try_parse_from(words).is_ok(), valid, "{line}");
        };
        check("--server trail.example.org", true);
        check("--account 123456789012 --agent main", true);
        check("--account 123456789012 --agent main --organization", true);
        check("", false);
        check("--account 123456789012", false);
        check("--agent main", false);
        check("--server a --account 123456789012 --agent main", false);
        check("--server a --organization", false);
        check("--account 42 --agent main", false);
        check("--account 123456789012 --agent Main", false);
        check("--server a --valid-days 0", false);
    }

    #[test]
    fn what_is_in_the_way_stays_and_the_error_says_what_to_try() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let at = dir.path().join("ca");
        let at = at.to_str().expect("a plain path");
        ca(&format!("init --organization corp --dir {at}")).expect("make a CA");
        let again = ca(&format!("init --organization corp --dir {at}")).expect_err("in the way");
        assert!(
            again.to_string().contains("ca.pem exists; nothing was written\n  try: "),
            "{again}"
        );

        let issue = format!("issue --account 123456789012 --agent main --dir {at}");
        ca(&issue).expect("issue");
        let agent = dir.path().join("ca/issued/123456789012-main/agent.pem");
        let first = std::fs::read(&agent).expect("read");
        let again = ca(&issue).expect_err("in the way");
        assert!(again.to_string().contains("try: pass --replace"), "{again}");
        ca(&format!("{issue} --replace")).expect("renew");
        assert_ne!(std::fs::read(&agent).expect("read"), first);

        ca(&format!("issue --server trail.example.org --dir {at}")).expect("issue");
        let url = ca(&format!("issue --server https://x/y --dir {at}")).expect_err("no host");
        assert!(url.to_string().contains("without port or scheme"), "{url}");
    }
}
