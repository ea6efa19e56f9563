//! `orgtrail who`: everything that names a thing, in every account.

use super::list::{ListArgs, list};

/// Show every event that names a key, an ARN, an address or an id, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail who i-0abc1234def567890 --store ./store --since 7d
  orgtrail who 203.0.113.9 --store ./store --error
  orgtrail who arn:aws:s3:::payroll --store ./store --write -o ndjson")]
pub(crate) struct Args {
    /// What is looked for, acting or acted upon: a key, an ARN or its end, a user, a role,
    /// a principal id, an address, an account, an instance id; several mean any of them
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    list: ListArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    list(args.list, args.what).await
}
