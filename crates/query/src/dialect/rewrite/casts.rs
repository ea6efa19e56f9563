//! Casts: of JSON they are functions, and a text that is no number is NULL.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, CharacterLength, DataType, Expr, StructField, Value,
};

use super::calls::call_of;
use super::{Rewrite, is_named};

/// Functions whose answer is JSON, which a cast treats otherwise than text.
const GIVES_JSON: &[&str] =
    &["json_extract", "json_parse", "json_array_get", "json_query", "json_elements"];

impl Rewrite<'_> {
    /// Casts of JSON are functions; a number that is none is NULL.
    pub(super) fn cast(&mut self, expression: &mut Expr) -> Option<Expr> {
        let Expr::Cast { kind, expr, data_type, .. } = expression else { return None };
        let from_json = gives_json(expr);
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
                let made = call_of("varchar", inner());
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

fn gives_json(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => gives_json(inner),
        Expr::Function(call) => GIVES_JSON.iter().any(|name| is_named(&call.name, name)),
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
