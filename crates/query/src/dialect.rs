//! Reads SQL as it is published for CloudTrail Lake and Athena.
//!
//! Both speak Trino; the engine speaks DataFusion's dialect, which is close to
//! PostgreSQL's. Where a function or view is enough, there is one (`functions`,
//! `views`). What is left are differences of the language, and they are settled
//! here, on tokens and on the parsed statement:
//!
//! - `tokens`: what DataFusion's parser cannot read: the bare id of an event data
//!   store after FROM, `IPADDRESS '…'`, `ARRAY(VARCHAR)`;
//! - `repair`: what publishing does to SQL, such as a lost line break; each repair
//!   is said to the asker;
//! - `rewrite`: what is said differently: names of tables and functions, casts of
//!   JSON, names of columns;
//! - `unnest`: `CROSS JOIN UNNEST(…)`.

mod repair;
mod rewrite;
mod tokens;
mod unnest;

use std::any::TypeId;
use std::collections::BTreeSet;

use datafusion::execution::FunctionRegistry;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectNamePart, Statement as Sql, VisitMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::QueryError;

/// A statement that can be planned.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) statement: Statement,
    /// The tables and views that it names.
    pub(crate) tables: BTreeSet<String>,
    /// What was read otherwise than it is written.
    pub(crate) notes: Vec<String>,
}

/// Reads one statement that only reads. `names` are tables by the names that the
/// statement has for them.
pub(crate) fn parse(sql: &str, names: &[(String, String)]) -> Result<Parsed, QueryError> {
    let wrong = |error: &dyn std::fmt::Display| QueryError::Statement(error.to_string());
    let mut tokens =
        Tokenizer::new(&Trino, sql).tokenize_with_location().map_err(|error| wrong(&error))?;
    begins_as_question(&tokens)?;
    tokens::translate(&mut tokens);
    let mut notes = repair::repair(&mut tokens);
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&Trino)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::Statement(error.strip_backtrace()))?;
    let (Some(mut statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(QueryError::Statement("ask one statement at a time".to_owned()));
    };
    if !only_reads(&statement) {
        return Err(QueryError::ReadOnly("this statement".to_owned()));
    }
    let inner = match &mut statement {
        Statement::Statement(inner) => Some(inner),
        Statement::Explain(explain) => match explain.statement.as_mut() {
            Statement::Statement(inner) => Some(inner),
            _ => None,
        },
        _ => None,
    };
    let Some(inner) = inner else {
        return Ok(Parsed { statement, tables: BTreeSet::new(), notes });
    };
    let mut rewrite = rewrite::Rewrite::new(names, inner);
    let _walked = inner.visit(&mut rewrite);
    rewrite.named(inner);
    let found = rewrite.finish();
    notes.extend(found.notes);
    match found.trouble {
        Some(trouble) => Err(QueryError::Statement(trouble)),
        None => Ok(Parsed { statement, tables: found.tables, notes }),
    }
}

/// Refuses by its first word what would change something, in whatever words it
/// goes on.
fn begins_as_question(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let first = tokens::next(tokens, 0).and_then(|at| tokens::token(tokens, at));
    let Some(Token::Word(word)) = first else { return Ok(()) };
    let asks = matches!(
        word.keyword,
        Keyword::SELECT
            | Keyword::WITH
            | Keyword::EXPLAIN
            | Keyword::DESCRIBE
            | Keyword::DESC
            | Keyword::SHOW
            | Keyword::VALUES
            | Keyword::TABLE
    );
    if asks || word.keyword == Keyword::NoKeyword {
        return Ok(());
    }
    Err(QueryError::ReadOnly(word.value.to_uppercase()))
}

fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => only_reads(&explain.statement),
        Statement::Statement(sql) => matches!(
            **sql,
            Sql::Query(_)
                | Sql::ExplainTable { .. }
                | Sql::ShowTables { .. }
                | Sql::ShowColumns { .. }
                | Sql::ShowFunctions { .. }
                | Sql::ShowVariable { .. }
        ),
        _ => false,
    }
}

/// The functions that a statement calls and nobody knows.
pub(crate) fn unknown_functions(
    statement: &Statement,
    registry: &dyn FunctionRegistry,
) -> Vec<String> {
    let Statement::Statement(statement) = statement else { return Vec::new() };
    let mut unknown = BTreeSet::new();
    let _walked = visit_expressions(statement.as_ref(), |expression| {
        if let Expr::Function(call) = expression
            && let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice()
        {
            let name = name.value.to_lowercase();
            let known = matches!(name.as_str(), "unnest" | "grouping")
                || registry.udf(&name).is_ok()
                || registry.udaf(&name).is_ok()
                || registry.udwf(&name).is_ok()
                || registry.higher_order_function(&name).is_ok();
            if !known {
                unknown.insert(name);
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    unknown.into_iter().collect()
}

/// DataFusion's own dialect, with lambdas and without what no question needs.
#[derive(Debug)]
struct Trino;

impl Dialect for Trino {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn is_delimited_identifier_start(&self, letter: char) -> bool {
        GenericDialect.is_delimited_identifier_start(letter)
    }

    fn is_identifier_start(&self, letter: char) -> bool {
        GenericDialect.is_identifier_start(letter)
    }

    fn is_identifier_part(&self, letter: char) -> bool {
        GenericDialect.is_identifier_part(letter)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_select_wildcard_rename(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_extract_comma_syntax(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        true
    }

    fn supports_try_convert(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }
}
