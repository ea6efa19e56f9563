//! `orgtrail events`: the event history, newest first.

use super::list::{ListArgs, list};

/// Show events, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail events --store ./store --since 24h --error
  orgtrail events --store ./store --key AKIAIOSFODNN7EXAMPLE --from 2026-11-18 --to 2026-11-19
  orgtrail events --store ./store --event 'Delete*' --account '!111122223333' -o ndjson
  orgtrail events --store ./store --principal svc-backup --fields eventtime,eventname,requestparameters.bucketName")]
pub(crate) struct Args {
    #[command(flatten)]
    list: ListArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    list(args.list, Vec::new()).await
}
