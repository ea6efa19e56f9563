//! The agent's command line: parse, run, and say what went wrong in three lines.

mod run;
mod spool;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use agent::Config;

/// Reads audit events where they are and delivers them to an orgtrail aggregator.
#[derive(Debug, Parser)]
#[command(name = "orgtrail-agent", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  orgtrail-agent run --config agent.toml           follow the sources until stopped
  orgtrail-agent run --config agent.toml --once    read to the end, wait for the last ack, exit
  orgtrail-agent spool show --config agent.toml    what is kept and not yet acked")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deliver events.
    Run(run::Args),
    /// Look at the spool, or take over from another instance.
    #[command(subcommand)]
    Spool(spool::Command),
}

/// Wrong usage or configuration.
#[derive(Debug)]
struct Misconfigured;

impl std::fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration cannot be used")
    }
}

impl Error for Misconfigured {}

/// Runs the command line; gives the process's exit code.
pub(crate) fn main() -> ExitCode {
    // Two providers are linked by way of dependencies; rustls must not have to guess.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    log(cli.verbose);
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Spool(command) => spool::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Also finds it as a context, which the chain hides in another type.
            let misconfigured = error.is::<Misconfigured>();
            eprintln!("error: {}", sentence(&error, cli.verbose > 0));
            if cli.verbose == 0 {
                eprintln!("  see more with --verbose");
            }
            ExitCode::from(if misconfigured { 2 } else { 1 })
        }
    }
}

/// The whole chain in one sentence; a cause that repeats its parent is left out.
fn sentence(error: &anyhow::Error, verbose: bool) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(if verbose { "\n  because: " } else { ": " });
            }
            text.push_str(&cause);
        }
    }
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn log(verbose: u8) {
    let default = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("ORGTRAIL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
}

/// Reads and checks `agent.toml`. Paths in it are relative to its directory.
fn config(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read {}", path.display()))
        .context(Misconfigured)?;
    let mut config: Config = toml::from_str(&text)
        .with_context(|| format!("read {}", path.display()))
        .context(Misconfigured)?;
    config.check().with_context(|| format!("check {}", path.display())).context(Misconfigured)?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let against = |path: &mut PathBuf| *path = base.join(&*path);
    against(&mut config.state_dir);
    against(&mut config.identity.ca);
    against(&mut config.identity.certificate);
    against(&mut config.identity.key);
    for source in &mut config.sources {
        against(&mut source.path);
    }
    Ok(config)
}
