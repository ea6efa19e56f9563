//! What is said differently: one walk over the parsed statement.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use arrow::datatypes::{DataType as ArrowType, Fields};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, BinaryOperator, CaseWhen, CastKind, DataType, DuplicateTreatment,
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, LimitClause, ObjectName, ObjectNamePart, OrderByExpr, OrderByOptions,
    Query, Select, SelectItem, Statement, StructField, Subscript, TableAlias, TableFactor,
    UnaryOperator, Value, ValueWithSpan, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use table::schema::fresh_schema;

use super::tokens::is_uuid;
use super::unnest::{Unnested, flatten};
use crate::functions::time_zone;
use crate::views::{LAKE, LOGS, TABLES};

/// Functions whose answer is JSON, which a cast treats otherwise than text.
const GIVES_JSON: &[&str] =
    &["json_extract", "json_parse", "json_array_get", "json_query", "json_elements"];

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
    trouble: Option<String>,
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(names: &'a [(String, String)]) -> Self {
        Self {
            names,
            tables: BTreeSet::new(),
            ctes: BTreeSet::new(),
            unnested: Vec::new(),
            written: Vec::new(),
            parameters: Vec::new(),
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

    pub(super) fn finish(self) -> (BTreeSet<String>, Option<String>) {
        (self.tables, self.trouble)
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

    fn called(&mut self, call: &mut Function) -> Option<Expr> {
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
                let mut count = function("count", vec![Expr::value(number("1"))]);
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

    /// Casts of JSON are functions; a number that is none is NULL.
    fn cast(&mut self, expression: &mut Expr) -> Option<Expr> {
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
            _ if from_json => {
                **expr = call_of("json_scalar", inner());
                *kind = CastKind::TryCast;
                None
            }
            DataType::TinyInt(_)
            | DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Real
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

    /// A time of a zone, whose parts and text are those of that zone. What has none is UTC.
    fn at_zone(&mut self, time: &Expr, zone: &Expr) -> Option<Expr> {
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
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
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
                    parts => self.member_of_parameter(parts),
                }
            }
            Expr::Lambda(_) => {
                self.parameters.pop();
                None
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.at_zone(timestamp, time_zone),
            Expr::CompoundFieldAccess { access_chain, .. } => {
                access_chain.iter_mut().for_each(member_by_name);
                None
            }
            Expr::Function(call) => self.called(call),
            Expr::Cast { .. } => self.cast(expression),
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } => {
                if is_console_mark(left) {
                    truth_as_text(right);
                } else if is_console_mark(right) {
                    truth_as_text(left);
                }
                None
            }
            _ => None,
        };
        if let Some(instead) = instead {
            *expression = instead;
        }
        ControlFlow::Continue(())
    }
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

fn argument(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression.clone()),
        _ => None,
    }
}

fn gives_json(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => gives_json(inner),
        Expr::Function(call) => GIVES_JSON.iter().any(|name| is_named(&call.name, name)),
        _ => false,
    }
}

fn number(text: &str) -> Value {
    Value::Number(text.to_owned(), false)
}

/// A call of a function.
pub(super) fn call_of(name: &str, arguments: Vec<Expr>) -> Expr {
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

/// `FETCH FIRST 10 ROWS ONLY` is `LIMIT 10`.
fn limit_as_fetched(query: &mut Query) {
    if query.fetch.as_ref().is_none_or(|fetch| fetch.with_ties || fetch.percent) {
        return;
    }
    let Some(fetch) = query.fetch.take() else { return };
    let rows = fetch.quantity.unwrap_or_else(|| Expr::value(number("1")));
    let clause = query.limit_clause.take();
    query.limit_clause = Some(match clause {
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
            LimitClause::LimitOffset { limit: limit.or(Some(rows)), offset, limit_by }
        }
        Some(other) => other,
        None => LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() },
    });
}

/// How a column without a name is written.
fn unnamed(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expr.to_string()),
        _ => None,
    }
}

/// A column that is said differently now is called as it was written.
fn keep_names(select: &mut Select, written: Vec<Option<String>>) {
    if written.len() != select.projection.len() {
        return;
    }
    for (item, written) in select.projection.iter_mut().zip(written) {
        let (SelectItem::UnnamedExpr(expr), Some(written)) = (&mut *item, written) else {
            continue;
        };
        if !matches!(expr, Expr::Identifier(_)) && expr.to_string() != written {
            let alias = Ident::with_quote('"', written);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// Columns of one name get different ones: DataFusion knows them by their names.
fn part_names(select: &mut Select) {
    let mut taken = BTreeSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (name, expr) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.to_string(), expr.clone()),
            SelectItem::ExprWithAlias { expr, alias } => (alias.value.clone(), expr.clone()),
            _ => continue,
        };
        if taken.insert(name.clone()) {
            continue;
        }
        let name = match &expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => format!("{name}_{at}"),
            // As Trino calls a column without a name.
            _ => format!("_col{at}"),
        };
        taken.insert(name.clone());
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    }
}

fn rename(call: &mut Function, name: &str) {
    call.name = ObjectName::from(vec![Ident::new(name)]);
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

fn ordered(expr: Expr) -> OrderByExpr {
    let options = OrderByOptions { asc: None, nulls_first: Some(false) };
    OrderByExpr { expr, options, with_fill: None }
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

/// Trino knows no difference of case, not even between quotes; our columns and
/// their members are lower case.
fn fold_case(name: &mut Ident) {
    static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut known = BTreeSet::new();
        add_names(fresh_schema().fields(), &mut known);
        known
    });
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

/// `SELECT useridentity.arn` gives a column `arn`; where two would have one name,
/// the whole path is the name.
fn name_members(select: &mut Select) {
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
