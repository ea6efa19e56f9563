//! Operators, and calls that are written like one: where the same words mean something
//! else in Trino.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DataType, DateTimeField, Expr, Ident, ObjectName, Query,
    SetExpr, Statement, TableFactor, TypedString, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::calls::{call_of, of_zone, text};
use super::{Rewrite, is_named};
use crate::functions::like_pattern;

impl Rewrite<'_> {
    pub(super) fn operator(&mut self, expression: &mut Expr) -> Option<Expr> {
        match expression {
            Expr::Like { pattern, escape_char, .. } => {
                let escape = escape_char.take();
                self.escaped(pattern, escape);
                None
            }
            Expr::AnyOp { left, compare_op, right, .. } => {
                let subquery = subquery(right)?;
                if *compare_op == BinaryOperator::Eq {
                    return Some(is_in(left, subquery, false));
                }
                **right = Expr::Subquery(named_apart(subquery)?);
                None
            }
            Expr::AllOp { left, compare_op, right } => {
                let subquery = subquery(right)?;
                if *compare_op == BinaryOperator::NotEq {
                    return Some(is_in(left, subquery, true));
                }
                **right = Expr::Subquery(named_apart(subquery)?);
                None
            }
            Expr::Extract { field, expr, .. } => {
                Some(call_of(part(field)?, vec![expr.as_ref().clone()]))
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let first = Expr::value(Value::Number("1".to_owned(), false));
                let from = substring_from.as_ref().map_or(first, |from| from.as_ref().clone());
                let mut arguments = vec![expr.as_ref().clone(), from];
                arguments.extend(substring_for.as_ref().map(|length| length.as_ref().clone()));
                Some(call_of("substr", arguments))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_interval(left) => {
                Some(call_of("interval_times", vec![left.as_ref().clone(), right.as_ref().clone()]))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_interval(right) => {
                Some(call_of("interval_times", vec![right.as_ref().clone(), left.as_ref().clone()]))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Divide, right } if is_interval(left) => {
                let one = Box::new(Expr::value(Value::Number("1.0".to_owned(), false)));
                let (op, right) = (BinaryOperator::Divide, Box::new(Expr::Nested(right.clone())));
                let share = Expr::BinaryOp { left: one, op, right };
                Some(call_of("interval_times", vec![left.as_ref().clone(), share]))
            }
            Expr::Floor {
                expr,
                field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
            } => Some(call_of("floor", vec![expr.as_ref().clone()])),
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                Some(call_of("ceil", vec![expr.as_ref().clone()]))
            }
            Expr::TypedString(TypedString {
                data_type: DataType::Timestamp(..), value, ..
            }) => {
                if let Value::SingleQuotedString(text) = &mut value.value
                    && is_to_the_minute(text)
                {
                    text.push_str(":00");
                }
                None
            }
            _ => self.comparison(expression),
        }
    }

    fn comparison(&mut self, expression: &mut Expr) -> Option<Expr> {
        match expression {
            Expr::BinaryOp { left, op: BinaryOperator::PGRegexNotIMatch, right } => {
                Some(Expr::IsDistinctFrom(left.clone(), right.clone()))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Spaceship, right } => {
                Some(Expr::IsNotDistinctFrom(left.clone(), right.clone()))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } => {
                self.json_as_text(left, right);
                self.json_as_text(right, left);
                times_alike(left, right);
                None
            }
            Expr::InList { expr, list, .. } => {
                if let Some(first) = list.first() {
                    self.json_as_text(expr, first);
                }
                None
            }
            Expr::BinaryOp {
                left,
                op:
                    BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq,
                right,
            } => {
                times_alike(left, right);
                None
            }
            Expr::Between { expr, low, high, .. } => {
                times_alike(expr, low);
                times_alike(expr, high);
                None
            }
            Expr::BinaryOp {
                op: BinaryOperator::Divide | BinaryOperator::Modulo, right, ..
            } if self.tries > 0 => {
                let nothing = Expr::value(Value::Number("0".to_owned(), false));
                **right = call_of("nullif", vec![right.as_ref().clone(), nothing]);
                None
            }
            _ => None,
        }
    }

    /// JSON is no text, so comparing the two can only mean the text in it.
    fn json_as_text(&mut self, json: &mut Expr, text: &Expr) {
        let Expr::Function(call) = json else { return };
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = text else {
            return;
        };
        let is_json = text.starts_with(['"', '{', '[']);
        if is_json || !is_named(&call.name, "json_extract") {
            return;
        }
        self.notes.insert(format!(
            "read json_extract as json_extract_scalar where it is compared with '{text}'"
        ));
        call.name = ObjectName::from(vec![Ident::new("json_extract_scalar")]);
    }

    /// In Trino nothing escapes in a pattern unless ESCAPE says what; here a backslash does.
    fn escaped(&mut self, pattern: &mut Expr, escape: Option<ValueWithSpan>) {
        let escape = match escape.map(|escape| escape.value) {
            None => None,
            Some(Value::SingleQuotedString(text)) if text.chars().count() == 1 => {
                text.chars().next()
            }
            Some(_) => {
                self.trouble = Some("ESCAPE takes one character".to_owned());
                return;
            }
        };
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(written), .. }) = pattern
        else {
            let escape = text(&escape.map(String::from).unwrap_or_default());
            *pattern = call_of("like_pattern", vec![pattern.clone(), escape]);
            return;
        };
        match like_pattern(written, escape) {
            Some(said) => *written = said,
            None => {
                let what = format!("{written:?}: what is escaped is %, _ or what escapes");
                self.trouble = Some(what);
            }
        }
    }
}

/// The subquery that a comparison is with; none if it is with an array.
fn subquery(right: &Expr) -> Option<&Query> {
    match right {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => subquery(inner),
        _ => None,
    }
}

fn is_in(left: &Expr, subquery: &Query, negated: bool) -> Expr {
    let (expr, subquery) = (Box::new(left.clone()), Box::new(subquery.clone()));
    Expr::InSubquery { expr, subquery, negated }
}

/// The same rows under a name that is nobody else's: DataFusion takes a name of the
/// subquery for one of the tables around it, where both have it.
fn named_apart(inner: &Query) -> Option<Box<Query>> {
    let around = "SELECT compared.compared_value FROM (SELECT 1) AS compared(compared_value)";
    let Some(Statement::Query(mut query)) = Parser::parse_sql(&GenericDialect, around).ok()?.pop()
    else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation else {
        return None;
    };
    **subquery = inner.clone();
    Some(query)
}

/// A time without a zone is one of UTC, also beside a time of another zone.
fn times_alike(left: &mut Expr, right: &mut Expr) {
    let (of_left, of_right) = (is_of_zone(left), is_of_zone(right));
    if of_left && !of_right {
        *right = of_zone(right.clone(), Some("UTC"));
    } else if of_right && !of_left {
        *left = of_zone(left.clone(), Some("UTC"));
    }
}

/// Whether AT TIME ZONE made it.
fn is_of_zone(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_of_zone(inner),
        Expr::Function(call) if is_named(&call.name, "arrow_cast") => {
            call.args.to_string().contains("Timestamp(Microsecond, Some(")
        }
        _ => false,
    }
}

/// `2026-11-20 10:00`.
fn is_to_the_minute(text: &str) -> bool {
    let fits = |(letter, form): (u8, u8)| {
        if form == b'0' { letter.is_ascii_digit() } else { letter == form }
    };
    text.len() == 16 && text.bytes().zip(*b"0000-00-00 00:00").all(fits)
}

fn is_interval(expression: &Expr) -> bool {
    match expression {
        Expr::Interval(_) => true,
        Expr::Nested(inner) => is_interval(inner),
        _ => false,
    }
}

/// The function that gives a part of a time.
fn part(field: &DateTimeField) -> Option<&'static str> {
    Some(match field {
        DateTimeField::Year => "year",
        DateTimeField::Quarter => "quarter",
        DateTimeField::Month => "month",
        DateTimeField::Week(_) => "week",
        DateTimeField::Day => "day",
        DateTimeField::Dow | DateTimeField::DayOfWeek => "day_of_week",
        DateTimeField::Doy | DateTimeField::DayOfYear => "day_of_year",
        DateTimeField::Hour => "hour",
        DateTimeField::Minute => "minute",
        DateTimeField::Second => "second",
        DateTimeField::Custom(Ident { value, .. }) => match value.to_lowercase().as_str() {
            "day_of_month" => "day",
            "day_of_week" => "day_of_week",
            "day_of_year" => "day_of_year",
            "year_of_week" | "yow" => "year_of_week",
            _ => return None,
        },
        _ => return None,
    })
}
