//! The filters that people type, as one expression over the table's columns.
//!
//! One option given several times means "or", several options mean "and", a
//! leading `!` means "not", and `*` stands for anything.

use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_nested::array_has::array_has_udf;
use datafusion::logical_expr::{Expr, col, lit, not};
use datafusion::scalar::ScalarValue;
use event::AccountId;
use event::indicator::is_indicator;
use jiff::Timestamp;
use table::schema::INDICATORS;

use crate::functions::resource_lines;
use crate::pattern::{Pattern, condition, condition_on_key, like};

/// Which events are asked for; the default asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Events at this time or later.
    pub from: Option<Timestamp>,
    /// Events before this time.
    pub to: Option<Timestamp>,
    /// Account ids.
    pub accounts: Vec<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// Event names.
    pub events: Vec<String>,
    /// Event sources; `s3` means `s3.amazonaws.com`.
    pub sources: Vec<String>,
    /// Who acted: an ARN or its end, a user or role name, a principal id, or
    /// the service that acted for somebody.
    pub principals: Vec<String>,
    /// Access key ids.
    pub keys: Vec<String>,
    /// Source addresses.
    pub addresses: Vec<String>,
    /// What was touched: an ARN, a name or an id, or the end of one.
    pub resources: Vec<String>,
    /// Whatever a record names, acting or acted upon: a key, an ARN or its end, a
    /// user, a role, a principal id, an address, an account or another id.
    pub named: Vec<String>,
    /// Error codes; `*` means any error.
    pub errors: Vec<String>,
    /// Only reads, or only writes.
    pub read_only: Option<bool>,
}

/// A filter that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// Not an account id, so it would never match.
    #[error("{0:?} is no account id: 12 digits, or a pattern with *")]
    Account(String),
    /// Nothing lies between.
    #[error("the time from {from} to {to} is empty")]
    Time {
        /// From.
        from: Timestamp,
        /// To.
        to: Timestamp,
    },
    /// Empty text never matches.
    #[error("an empty value for {0} matches nothing")]
    Empty(&'static str),
}

impl EventFilter {
    /// The condition, or none if all events are asked for.
    pub(crate) fn condition(&self) -> Result<Option<Expr>, InvalidFilter> {
        self.check()?;
        let text = |name: &'static str| move |pattern: &Pattern| pattern.matches(col(name));
        let conditions = [
            self.from.map(|from| col("eventtime").gt_eq(time(from))),
            self.to.map(|to| col("eventtime").lt(time(to))),
            condition_on_key(&self.accounts, "account"),
            condition_on_key(&self.regions, "region"),
            condition(&self.events, text("eventname")),
            condition(&self.sources, source),
            condition(&self.principals, principal),
            condition(&self.keys, |pattern| {
                pattern.matches(col("useridentity").field("accesskeyid"))
            }),
            condition(&self.addresses, text("sourceipaddress")),
            condition(&self.resources, resource),
            condition(&self.named, named),
            condition(&self.errors, error),
            self.read_only.map(|read_only| col("readonly").eq(lit(read_only))),
        ];
        Ok(conditions.into_iter().flatten().reduce(Expr::and))
    }

    /// Conditions of which each wanted row meets one; none if all events are asked for.
    ///
    /// An indicator is looked for in the lists of what rows name, which are small beside
    /// the columns that it may stand in; those are read for rows that have no list.
    pub(crate) fn ways(&self) -> Result<Vec<Expr>, InvalidFilter> {
        let whole = self.condition()?;
        let Some((listed, unlisted)) = by_list(&self.named) else {
            return Ok(whole.into_iter().collect());
        };
        let rest = Self { named: Vec::new(), ..self.clone() }.condition()?;
        let with = |way: Expr, rest: Option<Expr>| match rest {
            Some(rest) => rest.and(way),
            None => way,
        };
        Ok(vec![with(listed, rest), with(unlisted, whole)])
    }

    fn check(&self) -> Result<(), InvalidFilter> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(InvalidFilter::Time { from, to });
        }
        let options: [(&'static str, &[String]); 10] = [
            ("--account", &self.accounts),
            ("--region", &self.regions),
            ("--event", &self.events),
            ("--source", &self.sources),
            ("--principal", &self.principals),
            ("--key", &self.keys),
            ("--ip", &self.addresses),
            ("--resource", &self.resources),
            ("what is looked for", &self.named),
            ("--error", &self.errors),
        ];
        for (name, values) in options {
            if values.iter().any(|value| Pattern::new(value).text.is_empty()) {
                return Err(InvalidFilter::Empty(name));
            }
        }
        for value in &self.accounts {
            let pattern = Pattern::new(value);
            if !pattern.is_glob() && pattern.text.parse::<AccountId>().is_err() {
                return Err(InvalidFilter::Account(pattern.text));
            }
        }
        Ok(())
    }
}

/// A time as the literal that the column `eventtime` compares with.
fn time(time: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.as_microsecond()), Some("UTC".into())))
}

fn source(pattern: &Pattern) -> Expr {
    let text = &pattern.text;
    if text.contains(['.', '*']) {
        return pattern.matches(col("eventsource"));
    }
    col("eventsource").eq(lit(format!("{text}.amazonaws.com")))
}

fn principal(pattern: &Pattern) -> Expr {
    let identity = || col("useridentity");
    let issuer = || identity().field("sessioncontext").field("sessionissuer");
    let columns = [
        identity().field("arn"),
        identity().field("username"),
        identity().field("principalid"),
        identity().field("invokedby"),
        issuer().field("arn"),
        issuer().field("username"),
    ];
    let whole = columns.into_iter().map(|column| pattern.matches(column)).reduce(Expr::or);
    let whole = whole.unwrap_or_else(|| lit(false));
    let ends = [format!("*/{}", pattern.text), format!("*:{}", pattern.text)];
    ends.iter().fold(whole, |any, end| any.or(like(identity().field("arn"), end)))
}

/// Wherever a record names it: among its resources, or as a value of what was
/// asked and answered.
fn resource(pattern: &Pattern) -> Expr {
    let listed = resource_lines().call(vec![col("resources")]);
    let ends = [
        // A whole ARN, or what ends one.
        format!("*\n{}\n*", pattern.text),
        format!("*/{}\n*", pattern.text),
        format!("*:{}\n*", pattern.text),
    ];
    let listed = ends.iter().map(|end| like(listed.clone(), end)).reduce(Expr::or);
    let listed = listed.unwrap_or_else(|| lit(false));
    listed.or(inside(pattern, &["requestparameters", "responseelements"]))
}

/// As a value, or the end of one, of columns that hold JSON.
fn inside(pattern: &Pattern, columns: &[&str]) -> Expr {
    let ends = columns.iter().flat_map(|column| {
        ["\"", "/", ":"].map(|before| like(col(*column), &format!("*{before}{}\"*", pattern.text)))
    });
    ends.reduce(Expr::or).unwrap_or_else(|| lit(false))
}

/// That a row's list has one of some indicators, and that it has no list; none if
/// something else is looked for. Every row names the account that it is filed under.
fn by_list(named: &[String]) -> Option<(Expr, Expr)> {
    let patterns: Vec<Pattern> = named.iter().map(|value| Pattern::new(value)).collect();
    if !patterns.iter().all(|pattern| !pattern.negated && is_indicator(&pattern.text)) {
        return None;
    }
    let account = |pattern: &Pattern| col("account").eq(lit(pattern.text.clone()));
    let accounts = patterns.iter().map(account).reduce(Expr::or)?;
    let has = patterns
        .iter()
        .map(|pattern| array_has_udf().call(vec![col(INDICATORS), lit(pattern.text.clone())]));
    let listed = has.fold(accounts.clone(), Expr::or);
    Some((listed, col(INDICATORS).is_null().and(not(accounts))))
}

/// Wherever a record names it, whoever acts.
fn named(pattern: &Pattern) -> Expr {
    let identity = || col("useridentity");
    let columns = [
        identity().field("accesskeyid"),
        identity().field("accountid"),
        identity().field("sessioncontext").field("sessionissuer").field("principalid"),
        col("sourceipaddress"),
        col("account"),
        col("recipientaccountid"),
        col("vpcendpointid"),
        col("sharedeventid"),
    ];
    let session = like(identity().field("principalid"), &format!("{}:*", pattern.text));
    let inside = inside(pattern, &["additionaleventdata", "serviceeventdetails"]);
    let rest = session.or(inside);
    let any = columns.into_iter().fold(rest, |any, column| any.or(pattern.matches(column)));
    any.or(principal(pattern)).or(resource(pattern))
}

fn error(pattern: &Pattern) -> Expr {
    // A failed sign-in has a message and no code.
    if pattern.text == "*" {
        return col("errorcode").is_not_null().or(col("errormessage").is_not_null());
    }
    pattern.matches(col("errorcode"))
}
