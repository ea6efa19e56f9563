//! Where an access key leads: what was done with it, and the sessions and keys
//! that were issued with it, and with those, through other accounts.
//!
//! Walked level by level, so that one question answers for all keys of a level.
//! Each hop says how it is proven ([`Proof`]); nothing is guessed silently.
//!
//! # Bounds
//! At most [`DEPTH_MAX`] levels and [`HOPS_MAX`] hops; a trace that has more says
//! so in [`Trace::cut`].

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use crate::coverage::Coverage;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::question::Question;

/// Levels of keys that were issued by keys.
pub const DEPTH_MAX: usize = 12;

/// Hops of one trace.
pub const HOPS_MAX: usize = 1_000;

/// Values that one statement asks for.
const VALUES_MAX: usize = 100;

/// How long a role session can last, and so how long after the call its name may
/// first be seen (STS: `DurationSeconds` is at most 43,200).
const SESSION_MAX: SignedDuration = SignedDuration::from_hours(12);

/// How it is known that one key came from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The answer to the call names the key that was issued.
    IssuedKey,
    /// The other account's record of the same call (`sharedEventID`) names it.
    SharedEvent,
    /// A session of the role and the name that the call asked for was seen within
    /// the time that it could last. Others may use the same name: weak.
    SessionName,
}

impl Proof {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::IssuedKey => "key in the answer",
            Self::SharedEvent => "shared event",
            Self::SessionName => "session name, weak",
        }
    }
}

/// A key that was issued by a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The key that called; none where the call was made without one (SAML, web
    /// identity, a console).
    pub from: Option<String>,
    /// Who called: an ARN, or what the record has.
    pub caller: String,
    /// The key that was issued; none if no record names it.
    pub to: Option<String>,
    /// The call.
    pub event_name: String,
    /// Its record.
    pub event_id: String,
    /// The account whose record it is.
    pub account: String,
    /// When.
    pub time: Option<Timestamp>,
    /// The role or user whose key it is.
    pub target: String,
    /// How the key that was issued is known.
    pub proof: Proof,
}

/// What was done with a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Whose key it is: an ARN, as the records have it.
    pub who: String,
    /// Events.
    pub events: u64,
    /// Events with an error.
    pub failed: u64,
    /// Accounts whose records they are.
    pub accounts: u64,
    /// Addresses that they came from.
    pub addresses: u64,
    /// One of the addresses.
    pub address: String,
    /// The first one's time.
    pub first: Option<Timestamp>,
    /// The last one's time.
    pub last: Option<Timestamp>,
}

/// Where a key leads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The hops that led to the key, the first one first.
    pub origin: Vec<Hop>,
    /// The hops that begin at it or at what it led to, each level by time.
    pub hops: Vec<Hop>,
    /// What was done with each key that was found, by key; not those of `origin`.
    pub uses: BTreeMap<String, KeyUse>,
    /// There is more than a trace shows.
    pub cut: bool,
    /// What was searched: as complete as all answers, by the first one's reach.
    pub coverage: Coverage,
}

impl Engine {
    /// Follows an access key between two times. What led to the key is looked for
    /// without regard to `from`.
    ///
    /// # Errors
    /// As [`Engine::ask`].
    pub fn trace<'a>(
        &'a self,
        key: &'a str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<Trace, QueryError>> {
        Box::pin(async move {
            let mut tracer = Tracer { engine: self, from, to, trace: Trace::default() };
            tracer.forward(key).await?;
            tracer.backward(key).await?;
            Ok(tracer.trace)
        })
    }
}

struct Tracer<'a> {
    engine: &'a Engine,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    trace: Trace,
}

/// A call whose issued key is not known yet.
struct Call {
    hop: Hop,
    shared_event: Option<String>,
    /// The ARN that the session has, if the call says which.
    session: Option<String>,
}

impl Tracer<'_> {
    async fn forward(&mut self, key: &str) -> Result<(), QueryError> {
        let mut known = BTreeSet::from([key.to_owned()]);
        let mut level = vec![key.to_owned()];
        for depth in 0.. {
            let mut calls = Vec::new();
            for keys in level.chunks(VALUES_MAX) {
                self.uses(keys).await?;
                calls.extend(self.calls(keys).await?);
            }
            if depth == DEPTH_MAX || self.trace.hops.len() + calls.len() > HOPS_MAX {
                self.trace.cut |= !calls.is_empty();
                calls.truncate(HOPS_MAX - self.trace.hops.len().min(HOPS_MAX));
            }
            self.by_shared_event(&mut calls).await?;
            self.by_session_name(&mut calls).await?;
            let issued = calls.iter().filter_map(|call| call.hop.to.clone());
            level = issued.filter(|key| known.insert(key.clone())).collect();
            self.trace.hops.extend(calls.into_iter().map(|call| call.hop));
            if level.is_empty() || self.trace.cut {
                return Ok(());
            }
        }
        Ok(())
    }

    /// From the key to whoever issued it, and on, as far as records tell.
    async fn backward(&mut self, key: &str) -> Result<(), QueryError> {
        let mut known = BTreeSet::from([key.to_owned()]);
        let mut key = key.to_owned();
        while self.trace.origin.len() < DEPTH_MAX {
            // Of two accounts' records of a call, the one that says with which key.
            let sql = format!(
                "SELECT {CALL} FROM events WHERE {ISSUES} AND contains(responseelements, $k0) \
                 AND ({ISSUED}) = $k0 \
                 ORDER BY coalesce(useridentity.accesskeyid, '') = '', eventtime, eventid LIMIT 1"
            );
            let calls = self.ask_calls(&sql, &[key.clone()]).await?;
            let Some(call) = calls.into_iter().next() else { break };
            let caller = call.hop.from.clone();
            self.trace.origin.insert(0, call.hop);
            match caller {
                Some(caller) if known.insert(caller.clone()) => key = caller,
                _ => break,
            }
        }
        Ok(())
    }

    async fn uses(&mut self, keys: &[String]) -> Result<(), QueryError> {
        let sql = format!(
            "SELECT useridentity.accesskeyid, max(useridentity.arn), count(*), \
             count(coalesce(errorcode, errormessage)), count(DISTINCT account), \
             count(DISTINCT sourceipaddress), min(sourceipaddress), min(eventtime), max(eventtime) \
             FROM events WHERE useridentity.accesskeyid IN ({}){} GROUP BY 1",
            places(keys),
            self.window()
        );
        for row in self.ask(&sql, keys).await? {
            let [key, who, events, failed, accounts, addresses, address, first, last] = row.cells();
            let Some(key) = key else { continue };
            let number =
                |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
            let time = |text: Option<String>| text.and_then(|text| time_of(&text));
            let used = KeyUse {
                who: who.unwrap_or_default(),
                events: number(events),
                failed: number(failed),
                accounts: number(accounts),
                addresses: number(addresses),
                address: address.unwrap_or_default(),
                first: time(first),
                last: time(last),
            };
            self.trace.uses.insert(key, used);
        }
        Ok(())
    }

    /// The calls with these keys that issued others, by time.
    async fn calls(&mut self, keys: &[String]) -> Result<Vec<Call>, QueryError> {
        let sql = format!(
            "SELECT {CALL} FROM events WHERE useridentity.accesskeyid IN ({}) AND {ISSUES}{} \
             ORDER BY eventtime, eventid LIMIT {}",
            places(keys),
            self.window(),
            HOPS_MAX + 1
        );
        self.ask_calls(&sql, keys).await
    }

    async fn ask_calls(&mut self, sql: &str, keys: &[String]) -> Result<Vec<Call>, QueryError> {
        let rows = self.ask(sql, keys).await?;
        Ok(rows.into_iter().map(Call::of).collect())
    }

    /// The other account's record of a call may name the key where ours does not.
    async fn by_shared_event(&mut self, calls: &mut [Call]) -> Result<(), QueryError> {
        let unknown = calls.iter().filter(|call| call.hop.to.is_none());
        let ids: BTreeSet<String> = unknown.filter_map(|call| call.shared_event.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(VALUES_MAX) {
            let sql = format!(
                "SELECT sharedeventid, min({ISSUED}) FROM events \
                 WHERE sharedeventid IN ({}) AND {ISSUES} GROUP BY 1",
                places(ids)
            );
            for row in self.ask(&sql, ids).await? {
                let [id, key] = row.cells();
                found.extend(id.zip(key));
            }
        }
        for call in calls.iter_mut().filter(|call| call.hop.to.is_none()) {
            let key = call.shared_event.as_ref().and_then(|id| found.get(id));
            if let Some(key) = key {
                (call.hop.to, call.hop.proof) = (Some(key.clone()), Proof::SharedEvent);
            }
        }
        Ok(())
    }

    /// Where no record names the key, a session of that name may have been seen.
    async fn by_session_name(&mut self, calls: &mut [Call]) -> Result<(), QueryError> {
        for call in calls.iter_mut().filter(|call| call.hop.to.is_none()) {
            let (Some(session), Some(time)) = (&call.session, call.hop.time) else { continue };
            let until = time.checked_add(SESSION_MAX).unwrap_or(Timestamp::MAX);
            let sql = format!(
                "SELECT useridentity.accesskeyid FROM events WHERE useridentity.arn = $k0 \
                 AND useridentity.accesskeyid <> ''{} \
                 GROUP BY 1 ORDER BY min(eventtime), 1 LIMIT 1",
                between(Some(time), Some(until))
            );
            if let Some(row) =
                self.ask(&sql, std::slice::from_ref(session)).await?.into_iter().next()
            {
                let [key] = row.cells();
                (call.hop.to, call.hop.proof) = (key, Proof::SessionName);
            }
        }
        Ok(())
    }

    fn window(&self) -> String {
        between(self.from, self.to)
    }

    /// The rows of a statement whose `$k0`, `$k1`, … are these values.
    async fn ask(&mut self, sql: &str, values: &[String]) -> Result<Vec<Row>, QueryError> {
        let names = (0..).map(|number| format!("k{number}"));
        let parameters = names.zip(values.iter().cloned()).collect();
        let question = Question { parameters, ..Question::sql(sql) };
        let mut answer = self.engine.ask(&question).await?;
        let mut rows = Vec::new();
        while let Some(batch) = answer.next().await? {
            rows.extend(Row::all(&batch)?);
        }
        let coverage = answer.coverage();
        let total = &mut self.trace.coverage;
        if total.searched {
            total.read_bytes += coverage.read_bytes;
            total.requests += coverage.requests;
            total.files = total.files.max(coverage.files);
            total.asked_also(coverage);
        } else {
            *total = coverage;
        }
        Ok(rows)
    }
}

/// What is asked of a call, in the order of [`Call::of`].
const CALL: &str = "useridentity.accesskeyid, coalesce(useridentity.arn, useridentity.principalid), \
     eventname, eventid, account, eventtime, sharedeventid, \
     coalesce(json_extract_scalar(responseelements, '$.credentials.accessKeyId'), \
              json_extract_scalar(responseelements, '$.accessKey.accessKeyId')), \
     coalesce(json_extract_scalar(responseelements, '$.assumedRoleUser.arn'), \
              json_extract_scalar(responseelements, '$.federatedUser.arn')), \
     json_extract_scalar(requestparameters, '$.roleArn'), \
     json_extract_scalar(requestparameters, '$.roleSessionName'), \
     json_extract_scalar(requestparameters, '$.userName')";

/// The key that a call's answer names.
const ISSUED: &str = "coalesce(json_extract_scalar(responseelements, '$.credentials.accessKeyId'), \
     json_extract_scalar(responseelements, '$.accessKey.accessKeyId'))";

/// Whether a call issued credentials.
const ISSUES: &str = "errorcode IS NULL AND \
     (eventsource = 'sts.amazonaws.com' AND eventname IN \
     ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot', \
      'GetFederationToken', 'GetSessionToken') \
     OR eventsource = 'iam.amazonaws.com' AND eventname = 'CreateAccessKey')";

impl Call {
    fn of(row: Row) -> Self {
        let [
            from,
            caller,
            event_name,
            event_id,
            account,
            time,
            shared_event,
            to,
            session,
            role,
            name,
            user,
        ] = row.cells();
        let session = session.or_else(|| session_arn(role.as_deref()?, name.as_deref()?));
        let target = session.clone().or(role).or(user).or_else(|| caller.clone());
        let hop = Hop {
            from: from.filter(|key| !key.is_empty()),
            caller: caller.unwrap_or_default(),
            to,
            event_name: event_name.unwrap_or_default(),
            event_id: event_id.unwrap_or_default(),
            account: account.unwrap_or_default(),
            time: time.and_then(|text| time_of(&text)),
            target: target.unwrap_or_default(),
            proof: Proof::IssuedKey,
        };
        Self { hop, shared_event, session }
    }
}

/// The ARN of a session of a role: `arn:aws:iam::1:role/path/name` and `session`
/// give `arn:aws:sts::1:assumed-role/name/session`.
fn session_arn(role: &str, session: &str) -> Option<String> {
    let (head, path) = role.split_once(":role/")?;
    let name = path.rsplit('/').next()?;
    Some(format!("{}:assumed-role/{name}/{session}", head.replacen(":iam:", ":sts:", 1)))
}

/// `$k0, $k1, …`
fn places(values: &[String]) -> String {
    (0..values.len()).map(|number| format!("$k{number}")).collect::<Vec<_>>().join(", ")
}

/// A condition on the event's time. Timestamps are ours, no text of anybody.
fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    let literal = |time: Timestamp| format!("TIMESTAMP '{time}'");
    let from = from.map(|time| format!(" AND eventtime >= {}", literal(time)));
    let to = to.map(|time| format!(" AND eventtime < {}", literal(time)));
    from.into_iter().chain(to).collect()
}

fn time_of(text: &str) -> Option<Timestamp> {
    let text = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    text.parse().ok()
}

/// A row's cells as text.
struct Row(Vec<Option<String>>);

impl Row {
    fn all(batch: &RecordBatch) -> Result<Vec<Self>, QueryError> {
        let texts = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
        let columns = texts.collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|error| QueryError::Engine(Box::new(error.into())))?;
        let columns: Vec<&StringArray> = columns.iter().map(|column| column.as_string()).collect();
        let cell =
            |column: &&StringArray, row| column.is_valid(row).then(|| column.value(row).to_owned());
        let rows = 0..batch.num_rows();
        Ok(rows.map(|row| Self(columns.iter().map(|column| cell(column, row)).collect())).collect())
    }

    /// The first cells; what is not there is none.
    fn cells<const N: usize>(self) -> [Option<String>; N] {
        let mut cells = self.0.into_iter();
        std::array::from_fn(|_| cells.next().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_the_arn_of_its_role_and_its_name() {
        let check = |role: &str, expected: Option<&str>| {
            assert_eq!(session_arn(role, "me").as_deref(), expected, "{role}");
        };
        check("arn:aws:iam::1:role/Admin", Some("arn:aws:sts::1:assumed-role/Admin/me"));
        check("arn:aws-cn:iam::1:role/a/b/Admin", Some("arn:aws-cn:sts::1:assumed-role/Admin/me"));
        check("nonsense", None);
    }

    #[test]
    fn times_are_read_as_the_engine_writes_them() {
        let expected: Timestamp = "2026-11-20T11:31:02Z".parse().expect("a time");
        assert_eq!(time_of("2026-11-20T11:31:02Z"), Some(expected));
        assert_eq!(time_of("2026-11-20T11:31:02"), Some(expected));
        assert_eq!(time_of("nonsense"), None);
    }
}
