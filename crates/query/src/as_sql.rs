//! The question that a filter is, as SQL to begin a better one with.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Value, visit_expressions_mut};
use datafusion::sql::unparser::expr_to_sql;

use crate::engine::{Selection, column};
use crate::error::QueryError;
use crate::filter::EventFilter;
use crate::views::EVENTS;

/// The question of [`crate::Engine::events`] as SQL, to begin a better one with.
///
/// # Errors
/// If the filter cannot be meant, or a part of it has no SQL.
pub fn as_sql(filter: &EventFilter, selection: &Selection) -> Result<String, QueryError> {
    for time in [filter.from, filter.to].into_iter().flatten() {
        // SQL's TIMESTAMP is nanoseconds here, which end in the year 2262.
        if i64::try_from(time.as_nanosecond()).is_err() {
            return Err(unsaid(DataFusionError::Plan(format!("no TIMESTAMP is as far as {time}"))));
        }
    }
    let said = |expression: &Expr| said(expression).map_err(unsaid);
    let columns: Vec<String> = selection
        .columns
        .iter()
        .map(|name| {
            said(&column(name)).map(|expression| match name.contains('.') {
                true => format!("{expression} AS \"{}\"", name.replace('"', "\"\"")),
                false => expression,
            })
        })
        .collect::<Result<_, _>>()?;
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let mut sql = format!("SELECT {columns}\nFROM {EVENTS}");
    if let Some(condition) = filter.condition()? {
        sql.push_str(&format!("\nWHERE {}", said(&condition)?));
    }
    if selection.newest_first {
        sql.push_str(
            "\nORDER BY eventtime DESC NULLS LAST, orgtrail_record DESC, orgtrail_row DESC",
        );
    }
    if let Some(limit) = selection.limit {
        sql.push_str(&format!("\nLIMIT {limit}"));
    }
    Ok(sql)
}

fn unsaid(error: DataFusionError) -> QueryError {
    QueryError::Statement(error.strip_backtrace())
}

/// An expression as SQL. What writes it guesses whether a quote inside of a text was
/// doubled already, and guesses wrong behind a backslash; so texts are quoted here.
fn said(expression: &Expr) -> Result<String, DataFusionError> {
    let mut sql = expr_to_sql(expression)?;
    let _done: ControlFlow<()> = visit_expressions_mut(&mut sql, |expression| {
        if let SqlExpr::Value(value) = expression
            && let Value::SingleQuotedString(text) = &value.value
        {
            // Written as it is.
            value.value = Value::Placeholder(format!("'{}'", text.replace('\'', "''")));
        }
        ControlFlow::Continue(())
    });
    Ok(sql.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_sql_cannot_say_is_not_said_otherwise() {
        let from = "4150-11-20T10:15:01Z".parse().ok();
        let filter = EventFilter { from, ..EventFilter::default() };
        let error = as_sql(&filter, &Selection::default()).expect_err("no SQL");
        assert!(error.to_string().contains("4150-11-20T10:15:01Z"), "{error}");
    }

    #[test]
    fn a_text_ends_where_it_ends_whatever_stands_in_it() {
        let texts = ["o'neil", "\\'", "''", "a\\\\'b", "'; --", "%_\\"];
        for text in texts {
            let filter = EventFilter { events: vec![text.to_owned()], ..EventFilter::default() };
            let sql = as_sql(&filter, &Selection::default()).expect("it can be said");
            let quoted = format!("= '{}'", text.replace('\'', "''"));
            assert!(sql.contains(&quoted), "{text}: {sql}");
        }
    }
}
