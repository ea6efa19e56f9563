//! The commands, one file each, and the line that people type.

mod ask;
mod ca;
mod compact;
mod demo;
mod events;
mod export;
mod files;
mod hold;
mod last_lines;
mod list;
mod people;
mod query;
mod rebuild;
mod schema;
mod serve;
mod status;
mod time;
mod trace;
mod who;

use std::future::Future;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::exit::{Interrupted, report};
use crate::signals::Signals;

/// Threads for disk access, compression and encoding at once.
const BLOCKING_THREADS_MAX: usize = 8;

/// An organization trail you run yourself.
#[derive(Debug, Parser)]
#[command(name = "orgtrail", version, arg_required_else_help = true)]
#[command(after_help = "Begin with:
  orgtrail demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See it work: agents, aggregator, journal and table on this machine.
    Demo(demo::Args),
    /// Take events from agents, keep them, and write the table.
    Serve(serve::Args),
    /// Make a certificate authority, and certificates for aggregators and agents.
    Ca(ca::Args),
    /// Show events, newest first.
    Events(events::Args),
    /// Show every event that names a key, an ARN, an address or an id.
    Who(who::Args),
    /// Follow an access key to the sessions and keys that were issued with it.
    Trace(trace::Args),
    /// Ask in SQL.
    Query(query::Args),
    /// Print statements that make the table known to DuckDB, Athena, Trino, Spark or Glue.
    Schema(schema::Args),
    /// Write events out, as the records they were or as rows.
    Export(export::Args),
    /// Show the journal's head, each stream, the table, and whether the sum closes.
    Status(status::Args),
    /// Print exactly the files that hold the table, or SQL that reads them.
    Files(files::Args),
    /// Settle fresh rows, merge small files into large ones, and index closed days.
    Compact(compact::Args),
    /// Make the table again from the journal.
    Rebuild(rebuild::Args),
    /// Keep files whatever retention says, for a case.
    Hold(hold::Args),
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    // Two providers are linked by way of dependencies; rustls must not have to guess.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    let is_at_work = matches!(
        cli.command,
        Command::Serve(_) | Command::Demo(_) | Command::Compact(_) | Command::Rebuild(_)
    );
    if is_at_work {
        crate::memory::bound();
    }
    log(&cli);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, cli.verbose > 0),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    if let Command::Ca(args) = command {
        return ca::run(&args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("start runtime")?;
    let done = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Events(args) => until_signal(Box::pin(events::run(args))).await,
            Command::Who(args) => until_signal(Box::pin(who::run(args))).await,
            Command::Trace(args) => until_signal(Box::pin(trace::run(args))).await,
            Command::Query(args) => until_signal(Box::pin(query::run(args))).await,
            Command::Export(args) => until_signal(Box::pin(export::run(args))).await,
            Command::Schema(args) => until_signal(Box::pin(schema::run(args))).await,
            Command::Status(args) => until_signal(Box::pin(status::run(args))).await,
            Command::Files(args) => until_signal(Box::pin(files::run(args))).await,
            Command::Compact(args) => compact::run(args).await,
            Command::Rebuild(args) => rebuild::run(args).await,
            Command::Hold(args) => until_signal(Box::pin(hold::run(args))).await,
            Command::Ca(_) => Ok(()),
        }
    });
    if done.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
        // Whoever pressed Ctrl-C does not wait for a read under way.
        runtime.shutdown_background();
    }
    done
}

/// A question is given up at a signal; dropping it removes its temporary files.
async fn until_signal(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    tokio::select! {
        done = work => done,
        signal = signals.next() => Err(anyhow::Error::new(signal)),
    }
}

/// A server tells what changes; a question tells only what is wrong.
fn log(cli: &Cli) {
    let quiet = !matches!(cli.command, Command::Serve(_));
    let default = match (cli.verbose, quiet) {
        (0, true) => "error",
        (0, false) => "info",
        (1, _) => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("ORGTRAIL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
}
