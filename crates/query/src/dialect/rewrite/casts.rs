//! Casts: of JSON they are functions, and a text that is no number is NULL.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, CharacterLength, DataType, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, Select, SelectItem, Statement, StructField, TableFactor, Value, Visit,
    Visitor,
};

use super::calls::call_of;
use super::{Rewrite, is_named};

/// Functions whose answer is JSON, which a cast treats otherwise than text.
const GIVES_JSON: &[&str] =
    &["json_extract", "json_parse", "try_json_parse", "json_array_get", "json_query"];

impl Rewrite<'_> {
    /// Casts of JSON are functions; a number that is none is NULL.
    pub(super) fn cast(&mut self, expression: &mut Expr) -> Option<Expr> {
        let Expr::Cast { kind, expr, data_type, .. } = expression else { return None };
        let from_json = gives_json(expr, &self.json);
        let inner = || vec![expr.as_ref().clone()];
        match data_type {
            DataType::JSON => Some(expr.as_ref().clone()),
            DataType::Custom(name, _) if is_named(name, "ipaddress") => {
                Some(call_of("ip_address", inner()))
            }
            DataType::Varchar(_) | DataType::Text | DataType::String(_) if from_json => {
                Some(call_of("json_scalar", inner()))
            }
            DataType::Varchar(length) => {
                let is_address = matches!(expr.as_ref(), Expr::Function(call) if is_named(&call.name, "ip_address"));
                let made = call_of(if is_address { "ip_text" } else { "varchar" }, inner());
                Some(match length {
                    Some(CharacterLength::IntegerLength { length, .. }) => {
                        let number = |n: u64| Expr::value(Value::Number(n.to_string(), false));
                        call_of("substr", vec![made, number(1), number(*length)])
                    }
                    _ => made,
                })
            }
            DataType::Map(..) => Some(call_of("json_map", inner())),
            DataType::Array(ArrayElemTypeDef::AngleBracket(item)) => match item.as_ref() {
                DataType::JSON => Some(call_of("json_elements", inner())),
                DataType::Map(..) => Some(call_of("json_maps", inner())),
                DataType::Varchar(_) if from_json => Some(call_of("json_texts", inner())),
                DataType::Struct(fields, _) if from_json => self.rows("json_rows", expr, fields),
                _ if from_json => {
                    **expr = call_of("json_texts", inner());
                    None
                }
                _ => None,
            },
            DataType::Struct(fields, _) if from_json => self.rows("json_row", expr, fields),
            DataType::Struct(..) => {
                let how = "a ROW is made of JSON: write CAST(json_parse(…) AS ROW(…))";
                self.trouble = Some(how.to_owned());
                None
            }
            _ if from_json => {
                **expr = call_of("json_scalar", inner());
                *kind = CastKind::TryCast;
                None
            }
            DataType::TinyInt(_)
            | DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_) => {
                let is_literal = matches!(expr.as_ref(), Expr::Value(_));
                if !is_literal || self.tries > 0 {
                    *kind = CastKind::TryCast;
                }
                **expr = call_of("whole_number", inner());
                None
            }
            _ if self.tries > 0 => {
                *kind = CastKind::TryCast;
                None
            }
            DataType::Real
            | DataType::Float(_)
            | DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Decimal(_)
            | DataType::Boolean
                if !matches!(expr.as_ref(), Expr::Value(_)) =>
            {
                *kind = CastKind::TryCast;
                None
            }
            _ => None,
        }
    }

    /// Rows of JSON; their fields are said as lines of a type and a name.
    fn rows(&mut self, name: &str, json: &Expr, fields: &[StructField]) -> Option<Expr> {
        let mut spec = Vec::new();
        for field in fields {
            let (kind, name) = (kind_in_row(&field.field_type), &field.field_name);
            let (Some(kind), Some(name)) = (kind, name) else {
                let why = "a field of a ROW of JSON is VARCHAR, JSON, BIGINT, DOUBLE or BOOLEAN";
                self.trouble = Some(format!("{why}, not {field}"));
                return None;
            };
            spec.push(format!("{kind} {}", name.value.to_lowercase()));
        }
        let spec = Expr::value(Value::SingleQuotedString(spec.join("\n")));
        Some(call_of(name, vec![json.clone(), spec]))
    }
}

/// The names that a statement gives to JSON, which has no type here.
pub(in crate::dialect) fn json_names(statement: &Statement) -> BTreeSet<String> {
    let mut found = JsonNames::default();
    // A name may be given to what has one.
    for _ in 0..NAMINGS_MAX {
        let before = found.0.len();
        let _walked = statement.visit(&mut found);
        if found.0.len() == before {
            break;
        }
    }
    found.0
}

/// How often JSON may get another name.
const NAMINGS_MAX: usize = 8;

#[derive(Default)]
struct JsonNames(BTreeSet<String>);

impl Visitor for JsonNames {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && gives_json(expr, &self.0)
            {
                self.0.insert(alias.value.to_lowercase());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::UNNEST { alias: Some(alias), array_exprs, .. } = factor {
            for (at, array) in array_exprs.iter().enumerate() {
                let column = alias.columns.get(at).map(|column| &column.name);
                let name = column.unwrap_or(&alias.name);
                if is_json_array(array) {
                    self.0.insert(name.value.to_lowercase());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn is_json_array(expression: &Expr) -> bool {
    match expression {
        Expr::Cast { data_type: DataType::Array(ArrayElemTypeDef::AngleBracket(item)), .. } => {
            matches!(item.as_ref(), DataType::JSON)
        }
        Expr::Function(call) => is_named(&call.name, "json_elements"),
        _ => false,
    }
}

/// Whether a value is JSON: made by a function that gives it, or one of the `names`.
fn gives_json(expression: &Expr, names: &BTreeSet<String>) -> bool {
    let gives = |expression: &Expr| gives_json(expression, names);
    match expression {
        Expr::Nested(inner) => gives(inner),
        Expr::Identifier(name) => names.contains(&name.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [_, name] => names.contains(&name.value.to_lowercase()),
            _ => false,
        },
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().any(|one| gives(&one.result))
                || else_result.as_ref().is_some_and(|result| gives(result))
        }
        Expr::Function(call) => {
            let is = |name: &&str| is_named(&call.name, name);
            let arguments = match &call.args {
                FunctionArguments::List(list) => list.args.as_slice(),
                _ => &[],
            };
            let mut values = arguments.iter().filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
                _ => None,
            });
            if GIVES_JSON.iter().any(is) {
                return true;
            }
            if ["coalesce", "nullif", "if", "try"].iter().any(is) {
                return values.any(gives);
            }
            let first = values.next();
            if is(&"element_at") {
                return first.is_some_and(is_json_array);
            }
            let picks = ["arbitrary", "any_value", "max_by", "min_by", "first_value", "last_value"];
            picks.iter().any(is) && first.is_some_and(gives)
        }
        _ => false,
    }
}

fn kind_in_row(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Varchar(_) | DataType::Char(_) | DataType::Text | DataType::String(_) => {
            Some("varchar")
        }
        DataType::JSON => Some("json"),
        DataType::TinyInt(_)
        | DataType::SmallInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_) => Some("bigint"),
        DataType::Real
        | DataType::Float(_)
        | DataType::Double(_)
        | DataType::DoublePrecision
        | DataType::Decimal(_) => Some("double"),
        DataType::Boolean => Some("boolean"),
        _ => None,
    }
}
