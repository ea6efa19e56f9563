//! Calls: functions that DataFusion has under another name, or says otherwise.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    NullTreatment, ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions, UnaryOperator, Value,
    ValueWithSpan,
};

use super::Rewrite;
use crate::functions::{TRIED, time_zone};

/// Functions that DataFusion has under another name.
const RENAMED: &[(&str, &str)] = &[
    ("transform", "array_transform"),
    ("filter", "array_filter"),
    ("any_match", "array_any_match"),
    ("sequence", "generate_series"),
    ("levenshtein_distance", "levenshtein"),
    ("codepoint", "ascii"),
    ("every", "bool_and"),
    ("variance", "var_samp"),
    ("truncate", "trunc"),
    ("is_nan", "isnan"),
    ("rand", "random"),
    ("localtimestamp", "now"),
    ("map_from_entries", "map_of_pairs"),
    ("array_remove", "array_remove_all"),
    ("ceiling", "ceil"),
    ("signum", "sign"),
];

impl Rewrite<'_> {
    pub(super) fn called(&mut self, call: &mut Function) -> Option<Expr> {
        let name = match call.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => name.value.to_lowercase(),
            _ => return None,
        };
        let arguments = match &call.args {
            FunctionArguments::List(list) => list.args.iter().filter_map(argument).collect(),
            _ => Vec::new(),
        };
        if self.tries > 0
            && let Some((_, tried)) = TRIED.iter().find(|(known, _)| *known == name)
        {
            rename(call, tried);
            return None;
        }
        match (name.as_str(), arguments.as_slice()) {
            ("if", [condition, then, rest @ ..]) if rest.len() < 2 => {
                Some(case(condition.clone(), then.clone(), rest.first().cloned()))
            }
            ("try", [inner]) => Some(inner.clone()),
            ("concat", [first, rest @ ..]) if !rest.is_empty() => {
                let nested = |one: &Expr| Box::new(Expr::Nested(Box::new(one.clone())));
                Some(rest.iter().fold(first.clone(), |left, right| Expr::BinaryOp {
                    left: nested(&left),
                    op: BinaryOperator::StringConcat,
                    right: nested(right),
                }))
            }
            ("greatest" | "least", [_, ..]) => {
                Some(unless_null(&arguments, Expr::Function(call.clone())))
            }
            ("arbitrary" | "any_value", [_]) => {
                rename(call, "first_value");
                call.null_treatment = Some(NullTreatment::IgnoreNulls);
                None
            }
            ("array_sort", [array]) => {
                Some(call_of("array_sort", vec![array.clone(), text("ASC"), text("NULLS LAST")]))
            }
            ("max" | "min", [value, count]) => {
                let order = if name == "max" { "DESC" } else { "ASC" };
                let all = all_of(value.clone(), call);
                let sorted = call_of("array_sort", vec![all, text(order), text("NULLS LAST")]);
                let known = call_of("array_remove_nulls", vec![sorted]);
                Some(call_of("slice", vec![known, number("1"), count.clone()]))
            }
            ("bitwise_and", [left, right]) => bitwise(left, BinaryOperator::BitwiseAnd, right),
            ("bitwise_or", [left, right]) => bitwise(left, BinaryOperator::BitwiseOr, right),
            ("bitwise_xor", [left, right]) => bitwise(left, BinaryOperator::BitwiseXor, right),
            ("bitwise_left_shift", [left, right]) => {
                bitwise(left, BinaryOperator::PGBitwiseShiftLeft, right)
            }
            ("bitwise_right_shift_arithmetic", [left, right]) => {
                bitwise(left, BinaryOperator::PGBitwiseShiftRight, right)
            }
            ("bitwise_not", [value]) => bitwise(&number("-1"), BinaryOperator::Minus, value),
            ("current_timezone", []) => Some(text("UTC")),
            ("with_timezone", [time, zone]) => self.local_time(time, zone),
            ("replace", [subject, from]) => {
                Some(call_of("replace", vec![subject.clone(), from.clone(), text("")]))
            }
            ("count_if", [condition]) => {
                let mut count = function("count", vec![number("1")]);
                count.filter = Some(Box::new(condition.clone()));
                count.over = call.over.clone();
                Some(Expr::Function(count))
            }
            ("set_agg", [_]) => {
                rename(call, "array_agg");
                if let FunctionArguments::List(list) = &mut call.args {
                    list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
                }
                None
            }
            ("array_position", [_, _]) => {
                let place = vec![bigint(Expr::Function(call.clone())), number("0")];
                Some(unless_null(&arguments, call_of("coalesce", place)))
            }
            // Of unsigned numbers a difference may be huge.
            (
                "cardinality" | "row_number" | "rank" | "dense_rank" | "ntile" | "approx_distinct",
                _,
            ) => Some(bigint(Expr::Function(call.clone()))),
            ("geometric_mean", [value]) => {
                let mut mean = function("avg", vec![call_of("ln", vec![value.clone()])]);
                mean.filter = call.filter.take();
                mean.over = call.over.take();
                Some(call_of("exp", vec![Expr::Function(mean)]))
            }
            ("mod", [left, right]) => Some(Expr::BinaryOp {
                left: Box::new(left.clone()),
                op: BinaryOperator::Modulo,
                right: Box::new(right.clone()),
            }),
            ("at_timezone", [time, zone]) => self.at_zone(time, zone),
            ("all_match", [array, Expr::Lambda(lambda)]) => {
                let mut unmatched = lambda.clone();
                unmatched.body = Box::new(not(*unmatched.body));
                let any = call_of("array_any_match", vec![array.clone(), Expr::Lambda(unmatched)]);
                Some(not(any))
            }
            ("none_match", [array, lambda @ Expr::Lambda(_)]) => {
                Some(not(call_of("array_any_match", vec![array.clone(), lambda.clone()])))
            }
            ("histogram", [value]) => Some(call_of("counts_of", vec![all_of(value.clone(), call)])),
            ("map_agg", [key, value]) => {
                Some(call_of("map_of_pairs", vec![all_of(pair(key, value), call)]))
            }
            ("multimap_agg", [key, value]) => {
                Some(call_of("multimap_of_pairs", vec![all_of(pair(key, value), call)]))
            }
            ("listagg", _) => {
                joined(call);
                None
            }
            ("max_by", [value, by]) => Some(picked("last_value", value, by, call)),
            ("min_by", [value, by]) => Some(picked("first_value", value, by, call)),
            ("approx_percentile", [value, Expr::Array(shares)]) => {
                let each = shares.elem.iter().map(|share| {
                    let mut one = function("approx_percentile_cont", vec![share.clone()]);
                    one.within_group = vec![ordered(value.clone())];
                    one.filter.clone_from(&call.filter);
                    Expr::Function(one)
                });
                Some(call_of("make_array", each.collect()))
            }
            ("approx_percentile", [value, share]) => {
                let mut percentile = function("approx_percentile_cont", vec![share.clone()]);
                percentile.within_group = vec![ordered(value.clone())];
                percentile.filter = call.filter.take();
                Some(Expr::Function(percentile))
            }
            _ => {
                let renamed = RENAMED.iter().find(|(theirs, _)| *theirs == name);
                if let Some((_, ours)) = renamed {
                    rename(call, ours);
                }
                None
            }
        }
    }

    /// A time of a zone, whose parts and text are those of that zone. What has none is UTC.
    pub(super) fn at_zone(&mut self, time: &Expr, zone: &Expr) -> Option<Expr> {
        let zone = self.zone(zone)?;
        Some(of_zone(of_zone(time.clone(), Some("UTC")), Some(&zone)))
    }

    /// The time at which clocks of a zone show what a time says.
    fn local_time(&mut self, time: &Expr, zone: &Expr) -> Option<Expr> {
        let zone = self.zone(zone)?;
        Some(of_zone(of_zone(time.clone(), None), Some(&zone)))
    }

    fn zone(&mut self, zone: &Expr) -> Option<String> {
        if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(name), .. }) = zone
            && time_zone(name).is_some()
        {
            return Some(name.clone());
        }
        let why = "AT TIME ZONE takes the name of a zone, such as 'Europe/Berlin' or '+01:00'";
        self.trouble = Some(why.to_owned());
        None
    }
}

pub(super) fn of_zone(time: Expr, zone: Option<&str>) -> Expr {
    let zone = zone.map_or("None".to_owned(), |zone| format!("Some(\"{zone}\")"));
    call_of("arrow_cast", vec![time, text(&format!("Timestamp(Microsecond, {zone})"))])
}

/// A text.
pub(in crate::dialect) fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.to_owned(), false))
}

fn bigint(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

fn bitwise(left: &Expr, op: BinaryOperator, right: &Expr) -> Option<Expr> {
    let nested = |one: &Expr| Box::new(Expr::Nested(Box::new(one.clone())));
    Some(Expr::BinaryOp { left: nested(left), op, right: nested(right) })
}

/// A call of a function.
pub(in crate::dialect) fn call_of(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(function(name, arguments))
}

fn function(name: &str, arguments: Vec<Expr>) -> Function {
    let args = arguments.into_iter().map(|one| FunctionArg::Unnamed(FunctionArgExpr::Expr(one)));
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

fn argument(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression.clone()),
        _ => None,
    }
}

fn case(condition: Expr, then: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty(
        ),
        end_token: datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: then }],
        else_result: otherwise.map(Box::new),
    }
}

/// NULL if an argument is, and otherwise a value.
fn unless_null(arguments: &[Expr], value: Expr) -> Expr {
    let missing = arguments.iter().map(|one| Expr::IsNull(Box::new(one.clone())));
    let any = missing.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    });
    match any {
        Some(any) => case(any, Expr::value(Value::Null), Some(value)),
        None => value,
    }
}

fn not(expression: Expr) -> Expr {
    let inner = Box::new(Expr::Nested(Box::new(expression)));
    Expr::UnaryOp { op: UnaryOperator::Not, expr: inner }
}

/// A key and a value as a row.
fn pair(key: &Expr, value: &Expr) -> Expr {
    call_of("named_struct", vec![text("key"), key.clone(), text("value"), value.clone()])
}

/// All values of a group, of the rows that an aggregate is of.
fn all_of(value: Expr, aggregate: &Function) -> Expr {
    let mut all = function("array_agg", vec![value]);
    all.filter = aggregate.filter.clone();
    all.over = aggregate.over.clone();
    Expr::Function(all)
}

/// `listagg(text, ',') WITHIN GROUP (ORDER BY time)` as DataFusion says it.
fn joined(call: &mut Function) {
    rename(call, "string_agg");
    let order = std::mem::take(&mut call.within_group);
    if let FunctionArguments::List(list) = &mut call.args {
        if list.args.len() == 1 {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(text(""))));
        }
        list.clauses.retain(|clause| !matches!(clause, FunctionArgumentClause::OnOverflow(_)));
        if !order.is_empty() {
            list.clauses.push(FunctionArgumentClause::OrderBy(order));
        }
    }
}

/// The value of the row that is first or last by another value.
fn picked(name: &str, value: &Expr, by: &Expr, old: &Function) -> Expr {
    let mut made = function(name, vec![value.clone()]);
    if let FunctionArguments::List(list) = &mut made.args {
        list.clauses.push(FunctionArgumentClause::OrderBy(vec![ordered(by.clone())]));
    }
    let known = Expr::IsNotNull(Box::new(by.clone()));
    made.filter = Some(Box::new(match &old.filter {
        Some(filter) => {
            Expr::BinaryOp { left: filter.clone(), op: BinaryOperator::And, right: Box::new(known) }
        }
        None => known,
    }));
    Expr::Function(made)
}

fn ordered(expr: Expr) -> OrderByExpr {
    let options = OrderByOptions { asc: None, nulls_first: Some(false) };
    OrderByExpr { expr, options, with_fill: None }
}

fn rename(call: &mut Function, name: &str) {
    call.name = ObjectName::from(vec![Ident::new(name)]);
}
