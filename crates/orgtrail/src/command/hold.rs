//! `orgtrail hold`: what must be kept whatever its age.

use anyhow::Context;
use event::AccountId;
use jiff::civil::Date;
use store::Store;
use table::{Config, Hold, Release, TRAIL_DEFAULT, TableSnapshot};

use super::ask::store_url;
use super::compact::open;
use super::status::described;

/// Keep files whatever retention says, for a case, until the hold is released.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail hold add C-17 --by 'R. Roe' --why 'subpoena of 2026-11-03' --account 123456789012
  orgtrail hold list
  orgtrail hold release C-17 --by 'R. Roe' --why 'case closed'")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Keep files from now on.
    Add(AddArgs),
    /// End a hold; what is old enough goes with the next look.
    Release(ReleaseArgs),
    /// Print the holds there are.
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The id of the case: letters, digits, '.', '_' and '-'
    case: String,
    /// Only this account
    #[arg(long)]
    account: Option<AccountId>,
    /// Whose events are wanted: files are kept whole, so this keeps every file of
    /// the account and time, and says for whom
    #[arg(long)]
    principal: Option<String>,
    /// Only this UTC day and later ones
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// Only this UTC day and earlier ones
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    #[command(flatten)]
    decided: Decided,
    #[command(flatten)]
    of: ListArgs,
}

#[derive(Debug, clap::Args)]
struct ReleaseArgs {
    /// The id of the case
    case: String,
    #[command(flatten)]
    decided: Decided,
    #[command(flatten)]
    of: ListArgs,
}

#[derive(Debug, clap::Args)]
struct Decided {
    /// Who decided
    #[arg(long)]
    by: String,
    /// And why
    #[arg(long)]
    why: String,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The store: file:///…, s3://…, gs://…, az://…, or a directory.
    #[arg(long, env = "ORGTRAIL_STORE")]
    store: String,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Add(add) => {
            let AddArgs { case, account, principal, from, to, decided, of } = add;
            let Decided { by, why } = decided;
            let hold = Hold { case, account, principal, from, to, by, why };
            let said = described(&hold);
            let mut table = open(&of.store, Config::default()).await?;
            table.hold(hold).await.context("hold")?;
            let mut said = format!("held: {said}");
            let gone = table.state().journal_expired;
            if gone > 0 {
                said.push_str(&format!(
                    "\nof the journal, events up to record {gone} had been let go by its retention before"
                ));
            }
            crate::output::print(&said)
        }
        Action::Release(ReleaseArgs { case, decided: Decided { by, why }, of }) => {
            let mut table = open(&of.store, Config::default()).await?;
            let said = format!("released: case {case}");
            table.release(Release { case, by, why }).await.context("release")?;
            crate::output::print(&said)
        }
        Action::List(of) => {
            let store = Store::open(&store_url(&of.store)?).await.context("open the store")?;
            let table =
                TableSnapshot::load(&store, TRAIL_DEFAULT).await.context("read the table")?;
            let holds: Vec<String> = table.state().holds().map(described).collect();
            let none = || "no holds".to_owned();
            crate::output::print(&if holds.is_empty() { none() } else { holds.join("\n") })
        }
    }
}
