//! `orgtrail trace`: where an access key leads, as a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;

use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use query::{Hop, KeyUse, Trace};
use serde_json::{Value, json};

use super::ask::{Asking, OutputArgs, StoreArgs, TimeArgs, usage};
use crate::exit::Misused;
use crate::output::{for_terminal, json_for_terminal, print};

/// Follow an access key to the sessions and keys that were issued with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  orgtrail trace AKIAIOSFODNN7EXAMPLE --store ./store
  orgtrail trace ASIAIOSFODNN7EXAMPLE --store ./store --since 7d -o json

A hop is proven by the key in the call's answer, by the other account's record of the
same call (shared event), or only by a session of the name that was asked for (weak).")]
pub(crate) struct Args {
    /// The access key id
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// The time zone of times in the tree, and of times given without one [default: UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Only the answer: no last lines about what was searched
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A tree for people
    #[default]
    Tree,
    /// One JSON object
    Json,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if args.key.len() < 16 || !args.key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let what = format!(
            "{:?} is no access key id, as AKIAIOSFODNN7EXAMPLE: for anything else ask \
             orgtrail who",
            args.key
        );
        return Err(anyhow::Error::msg(what).context(Misused));
    }
    let output = OutputArgs::plain(args.tz, args.quiet);
    let mut asking = Asking::begin(&args.store, &output).await?;
    let (from, to) = args.time.window(asking.now, &asking.zone)?;
    asking.until(to);
    let trace = asking.ask(asking.engine.trace(&args.key, from, to)).await.map_err(usage)?;
    let text = match args.output {
        Form::Tree => {
            Tree { trace: &trace, zone: &asking.zone, text: String::new() }.draw(&args.key)
        }
        Form::Json => {
            let json =
                serde_json::to_string_pretty(&as_json(&args.key, &trace)).context("write")?;
            match std::io::stdout().is_terminal() {
                true => json_for_terminal(&json).into_owned(),
                false => json,
            }
        }
    };
    print(&text)?;
    asking.close(trace.hops.len() as u64, "hop", &trace.coverage)
}

/// A tree under way: the origin, then what the key led to, each key under the one
/// that it came from.
struct Tree<'a> {
    trace: &'a Trace,
    zone: &'a TimeZone,
    text: String,
}

impl<'a> Tree<'a> {
    fn draw(mut self, key: &'a str) -> String {
        for (depth, hop) in self.trace.origin.iter().enumerate() {
            let from = hop.from.as_deref().unwrap_or("no key");
            let line = format!("{} ({from})  {}", hop.caller, self.call(hop));
            self.push(&"   ".repeat(depth), &line);
        }
        let indent = "   ".repeat(self.trace.origin.len());
        self.key(&indent, key);
        let mut by_key: BTreeMap<&str, Vec<&Hop>> = BTreeMap::new();
        for hop in &self.trace.hops {
            by_key.entry(hop.from.as_deref().unwrap_or_default()).or_default().push(hop);
        }
        self.branches(&indent, key, &by_key, &mut BTreeSet::from([key]));
        if self.trace.cut {
            let more = "… there is more: ask for less time, or trace one of these keys";
            self.push(&indent, more);
        }
        self.text
    }

    fn branches(
        &mut self,
        indent: &str,
        key: &str,
        by_key: &BTreeMap<&'a str, Vec<&'a Hop>>,
        drawn: &mut BTreeSet<&'a str>,
    ) {
        let hops = by_key.get(key).map_or(&[][..], Vec::as_slice);
        for (index, hop) in hops.iter().enumerate() {
            let is_last = index + 1 == hops.len();
            let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let call = self.call(hop);
            self.push(&format!("{indent}{branch}"), &call);
            let Some(to) = hop.to.as_deref() else { continue };
            let indent = format!("{indent}{below}");
            if drawn.insert(to) {
                self.key(&indent, to);
                self.branches(&indent, to, by_key, drawn);
            } else {
                self.push(&indent, &format!("{to}  see above"));
            }
        }
    }

    /// What was done with a key, in a line.
    fn key(&mut self, indent: &str, key: &str) {
        let Some(used) = self.trace.uses.get(key) else {
            // Keys of the last level of a trace that was cut were not looked for.
            let unseen = if self.trace.cut { "may be in use" } else { "was not seen in use" };
            return self.push(indent, &format!("{key}  {unseen}"));
        };
        let many = |count: u64, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        let failed =
            if used.failed > 0 { format!(", {} failed", used.failed) } else { String::new() };
        let from = match used.addresses {
            0 => "no address".to_owned(),
            1 => used.address.clone(),
            count => format!("{count} addresses"),
        };
        let KeyUse { who, events, accounts, first, last, .. } = used;
        let (events, accounts) = (many(*events, "event"), many(*accounts, "account"));
        let (first, last) = (self.time(*first), self.time(*last));
        let line =
            format!("{key}  {who}: {events}{failed} in {accounts} from {from}, {first} to {last}");
        self.push(indent, &line);
    }

    /// When which call made what, and how that is known.
    fn call(&self, hop: &Hop) -> String {
        let Hop { event_name, target, account, .. } = hop;
        let proof = match &hop.to {
            Some(_) => hop.proof.text(),
            None => "no record names the key that it issued",
        };
        format!("{}  {event_name} {target} in {account}  [{proof}]", self.time(hop.time))
    }

    fn time(&self, time: Option<Timestamp>) -> String {
        match time {
            None => "-".to_owned(),
            Some(time) if *self.zone == TimeZone::UTC => format!("{time:.0}"),
            Some(time) => {
                time.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
        }
    }

    /// A line; what records say is made harmless, the indent is ours.
    fn push(&mut self, indent: &str, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(indent);
        self.text.push_str(&for_terminal(line));
    }
}

fn as_json(key: &str, trace: &Trace) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let hop = |hop: &Hop| {
        json!({
            "from": hop.from, "caller": hop.caller, "to": hop.to, "event_name": hop.event_name,
            "event_id": hop.event_id, "account": hop.account, "time": time(hop.time),
            "target": hop.target, "proof": hop.to.as_ref().map(|_| hop.proof.text()),
        })
    };
    let used = |(key, used): (&String, &KeyUse)| {
        let value = json!({
            "who": used.who, "events": used.events, "failed": used.failed,
            "accounts": used.accounts, "addresses": used.addresses, "address": used.address,
            "first": time(used.first), "last": time(used.last),
        });
        (key.clone(), value)
    };
    json!({
        "key": key,
        "origin": trace.origin.iter().map(hop).collect::<Vec<_>>(),
        "hops": trace.hops.iter().map(hop).collect::<Vec<_>>(),
        "keys": trace.uses.iter().map(used).collect::<serde_json::Map<_, _>>(),
        "cut": trace.cut,
    })
}

#[cfg(test)]
mod tests;
