//! Questions that ship with the program: each a file in `saved/`.
//!
//! A file is SQL with a head of comments: its title, what it answers, the ATT&CK
//! technique that it looks for if there is one, and its parameters. Parameters are
//! bound as values; nobody's text becomes SQL.

use crate::question::Question;

/// Name and text of every saved question, by name.
const FILES: &[(&str, &str)] = &[
    ("access-denied", include_str!("../saved/access-denied.sql")),
    ("access-keys-created", include_str!("../saved/access-keys-created.sql")),
    ("address-activity", include_str!("../saved/address-activity.sql")),
    ("admin-granted", include_str!("../saved/admin-granted.sql")),
    ("backups-deleted", include_str!("../saved/backups-deleted.sql")),
    ("buckets-opened", include_str!("../saved/buckets-opened.sql")),
    ("commands-run", include_str!("../saved/commands-run.sql")),
    ("console-changes", include_str!("../saved/console-changes.sql")),
    ("console-logins-without-mfa", include_str!("../saved/console-logins-without-mfa.sql")),
    ("cross-account-roles", include_str!("../saved/cross-account-roles.sql")),
    ("deletions", include_str!("../saved/deletions.sql")),
    ("detectors-tampered", include_str!("../saved/detectors-tampered.sql")),
    ("events-by-account", include_str!("../saved/events-by-account.sql")),
    ("events-by-day", include_str!("../saved/events-by-day.sql")),
    ("failed-console-logins", include_str!("../saved/failed-console-logins.sql")),
    ("flow-logs-deleted", include_str!("../saved/flow-logs-deleted.sql")),
    ("functions-changed", include_str!("../saved/functions-changed.sql")),
    ("identity-providers-changed", include_str!("../saved/identity-providers-changed.sql")),
    ("instance-data-changed", include_str!("../saved/instance-data-changed.sql")),
    ("instances-launched", include_str!("../saved/instances-launched.sql")),
    ("key-activity", include_str!("../saved/key-activity.sql")),
    ("key-addresses", include_str!("../saved/key-addresses.sql")),
    ("keys-disabled", include_str!("../saved/keys-disabled.sql")),
    ("login-profiles-changed", include_str!("../saved/login-profiles-changed.sql")),
    ("mfa-removed", include_str!("../saved/mfa-removed.sql")),
    ("network-changed", include_str!("../saved/network-changed.sql")),
    ("new-regions", include_str!("../saved/new-regions.sql")),
    ("oddities", include_str!("../saved/oddities.sql")),
    ("organization-changed", include_str!("../saved/organization-changed.sql")),
    ("outdated-tls", include_str!("../saved/outdated-tls.sql")),
    ("policies-changed", include_str!("../saved/policies-changed.sql")),
    ("principal-activity", include_str!("../saved/principal-activity.sql")),
    ("recon-bursts", include_str!("../saved/recon-bursts.sql")),
    ("resource-activity", include_str!("../saved/resource-activity.sql")),
    ("role-sessions", include_str!("../saved/role-sessions.sql")),
    ("root-activity", include_str!("../saved/root-activity.sql")),
    ("secrets-read", include_str!("../saved/secrets-read.sql")),
    ("security-groups-opened", include_str!("../saved/security-groups-opened.sql")),
    ("snapshots-shared", include_str!("../saved/snapshots-shared.sql")),
    ("tokens-issued", include_str!("../saved/tokens-issued.sql")),
    ("top-errors", include_str!("../saved/top-errors.sql")),
    ("top-events", include_str!("../saved/top-events.sql")),
    ("trails-tampered", include_str!("../saved/trails-tampered.sql")),
    ("trust-policies-changed", include_str!("../saved/trust-policies-changed.sql")),
    ("users-created", include_str!("../saved/users-created.sql")),
];

/// A question that ships with the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The question in words.
    pub answers: &'static str,
    /// The ATT&CK technique that it looks for.
    pub technique: Option<&'static str>,
    /// What it needs to know.
    pub parameters: Vec<Parameter>,
    /// The whole file.
    pub sql: &'static str,
}

/// What a saved question needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name: `--param name=value`, and `$name` in the SQL.
    pub name: &'static str,
    /// Whether it is a time, as people write times.
    pub is_time: bool,
    /// Its value if none is given; none if one has to be.
    pub default: Option<&'static str>,
    /// What it means.
    pub means: &'static str,
}

/// A parameter that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameter {
    /// Nobody asked for it.
    #[error("{query} has no parameter {name}; it has {known}")]
    Unknown {
        /// The saved question.
        query: &'static str,
        /// The parameter that was given.
        name: String,
        /// The parameters that there are.
        known: String,
    },
    /// It has no default.
    #[error("{query} needs --param {name}=…: {means}")]
    Missing {
        /// The saved question.
        query: &'static str,
        /// The parameter.
        name: &'static str,
        /// What it means.
        means: &'static str,
    },
}

impl Saved {
    /// All saved questions, by name.
    #[must_use]
    pub fn all() -> Vec<Self> {
        FILES.iter().map(|(name, text)| Self::read(name, text)).collect()
    }

    /// The saved question of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        FILES.iter().find(|(known, _)| *known == name).map(|(name, text)| Self::read(name, text))
    }

    fn read(name: &'static str, sql: &'static str) -> Self {
        let head = |key: &'static str| {
            sql.lines().filter_map(move |line| {
                line.strip_prefix("-- ")?.strip_prefix(key)?.strip_prefix(": ")
            })
        };
        Self {
            name,
            title: head("title").next().unwrap_or(name),
            answers: head("answers").next().unwrap_or_default(),
            technique: head("technique").next(),
            parameters: head("parameter").filter_map(Parameter::read).collect(),
            sql,
        }
    }

    /// The question with these values; `time` reads a time as people write it.
    ///
    /// # Errors
    /// If a value is given for no parameter, or a parameter has none.
    pub fn with<E: From<InvalidParameter>>(
        &self,
        given: &[(String, String)],
        time: impl Fn(&str) -> Result<String, E>,
    ) -> Result<Question, E> {
        let unknown = given
            .iter()
            .find(|(name, _)| !self.parameters.iter().any(|parameter| parameter.name == name));
        if let Some((name, _)) = unknown {
            let known: Vec<_> = self.parameters.iter().map(|parameter| parameter.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(
                InvalidParameter::Unknown { query: self.name, name: name.clone(), known }.into()
            );
        }
        let mut parameters = Vec::new();
        for Parameter { name, is_time, default, means } in &self.parameters {
            let value = given.iter().rev().find(|(given, _)| given == name);
            let value = value.map(|(_, value)| value.as_str()).or(*default);
            let Some(value) = value else {
                return Err(InvalidParameter::Missing { query: self.name, name, means }.into());
            };
            let value = if *is_time { time(value)? } else { value.to_owned() };
            parameters.push(((*name).to_owned(), value));
        }
        Ok(Question { sql: self.sql.to_owned(), parameters, ..Question::default() })
    }
}

impl Parameter {
    /// Reads `name kind [required] [= default] | what it means`.
    fn read(line: &'static str) -> Option<Self> {
        let (declared, means) = line.split_once(" | ")?;
        let (declared, default) = match declared.split_once(" = ") {
            Some((declared, default)) => (declared, Some(default)),
            None if declared.ends_with(" required") => (declared, None),
            None => (declared, Some("")),
        };
        let mut words = declared.split(' ');
        let (name, kind) = (words.next()?, words.next()?);
        Some(Self { name, is_time: kind == "time", default, means })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_saved_question_says_what_it_is() {
        let all = Saved::all();
        assert!(all.len() >= 30, "{}", all.len());
        for saved in all {
            assert!(!saved.answers.is_empty() && saved.title != saved.name, "{}", saved.name);
            if let Some(technique) = saved.technique {
                assert!(technique.starts_with('T') && technique.len() >= 5, "{technique}");
            }
            for parameter in &saved.parameters {
                let used = format!("${}", parameter.name);
                assert!(saved.sql.contains(&used), "{} does not use {used}", saved.name);
            }
        }
    }

    #[test]
    fn a_parameter_that_does_not_fit_is_said() {
        let saved = Saved::find("key-activity").expect("a saved question");
        let with = |given: &[(&str, &str)]| {
            let given: Vec<_> =
                given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            saved.with::<InvalidParameter>(&given, |text| Ok(text.to_owned()))
        };
        assert!(matches!(with(&[]), Err(InvalidParameter::Missing { name: "key", .. })));
        assert!(matches!(with(&[("kye", "x")]), Err(InvalidParameter::Unknown { .. })));
        let question = with(&[("key", "' OR 1=1")]).expect("bound");
        assert_eq!(question.sql, saved.sql, "values are no SQL");
        assert!(question.parameters.contains(&("key".to_owned(), "' OR 1=1".to_owned())));
    }
}
