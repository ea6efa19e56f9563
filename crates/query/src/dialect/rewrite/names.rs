//! Names of columns: in the question, whatever their case, and in the answer.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use arrow::datatypes::{DataType as ArrowType, Fields};
use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Ident, Select, SelectItem};
use table::schema::fresh_schema;

/// `SELECT useridentity.arn` gives a column `arn`; where two would have one name,
/// the whole path is the name.
pub(super) fn name_members(select: &mut Select) {
    let path = |item: &SelectItem| -> Option<Vec<String>> {
        match item {
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) if parts.len() > 1 => {
                Some(parts.iter().map(|part| part.value.to_lowercase()).collect())
            }
            SelectItem::UnnamedExpr(Expr::CompoundFieldAccess { access_chain, .. }) => {
                match access_chain.last() {
                    Some(AccessExpr::Dot(Expr::Identifier(name))) => {
                        Some(vec![name.value.to_lowercase()])
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    };
    let mut taken: Vec<String> = Vec::new();
    for item in &select.projection {
        taken.extend(match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.to_lowercase()),
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
            item => path(item).and_then(|mut path| path.pop()),
        });
    }
    for item in &mut select.projection {
        let Some(path) = path(item) else { continue };
        let Some(last) = path.last() else { continue };
        let alone = taken.iter().filter(|name| *name == last).count() == 1;
        let name = if alone { last.clone() } else { path.join(".") };
        if let SelectItem::UnnamedExpr(expr) = item {
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// How a column without a name is written.
pub(super) fn unnamed(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expr.to_string()),
        _ => None,
    }
}

/// A column without a name is called as it was written.
pub(super) fn keep_names(select: &mut Select, written: Vec<Option<String>>) {
    if written.len() != select.projection.len() {
        return;
    }
    for (item, written) in select.projection.iter_mut().zip(written) {
        let (SelectItem::UnnamedExpr(expr), Some(written)) = (&mut *item, written) else {
            continue;
        };
        if !matches!(expr, Expr::Identifier(_)) {
            let alias = Ident::with_quote('"', written);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Columns of one name get different ones: DataFusion knows them by their names.
pub(super) fn part_names(select: &mut Select) {
    let mut taken = BTreeSet::new();
    let is_all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
    // Then a column that is named beside it is there twice.
    let has_all = select.projection.iter().any(is_all);
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (name, expr) = match item {
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) if has_all => {
                let last = parts.last().map_or(String::new(), |last| last.value.clone());
                (last, Expr::CompoundIdentifier(parts.clone()))
            }
            SelectItem::UnnamedExpr(expr) => (expr.to_string(), expr.clone()),
            SelectItem::ExprWithAlias { expr, alias } => (alias.value.clone(), expr.clone()),
            _ => continue,
        };
        let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let is_twice = has_all && is_column && matches!(item, SelectItem::UnnamedExpr(_));
        if taken.insert(name.clone()) && !is_twice {
            continue;
        }
        // As Trino calls a column without a name.
        let name = if is_column { format!("{name}_{at}") } else { format!("_col{at}") };
        taken.insert(name.clone());
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    }
}

/// Our columns and their members.
static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut known = BTreeSet::new();
    add_names(fresh_schema().fields(), &mut known);
    known
});

/// Trino knows no difference of case, not even between quotes; our columns and
/// their members are lower case.
pub(super) fn fold_case(name: &mut Ident) {
    if name.quote_style.is_some() && name.value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let lower = name.value.to_lowercase();
        if KNOWN.contains(&lower) {
            name.value = lower;
        }
    }
}

fn add_names(fields: &Fields, known: &mut BTreeSet<String>) {
    for field in fields {
        known.insert(field.name().clone());
        match field.data_type() {
            ArrowType::Struct(members) => add_names(members, known),
            ArrowType::List(item) => {
                if let ArrowType::Struct(members) = item.data_type() {
                    add_names(members, known);
                }
            }
            _ => {}
        }
    }
}
