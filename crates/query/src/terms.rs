//! The indicators that a question's condition asks for.
//!
//! A condition that holds only for rows that name one of some indicators lets the
//! index choose the files. What is found here must be certain: a column is looked
//! at only if the index is made of it (`table`'s `index`), and a value only if its
//! form makes it an indicator.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use event::indicator::is_indicator;
use table::schema::{INDICATORS, JSON_COLUMNS};

use crate::filter::EventFilter;
use crate::pattern::Pattern;

/// Columns of text, by their path, whose values the index is made of.
const NAMED: [&str; 8] = [
    "useridentity.accesskeyid",
    "useridentity.accountid",
    "useridentity.arn",
    "useridentity.principalid",
    "useridentity.sessioncontext.sessionissuer.arn",
    "sourceipaddress",
    "recipientaccountid",
    "vpcendpointid",
];

/// Functions that give a string out of JSON as it is.
const GIVES_STRING: [&str; 2] = ["json_extract_scalar", "json_get"];

/// Of each set, a wanted row names one indicator at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms(pub(crate) Vec<Vec<String>>);

impl Terms {
    /// What the conjuncts of a condition ask for.
    pub(crate) fn of_filters(filters: &[Expr]) -> Self {
        let conjuncts = filters.iter().flat_map(split_conjunction);
        Self(conjuncts.filter_map(|condition| any_of(condition, &indexed)).collect())
    }

    /// What the values of [`EventFilter::named`] ask for, which no expression says
    /// in so few words.
    pub(crate) fn of_named(filter: &EventFilter) -> Self {
        let wanted = filter.named.iter().map(|value| Pattern::new(value));
        let wanted: Vec<Pattern> = wanted.filter(|pattern| !pattern.negated).collect();
        let known = wanted.iter().all(|pattern| is_indicator(&pattern.text));
        if wanted.is_empty() || !known {
            return Self::default();
        }
        Self(vec![wanted.into_iter().map(|pattern| pattern.text).collect()])
    }

    /// What both ask for.
    pub(crate) fn and(mut self, other: Self) -> Self {
        for any_of in other.0 {
            if !self.0.contains(&any_of) {
                self.0.push(any_of);
            }
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of each set, a wanted row has one in its list `indicators`: whatever form they have.
pub(crate) fn listed(filters: &[Expr]) -> Vec<Vec<String>> {
    let conjuncts = filters.iter().flat_map(split_conjunction);
    conjuncts.filter_map(|condition| any_of(condition, &in_list)).collect()
}

/// The texts of which one must be named for a condition to hold.
fn any_of(condition: &Expr, of: &dyn Fn(&Expr) -> Option<Vec<String>>) -> Option<Vec<String>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut both = any_of(left, of)?;
            both.extend(any_of(right, of)?);
            Some(both)
        }
        _ => of(condition),
    }
}

/// Those of which one must be in the list of a row.
fn in_list(condition: &Expr) -> Option<Vec<String>> {
    let Expr::ScalarFunction(call) = condition else { return None };
    let [list, wanted] = call.args.as_slice() else { return None };
    if path_of(list).as_deref() != Some(INDICATORS) {
        return None;
    }
    match call.name() {
        "array_has" => Some(vec![literal(wanted)?]),
        "array_has_any" => literals(wanted),
        _ => None,
    }
}

/// The indicators of which one must be named.
fn indexed(condition: &Expr) -> Option<Vec<String>> {
    match condition {
        Expr::ScalarFunction(_) => {
            in_list(condition).filter(|texts| texts.iter().all(|text| is_indicator(text)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let equal = |column: &Expr, value: &Expr| Some(vec![indicator(column, value)?]);
            equal(left, right).or_else(|| equal(right, left))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            list.iter().map(|value| indicator(expr, value)).collect()
        }
        _ => None,
    }
}

/// The indicator that a column must have to be equal to a value.
fn indicator(column: &Expr, value: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = value else { return None };
    let text = value.try_as_str()??;
    if !is_indicator(text) {
        return None;
    }
    let is_named = path_of(column).is_some_and(|path| NAMED.contains(&path.as_str()));
    // A number in JSON equals its digits and is no string.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_named || (!is_number && is_from_json(column))).then(|| text.to_owned())
}

/// The path of a column or of what lies in one: `useridentity.arn`.
fn path_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Cast(cast) => path_of(&cast.expr),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (of, members) = call.args.split_first()?;
            let mut path = path_of(of)?;
            for member in members {
                path.push('.');
                path.push_str(&literal(member)?);
            }
            Some(path)
        }
        _ => None,
    }
}

/// Whether an expression gives nothing but strings out of JSON that is indexed.
fn is_from_json(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => is_from_json(&cast.expr),
        Expr::ScalarFunction(call) if call.name() == "coalesce" => {
            call.args.iter().all(is_from_json)
        }
        // What the planner makes of it.
        Expr::Case(case) => {
            let thens = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            thens.chain(case.else_expr.as_deref()).all(is_from_json)
        }
        Expr::ScalarFunction(call) if GIVES_STRING.contains(&call.name()) => {
            let path = call.args.first().and_then(path_of);
            path.is_some_and(|path| JSON_COLUMNS.contains(&path.as_str()))
        }
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => ScalarValue::try_as_str(value)?.map(str::to_owned),
        _ => None,
    }
}

/// The texts of a constant array.
fn literals(array: &Expr) -> Option<Vec<String>> {
    match array {
        Expr::Cast(cast) => literals(&cast.expr),
        Expr::ScalarFunction(call) if call.name() == "make_array" => {
            call.args.iter().map(literal).collect()
        }
        Expr::Literal(value, _) => {
            let ScalarValue::List(list) = value else { return None };
            let item = (list.len() == 1 && list.is_valid(0)).then(|| list.value(0))?;
            let texts = cast(&item, &DataType::Utf8).ok()?;
            // A null in it is equal to nothing.
            Some(texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::functions::core::expr_ext::FieldAccessor;
    use datafusion::functions_nested::expr_fn::{array_has, array_has_any, make_array};
    use datafusion::logical_expr::{col, lit, not};

    use super::*;

    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
    const OTHER: &str = "ASIAIOSFODNN7EXAMPLE";

    fn key() -> Expr {
        col("useridentity").field("accesskeyid")
    }

    fn terms(condition: Expr) -> Vec<Vec<String>> {
        Terms::of_filters(&[condition]).0
    }

    #[test]
    fn what_must_be_named_is_found_in_equalities_lists_and_alternatives() {
        assert_eq!(terms(key().eq(lit(KEY))), [[KEY]]);
        assert_eq!(terms(lit(KEY).eq(key())), [[KEY]]);
        assert_eq!(terms(key().in_list(vec![lit(KEY), lit(OTHER)], false)), [[KEY, OTHER]]);
        assert_eq!(terms(key().eq(lit(KEY)).or(key().eq(lit(OTHER)))), [[KEY, OTHER]]);
        let address = col("sourceipaddress").eq(lit("198.51.100.7"));
        assert_eq!(terms(key().eq(lit(KEY)).and(address)), [[KEY], ["198.51.100.7"]]);
        let has = |text: &str| array_has(col("indicators"), lit(text));
        assert_eq!(terms(has(KEY)), [[KEY]]);
        assert_eq!(terms(has(KEY).or(key().eq(lit(OTHER)))), [[KEY, OTHER]]);
        let any = array_has_any(col("indicators"), make_array(vec![lit(KEY), lit(OTHER)]));
        assert_eq!(terms(any), [[KEY, OTHER]]);
        let issuer = col("useridentity").field("sessioncontext").field("sessionissuer");
        let role = "arn:aws:iam::123456789012:role/admin";
        assert_eq!(terms(issuer.field("arn").eq(lit(role))), [[role]]);
    }

    #[test]
    fn what_only_may_be_named_is_not() {
        let none: Vec<Vec<String>> = Vec::new();
        assert_eq!(terms(key().not_eq(lit(KEY))), none);
        assert_eq!(terms(key().in_list(vec![lit(KEY)], true)), none);
        assert_eq!(terms(key().eq(lit("alice"))), none);
        assert_eq!(terms(key().eq(lit(KEY)).or(col("eventname").eq(lit("x")))), none);
        assert_eq!(terms(col("useragent").eq(lit("198.51.100.7"))), none);
        assert_eq!(terms(col("eventid").eq(lit(KEY))), none);
        let has = |text: &str| array_has(col("indicators"), lit(text));
        assert_eq!(terms(has("alice")), none, "a session's name");
        assert_eq!(terms(has(KEY).or(col("indicators").is_null())), none);
        assert_eq!(terms(not(has(KEY))), none);
        assert_eq!(terms(array_has(col("others"), lit(KEY))), none);
    }

    #[test]
    fn lists_are_asked_for_whatever_they_name() {
        let has = |text: &str| array_has(col("indicators"), lit(text));
        assert_eq!(listed(&[has("alice").or(has(KEY))]), [["alice", KEY]]);
        assert_eq!(listed(&[has("alice").and(has(KEY))]), [["alice"], [KEY]]);
        let none: Vec<Vec<String>> = Vec::new();
        assert_eq!(listed(&[key().eq(lit(KEY)), has(KEY).or(key().eq(lit(KEY)))]), none);
    }

    #[test]
    fn a_filter_by_name_counts_if_all_it_looks_for_are_indicators() {
        let filter = |named: &[&str]| EventFilter {
            named: named.iter().map(|name| (*name).to_owned()).collect(),
            ..EventFilter::default()
        };
        assert_eq!(Terms::of_named(&filter(&[KEY, "!alice"])).0, [[KEY]]);
        assert_eq!(Terms::of_named(&filter(&[KEY, "alice"])), Terms::default());
        assert_eq!(Terms::of_named(&filter(&["!AKIAIOSFODNN7EXAMPLE"])), Terms::default());
        assert_eq!(Terms::of_named(&filter(&["AKIA*"])), Terms::default());
    }
}
