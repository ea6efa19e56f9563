//! `orgtrail-agent spool`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use identity::{Credentials, Files};
use seam::{Clock, Disk, LocalDisk};

use agent::{Owner, look, restored, take_over};

/// Look at the spool, or take over from another instance.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What is kept and not yet acked. The agent must not be running.
    Show(Args),
    /// Leave this spool for a new one, which takes over from the instance that
    /// fenced it. The old spool is kept beside the new one; sources are read
    /// again from where the journal says, and what was pushed goes along.
    Fork(ForkArgs),
    /// Say that the aggregator's store was restored from an older copy, for good.
    /// The next run reads sources again from where the journal stands; what this
    /// agent was acked since and has let go is recorded there as a gap.
    Restored(ForkArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, env = "ORGTRAIL_AGENT_CONFIG", default_value = "/etc/orgtrail/agent.toml")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct ForkArgs {
    #[command(flatten)]
    common: Args,
    /// Really do it; without this, only what would happen is said.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let path = match command {
        Command::Show(args) => &args.config,
        Command::Fork(args) | Command::Restored(args) => &args.common.config,
    };
    let config = super::config(path)?;
    let paths = Files {
        ca: config.identity.ca.clone(),
        certificate: config.identity.certificate.clone(),
        key: config.identity.key.clone(),
    };
    let credentials = Credentials::for_agent(paths, Clock::system())
        .context("load certificate")
        .context(super::Misconfigured)?;
    let identity = credentials.peer().identity;
    let owner = Owner { account: identity.account.to_string(), agent: identity.agent.to_string() };
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    let held = look(&disk, &config.state_dir, config.spool, &owner).context("open spool")?;
    let Some(held) = held else {
        eprintln!("no spool in {}; the next run makes one", config.state_dir.display());
        return Ok(());
    };
    match command {
        Command::Show(_) => {
            #[expect(clippy::print_stdout, reason = "this is what the command is for")]
            {
                println!("agent      {identity}");
                println!("spool      {}", held.spool);
                println!("released   {}", held.released);
                println!("head       {}", held.head);
                println!("waiting    {}", held.head - held.released);
                println!("damaged    {}", held.damaged);
            }
            Ok(())
        }
        Command::Fork(ForkArgs { yes: false, .. }) => {
            eprintln!(
                "would leave spool {} with {} records that are not acked, and begin a new one; \
                 add --yes to do it",
                held.spool,
                held.head - held.released
            );
            Ok(())
        }
        Command::Fork(_) => {
            take_over(&disk, &config.state_dir, config.spool, &owner).context("leave the spool")?;
            eprintln!("the next run leaves spool {} for a new one and takes over", held.spool);
            Ok(())
        }
        Command::Restored(ForkArgs { yes: false, .. }) => {
            eprintln!(
                "would let the next run believe a journal that stands below {}, leave spool {}, \
                 read sources again from there, and record as a gap what nobody has any more; \
                 add --yes to do it",
                held.released, held.spool
            );
            Ok(())
        }
        Command::Restored(_) => {
            restored(&disk, &config.state_dir, config.spool, &owner).context("leave the spool")?;
            eprintln!("the next run believes the restored store, and leaves spool {}", held.spool);
            Ok(())
        }
    }
}
