//! A question in SQL: the statement, what it calls the tables, its parameters.

use datafusion::scalar::ScalarValue;

/// A question in SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// One statement that only reads.
    pub sql: String,
    /// Names of tables that the statement has, in lower case, and ours for them.
    pub tables: Vec<(String, String)>,
    /// Values for the statement's `$name`s. They are bound and never pasted.
    pub parameters: Vec<(String, String)>,
}

impl Question {
    /// A statement as it is.
    #[must_use]
    pub fn sql(sql: &str) -> Self {
        Self { sql: sql.to_owned(), ..Self::default() }
    }

    pub(crate) fn values(&self) -> Vec<(String, ScalarValue)> {
        let text = |value: &String| ScalarValue::Utf8(Some(value.clone()));
        self.parameters.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }
}
