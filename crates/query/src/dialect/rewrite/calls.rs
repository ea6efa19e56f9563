//! Calls: functions that DataFusion has under another name, or says otherwise.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DuplicateTreatment, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions, UnaryOperator, Value, ValueWithSpan,
};

use super::Rewrite;
use crate::functions::time_zone;

/// Functions that DataFusion has under another name.
const RENAMED: &[(&str, &str)] = &[
    ("transform", "array_transform"),
    ("filter", "array_filter"),
    ("any_match", "array_any_match"),
    ("arbitrary", "first_value"),
    ("any_value", "first_value"),
    ("sequence", "generate_series"),
    ("levenshtein_distance", "levenshtein"),
    ("codepoint", "ascii"),
    ("every", "bool_and"),
    ("variance", "var_samp"),
    ("truncate", "trunc"),
    ("sign", "signum"),
    ("is_nan", "isnan"),
    ("rand", "random"),
    ("localtimestamp", "now"),
    ("map_from_entries", "map_of_pairs"),
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
        match (name.as_str(), arguments.as_slice()) {
            ("if", [condition, then, rest @ ..]) if rest.len() < 2 => {
                Some(case(condition.clone(), then.clone(), rest.first().cloned()))
            }
            ("try", [Expr::Cast { expr, data_type, array, format, .. }]) => Some(Expr::Cast {
                kind: CastKind::TryCast,
                expr: expr.clone(),
                data_type: data_type.clone(),
                array: *array,
                format: format.clone(),
            }),
            ("try", [inner]) => Some(inner.clone()),
            ("replace", [text, from]) => {
                let nothing = Expr::value(Value::SingleQuotedString(String::new()));
                Some(Expr::Function(function("replace", vec![text.clone(), from.clone(), nothing])))
            }
            ("count_if", [condition]) => {
                let mut count =
                    function("count", vec![Expr::value(Value::Number("1".to_owned(), false))]);
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
        let zone = match zone {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(name), .. }) => {
                time_zone(name).map(|_| name)
            }
            _ => None,
        };
        let Some(zone) = zone else {
            let why = "AT TIME ZONE takes the name of a zone, such as 'Europe/Berlin' or '+01:00'";
            self.trouble = Some(why.to_owned());
            return None;
        };
        let cast = |time: Expr, zone: &str| {
            let to = format!("Timestamp(Microsecond, Some(\"{zone}\"))");
            call_of("arrow_cast", vec![time, Expr::value(Value::SingleQuotedString(to))])
        };
        Some(cast(cast(time.clone(), "UTC"), zone))
    }
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

fn not(expression: Expr) -> Expr {
    let inner = Box::new(Expr::Nested(Box::new(expression)));
    Expr::UnaryOp { op: UnaryOperator::Not, expr: inner }
}

/// A key and a value as a row.
fn pair(key: &Expr, value: &Expr) -> Expr {
    let name = |name: &str| Expr::value(Value::SingleQuotedString(name.to_owned()));
    call_of("named_struct", vec![name("key"), key.clone(), name("value"), value.clone()])
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
            let nothing = Expr::value(Value::SingleQuotedString(String::new()));
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(nothing)));
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
