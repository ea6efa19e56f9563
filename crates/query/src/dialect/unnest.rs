//! `FROM events CROSS JOIN UNNEST(resources) AS t(resource)`, and
//! `FROM events, LATERAL (SELECT upper(eventname) AS name) AS t`.
//!
//! DataFusion unnests in the SELECT list only. So the tables before the UNNEST
//! become a subquery that has one more column for each of its arrays:
//! `FROM (SELECT *, unnest(resources) AS resource FROM events) AS events`. An array
//! of rows, or a map, may be given as many names as it has fields. A LATERAL that only
//! computes columns becomes such a subquery too.

use datafusion::sql::sqlparser::ast::{
    ExceptSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select,
    SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, Value, ValueWithSpan,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::rewrite::call_of;

/// The names that an UNNEST gave: of its table, and of its columns.
#[derive(Clone, Debug)]
pub(super) struct Unnested {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

/// Rewrites each UNNEST, whether it looks at tables before it or not.
pub(super) fn flatten(select: &mut Select, given: &mut Vec<Unnested>) -> Result<(), String> {
    let tables = std::mem::take(&mut select.from);
    for table in tables {
        // `FROM events, UNNEST(…)` is a cross join too.
        match (select.from.last_mut(), &table.relation) {
            (Some(before), relation) if let Some(columns) = computed(relation) => {
                compute(before, relation, columns, given)?;
                for join in table.joins {
                    add(before, join, given)?;
                }
            }
            (Some(before), TableFactor::UNNEST { .. }) => {
                let TableWithJoins { relation, joins } = table;
                unnest(before, relation, false, given)?;
                for join in joins {
                    add(before, join, given)?;
                }
            }
            (None, TableFactor::UNNEST { .. }) => {
                let TableWithJoins { relation, joins } = table;
                let mut whole = TableWithJoins { relation: empty(), joins: Vec::new() };
                unnest(&mut whole, relation, false, given)?;
                for join in joins {
                    add(&mut whole, join, given)?;
                }
                select.from.push(whole);
            }
            _ => {
                let TableWithJoins { relation, joins } = table;
                let mut whole = TableWithJoins { relation, joins: Vec::new() };
                for join in joins {
                    add(&mut whole, join, given)?;
                }
                select.from.push(whole);
            }
        }
    }
    Ok(())
}

fn add(
    before: &mut TableWithJoins,
    join: datafusion::sql::sqlparser::ast::Join,
    given: &mut Vec<Unnested>,
) -> Result<(), String> {
    if let Some(columns) = computed(&join.relation)
        && matches!(&join.join_operator, JoinOperator::CrossJoin(_))
    {
        return compute(before, &join.relation, columns, given);
    }
    if !matches!(join.relation, TableFactor::UNNEST { .. }) {
        before.joins.push(join);
        return Ok(());
    }
    match join.join_operator {
        JoinOperator::CrossJoin(_)
        | JoinOperator::Join(JoinConstraint::None)
        | JoinOperator::Inner(JoinConstraint::None) => unnest(before, join.relation, false, given),
        JoinOperator::Left(JoinConstraint::On(on))
        | JoinOperator::LeftOuter(JoinConstraint::On(on))
            if is_true(&on) =>
        {
            unnest(before, join.relation, true, given)
        }
        _ => Err("UNNEST is joined by CROSS JOIN, or by LEFT JOIN … ON TRUE".to_owned()),
    }
}

fn is_true(condition: &Expr) -> bool {
    matches!(condition, Expr::Value(ValueWithSpan { value: Value::Boolean(true), .. }))
}

/// The columns of a LATERAL that has no table of its own.
fn computed(relation: &TableFactor) -> Option<Vec<(Expr, Ident)>> {
    let TableFactor::Derived { lateral: true, subquery, alias, .. } = relation else { return None };
    let SetExpr::Select(select) = subquery.body.as_ref() else { return None };
    let is_plain = select.from.is_empty()
        && select.selection.is_none()
        && select.having.is_none()
        && subquery.with.is_none()
        && subquery.limit_clause.is_none();
    if !is_plain {
        return None;
    }
    let renamed = alias.as_ref().map_or(&[][..], |alias| &alias.columns);
    let columns = select.projection.iter().enumerate().map(|(at, item)| {
        let name = renamed.get(at).map(|column| column.name.clone());
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                Some((expr.clone(), name.unwrap_or_else(|| alias.clone())))
            }
            SelectItem::UnnamedExpr(expr) => Some((expr.clone(), name?)),
            _ => None,
        }
    });
    columns.collect()
}

/// Puts the tables so far and what is computed of each row in the place of `before`.
fn compute(
    before: &mut TableWithJoins,
    relation: &TableFactor,
    columns: Vec<(Expr, Ident)>,
    given: &mut Vec<Unnested>,
) -> Result<(), String> {
    let outer = name_of(before);
    let names = columns.iter().map(|(_, name)| name.value.to_lowercase()).collect();
    if let TableFactor::Derived { alias: Some(alias), .. } = relation {
        given.push(Unnested { table: alias.name.value.to_lowercase(), columns: names });
    }
    let inner = std::mem::replace(before, TableWithJoins { relation: empty(), joins: Vec::new() });
    before.relation = derived(query(inner, columns, None)?, outer);
    Ok(())
}

/// Puts the tables so far and the new columns in the place of `before`; with
/// `keeps_rows` also of rows that have nothing to unnest.
fn unnest(
    before: &mut TableWithJoins,
    unnest: TableFactor,
    keeps_rows: bool,
    given: &mut Vec<Unnested>,
) -> Result<(), String> {
    let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = unnest else {
        return Ok(());
    };
    let (table, mut columns) = match alias {
        Some(alias) => {
            let columns: Vec<Ident> = alias.columns.into_iter().map(|column| column.name).collect();
            let name = alias.name;
            if columns.is_empty() { (name.clone(), vec![name]) } else { (name, columns) }
        }
        None => return Err("name the columns of UNNEST: UNNEST(…) AS t(name)".to_owned()),
    };
    let outer = name_of(before);
    let inner = std::mem::replace(before, TableWithJoins { relation: empty(), joins: Vec::new() });
    let holder = if keeps_rows { "unnest_items_or_null" } else { "unnest_items" };
    let items = |array: Expr| call_of("unnest", vec![call_of(holder, vec![array])]);
    let all_columns = columns.clone();
    let position = if with_ordinality {
        let name = columns.pop().ok_or("name the columns of UNNEST")?;
        let arrays = array_exprs.iter().cloned();
        let arrays = arrays.map(|array| call_of("unnest_items", vec![array])).collect();
        Some((items(call_of("unnest_positions", arrays)), name))
    } else {
        None
    };
    let subquery = match array_exprs.as_slice() {
        arrays if arrays.len() == columns.len() => {
            let new = arrays.iter().cloned().zip(&columns);
            let new = new.map(|(array, name)| (items(array), name.clone()));
            query(inner, new.chain(position).collect(), None)?
        }
        [array] => {
            let row = Ident::new(format!("{}_row", table.value.to_lowercase()));
            let new = [(items(array.clone()), row.clone())];
            let rows = query(inner, new.into_iter().chain(position).collect(), None)?;
            let rows = derived(rows, outer.clone());
            let field = |at: usize| {
                let at = Expr::value(Value::SingleQuotedString(at.to_string()));
                call_of("row_field", vec![Expr::Identifier(row.clone()), at])
            };
            let fields = columns.iter().enumerate().map(|(at, name)| (field(at), name.clone()));
            let rows = TableWithJoins { relation: rows, joins: Vec::new() };
            query(rows, fields.collect(), Some(row.clone()))?
        }
        _ => return Err("UNNEST of several arrays needs one name for each".to_owned()),
    };
    before.relation = derived(subquery, outer);
    given.push(Unnested {
        table: table.value.to_lowercase(),
        columns: all_columns.iter().map(|name| name.value.to_lowercase()).collect(),
    });
    Ok(())
}

/// What the tables so far are called, if they are one.
fn name_of(tables: &TableWithJoins) -> Option<Ident> {
    match &tables.relation {
        _ if !tables.joins.is_empty() => None,
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).cloned(),
        _ => None,
    }
}

fn derived(subquery: Query, name: Option<Ident>) -> TableFactor {
    let alias = name.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias, sample: None }
}

/// `SELECT *, columns FROM tables`, perhaps without a column of theirs; the columns alone
/// where there are no tables.
fn query(
    tables: TableWithJoins,
    columns: Vec<(Expr, Ident)>,
    without: Option<Ident>,
) -> Result<Query, String> {
    let mut parsed =
        Parser::parse_sql(&GenericDialect, "SELECT *").map_err(|error| error.to_string())?;
    let Some(Statement::Query(mut query)) = parsed.pop() else {
        return Err("a query was expected".to_owned());
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection.clear();
        if tables.relation != empty() {
            select.from = vec![tables];
            let opt_except = without.map(|first_element| ExceptSelectItem {
                first_element,
                additional_elements: Vec::new(),
            });
            let all = WildcardAdditionalOptions { opt_except, ..Default::default() };
            select.projection.push(SelectItem::Wildcard(all));
        }
        let items =
            columns.into_iter().map(|(expr, alias)| SelectItem::ExprWithAlias { expr, alias });
        select.projection.extend(items);
    }
    Ok(*query)
}

fn empty() -> TableFactor {
    TableFactor::Table {
        name: ObjectName(Vec::new()),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}
