//! What is said differently: one walk over the parsed statement.
//!
//! `calls` are functions, `casts` are casts, `operators` what is written like one, `names`
//! names of columns; tables, members and limits are here.

mod calls;
mod casts;
mod names;
mod operators;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
    ObjectName, ObjectNamePart, Query, Select, SetExpr, SetOperator, SetQuantifier, Statement,
    Subscript, TableAlias, TableFactor, Value, ValueWithSpan, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use table::schema::JSON_COLUMNS;

use self::casts::json_names;
use self::names::{fold_case, keep_names, name_members, part_names, unnamed};
use super::tokens::is_uuid;
use super::unnest::{Unnested, flatten};
use crate::views::{LAKE, LOGS, TABLES};
pub(super) use calls::{call_of, text};

pub(super) struct Rewrite<'a> {
    names: &'a [(String, String)],
    tables: BTreeSet<String>,
    /// What the statement itself names with WITH.
    ctes: BTreeSet<String>,
    unnested: Vec<Unnested>,
    /// What the columns of the SELECTs that the walk is in were before it.
    written: Vec<Vec<Option<String>>>,
    /// The parameters of the lambdas that the walk is in.
    parameters: Vec<Vec<String>>,
    /// Calls of `try` that the walk is in.
    tries: usize,
    /// Names of what is JSON.
    json: BTreeSet<String>,
    notes: BTreeSet<String>,
    trouble: Option<String>,
}

/// What the walk found.
pub(super) struct Found {
    /// The tables and views that are asked.
    pub(super) tables: BTreeSet<String>,
    /// What was read otherwise than it is written.
    pub(super) notes: BTreeSet<String>,
    /// What cannot be read.
    pub(super) trouble: Option<String>,
}

impl<'a> Rewrite<'a> {
    /// A walk over a statement; `names` are tables by the names that it has for them.
    pub(super) fn new(names: &'a [(String, String)], statement: &Statement) -> Self {
        Self {
            names,
            json: json_names(statement),
            tables: BTreeSet::new(),
            ctes: BTreeSet::new(),
            unnested: Vec::new(),
            written: Vec::new(),
            parameters: Vec::new(),
            tries: 0,
            notes: BTreeSet::new(),
            trouble: None,
        }
    }

    /// DESCRIBE and SHOW name tables that the walk does not come by.
    pub(super) fn named(&mut self, statement: &mut Statement) {
        match statement {
            Statement::ExplainTable { table_name, .. } => self.table(table_name),
            Statement::Query(_) => {}
            _ => self.tables.extend(TABLES.iter().map(|name| (*name).to_owned())),
        }
    }

    pub(super) fn finish(self) -> Found {
        Found { tables: self.tables, notes: self.notes, trouble: self.trouble }
    }

    /// Gives a table the name that we have for it.
    fn table(&mut self, name: &mut ObjectName) {
        let Some(ObjectNamePart::Identifier(last)) = name.0.last() else { return };
        let written = last.value.to_lowercase();
        let told = self.names.iter().find(|(theirs, _)| *theirs == written);
        let ours = match told {
            Some((_, ours)) => ours.clone(),
            None if self.ctes.contains(&written) => return,
            None if name.0.iter().any(is_information_schema) => {
                self.tables.extend(TABLES.iter().map(|name| (*name).to_owned()));
                return;
            }
            None if TABLES.contains(&written.as_str()) => written,
            None if is_uuid(&written) => LAKE.to_owned(),
            // The console names its table after the bucket that it reads.
            None if written.starts_with("cloudtrail_logs_") => LOGS.to_owned(),
            None => return,
        };
        self.tables.insert(ours.clone());
        *name = ObjectName::from(vec![Ident::new(ours)]);
    }

    /// `r.type` of a lambda's `r` is `r['type']`.
    fn member_of_parameter(&self, parts: &[Ident]) -> Option<Expr> {
        let (first, members) = parts.split_first()?;
        let name = first.value.to_lowercase();
        let is_parameter = self.parameters.iter().flatten().any(|known| *known == name);
        if !is_parameter || members.is_empty() {
            return None;
        }
        let access = members.iter().map(|member| {
            let name = Value::SingleQuotedString(member.value.to_lowercase());
            AccessExpr::Subscript(Subscript::Index { index: Expr::value(name) })
        });
        let root = Box::new(Expr::Identifier(first.clone()));
        Some(Expr::CompoundFieldAccess { root, access_chain: access.collect() })
    }

    /// `requestparameters.bucketName` has one meaning, though the column is text.
    fn member_of_json(&mut self, parts: &[Ident]) -> Option<Expr> {
        let is_json = |part: &Ident| JSON_COLUMNS.contains(&part.value.to_lowercase().as_str());
        let at = parts.iter().take(2).position(is_json)?;
        let (column, members) = parts.split_at_checked(at + 1)?;
        if members.is_empty() {
            return None;
        }
        let column = match column {
            [one] => Expr::Identifier(one.clone()),
            path => Expr::CompoundIdentifier(path.to_vec()),
        };
        let mut found = column;
        for member in members {
            found = call_of("element_at", vec![found, text(&member.value)]);
        }
        let written = Expr::CompoundIdentifier(parts.to_vec());
        self.notes.insert(format!("read {written} as {found}"));
        Some(found)
    }

    /// `t.resource` of an UNNEST is `resource`.
    fn drop_unnested(&self, parts: &mut Vec<Ident>) {
        let name = |at: usize| parts.get(at).map(|part: &Ident| part.value.to_lowercase());
        let (Some(table), Some(column)) = (name(0), name(1)) else { return };
        if self.unnested.iter().any(|one| one.table == table && one.columns.contains(&column)) {
            parts.remove(0);
        }
    }
}

impl VisitorMut for Rewrite<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(cte.alias.name.value.to_lowercase());
        }
        limit_as_fetched(query);
        if counts_copies(&query.body) {
            let why =
                "EXCEPT ALL and INTERSECT ALL are not there: write them without ALL, or count";
            self.trouble = Some(why.to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.from.iter().flat_map(|tables| &tables.joins).any(loses_keys) {
            let why = "RIGHT and FULL JOIN take ON: write ON a.x = b.x and coalesce(a.x, b.x)";
            self.trouble = Some(why.to_owned());
        }
        name_members(select);
        self.written.push(select.projection.iter().map(unnamed).collect());
        if let Err(trouble) = flatten(select, &mut self.unnested) {
            self.trouble = Some(trouble);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        keep_names(select, self.written.pop().unwrap_or_default());
        part_names(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::Lambda(lambda) = expression {
            let names = lambda.params.iter().map(|one| one.name.value.to_lowercase());
            self.parameters.push(names.collect());
        }
        self.tries += usize::from(is_try(expression));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor {
            let written = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
            self.table(name);
            let ours = name.0.last().and_then(ObjectNamePart::as_ident);
            // Columns may be named after the table as it is written.
            if let (Some(written), Some(ours), None) = (written, ours, &alias)
                && !written.value.eq_ignore_ascii_case(&ours.value)
            {
                let (explicit, columns) = (true, Vec::new());
                *alias = Some(TableAlias { explicit, name: written, columns, at: None });
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        self.tries -= usize::from(is_try(expression));
        let instead = match expression {
            Expr::Identifier(name) => {
                fold_case(name);
                None
            }
            Expr::CompoundIdentifier(parts) => {
                self.drop_unnested(parts);
                parts.iter_mut().for_each(fold_case);
                match parts.as_slice() {
                    [one] => Some(Expr::Identifier(one.clone())),
                    parts => self.member_of_parameter(parts).or_else(|| self.member_of_json(parts)),
                }
            }
            Expr::Lambda(_) => {
                self.parameters.pop();
                None
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.at_zone(timestamp, time_zone),
            Expr::CompoundFieldAccess { root, access_chain } => {
                access_chain.iter_mut().for_each(member_by_name);
                member_of_column(root, access_chain)
            }
            Expr::Function(call) => self.called(call),
            Expr::Cast { .. } => self.cast(expression),
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } => {
                if is_console_mark(left) {
                    truth_as_text(right);
                } else if is_console_mark(right) {
                    truth_as_text(left);
                }
                self.operator(expression)
            }
            _ => self.operator(expression),
        };
        if let Some(instead) = instead {
            *expression = instead;
        }
        ControlFlow::Continue(())
    }
}

/// DataFusion counts each row once there.
fn counts_copies(body: &SetExpr) -> bool {
    match body {
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let of_all = *set_quantifier == SetQuantifier::All && *op != SetOperator::Union;
            of_all || counts_copies(left) || counts_copies(right)
        }
        _ => false,
    }
}

/// DataFusion takes the key of the left side, also where there is none.
fn loses_keys(join: &Join) -> bool {
    matches!(
        join.join_operator,
        JoinOperator::Right(JoinConstraint::Using(_) | JoinConstraint::Natural)
            | JoinOperator::RightOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
            | JoinOperator::FullOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
    )
}

fn is_try(expression: &Expr) -> bool {
    matches!(expression, Expr::Function(call) if is_named(&call.name, "try"))
}

/// `responseelements['item']` of a column of JSON.
fn member_of_column(root: &Expr, access: &[AccessExpr]) -> Option<Expr> {
    let last = match root {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    if !JSON_COLUMNS.contains(&last?.value.to_lowercase().as_str()) {
        return None;
    }
    access.iter().try_fold(root.clone(), |found, access| match access {
        AccessExpr::Subscript(Subscript::Index { index }) => {
            Some(call_of("element_at", vec![found, index.clone()]))
        }
        _ => None,
    })
}

/// `element_at(resources, 1).arn` is `element_at(resources, 1)['arn']`.
fn member_by_name(access: &mut AccessExpr) {
    if let AccessExpr::Dot(Expr::Identifier(name)) = access {
        let name = Value::SingleQuotedString(name.value.to_lowercase());
        *access = AccessExpr::Subscript(Subscript::Index { index: Expr::value(name) });
    }
}

fn is_information_schema(part: &ObjectNamePart) -> bool {
    part.as_ident().is_some_and(|name| name.value.eq_ignore_ascii_case("information_schema"))
}

fn is_named(name: &ObjectName, wanted: &str) -> bool {
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(name)]
        if name.value.eq_ignore_ascii_case(wanted))
}

/// `FETCH FIRST 10 ROWS ONLY` is `LIMIT 10`.
fn limit_as_fetched(query: &mut Query) {
    if query.fetch.as_ref().is_none_or(|fetch| fetch.with_ties || fetch.percent) {
        return;
    }
    let Some(fetch) = query.fetch.take() else { return };
    let rows = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
    let clause = query.limit_clause.take();
    query.limit_clause = Some(match clause {
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
            LimitClause::LimitOffset { limit: limit.or(Some(rows)), offset, limit_by }
        }
        Some(other) => other,
        None => LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() },
    });
}

/// `sessionCredentialFromConsole` is the text `true`; samples compare it with TRUE.
fn is_console_mark(expression: &Expr) -> bool {
    let last = match expression {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    last.is_some_and(|name| name.value.eq_ignore_ascii_case("sessioncredentialfromconsole"))
}

fn truth_as_text(expression: &mut Expr) {
    if let Expr::Value(ValueWithSpan { value: Value::Boolean(truth), .. }) = expression {
        let text = Value::SingleQuotedString(truth.to_string());
        *expression = Expr::Value(ValueWithSpan { value: text, span: Span::empty() });
    }
}
