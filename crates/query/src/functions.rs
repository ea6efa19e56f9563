//! SQL functions that published CloudTrail queries call and DataFusion lacks.
//!
//! Names and meaning are those of Trino, which CloudTrail Lake and Athena speak.
//! One file for each kind of value. Where Trino would stop a query at a row that
//! somebody else wrote (text that is no JSON), the answer is NULL; where the
//! asker wrote it (a format, a path, a unit), it is an error.

mod address;
mod array;
mod binary;
mod json;
mod map;
mod number;
mod record;
mod regexp;
mod row;
mod text;
mod time;
mod url;

pub(crate) use array::resource_lines;
pub(crate) use record::record_columns;
pub(crate) use text::like_pattern;
pub(crate) use time::time_zone;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder, new_empty_array, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_string_array;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::prelude::SessionContext;

/// Functions that end a query at a text that they cannot read, and what they are called
/// within `try`, where the answer is NULL.
pub(crate) const TRIED: [(&str, &str); 7] = [
    ("from_iso8601_timestamp", "try_from_iso8601_timestamp"),
    ("from_iso8601_date", "try_from_iso8601_date"),
    ("date_parse", "try_date_parse"),
    ("parse_datetime", "try_parse_datetime"),
    ("json_parse", "try_json_parse"),
    ("from_unixtime", "try_from_unixtime"),
    ("date_add", "try_date_add"),
];

/// The length of an interval in microseconds.
pub(crate) fn interval_length() -> ScalarUDF {
    ScalarUDF::from(time::interval_length())
}

/// Adds all functions; where DataFusion has one of the same name, ours is taken.
pub(crate) fn register(context: &SessionContext) {
    let all = [
        json::functions(),
        map::functions(),
        number::functions(),
        text::functions(),
        array::functions(),
        time::functions(),
        regexp::functions(),
        row::functions(),
        address::functions(),
        binary::functions(),
        url::functions(),
        record::functions(),
    ];
    for function in all.into_iter().flatten() {
        if let Some((_, tried)) = TRIED.iter().find(|(name, _)| *name == function.name) {
            context.register_udf(ScalarUDF::from(function.tried(tried)));
        }
        context.register_udf(ScalarUDF::from(function));
    }
}

type Typed = fn(&[DataType], &[Option<&str>]) -> Result<DataType>;

/// A function of whole columns.
#[derive(Clone)]
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    /// What the arguments are turned into before they are handed over.
    takes: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The type of its answer to such arguments.
    gives: fn(&[DataType]) -> Result<DataType>,
    /// The same where it depends on arguments that are constant texts.
    typed: Option<Typed>,
    run: fn(&[ArrayRef]) -> Result<ArrayRef>,
    /// Whether a row that it fails at is NULL.
    is_lenient: bool,
    /// A simpler way to say a call, if there is one.
    simplify: fn(Vec<Expr>, &SimplifyContext) -> Result<ExprSimplifyResult>,
    signature: Signature,
}

impl Function {
    fn new(
        name: &'static str,
        takes: fn(&[DataType]) -> Result<Vec<DataType>>,
        gives: fn(&[DataType]) -> Result<DataType>,
        run: fn(&[ArrayRef]) -> Result<ArrayRef>,
    ) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        let simplify = |arguments, _: &SimplifyContext| Ok(ExprSimplifyResult::Original(arguments));
        let (aliases, typed, is_lenient) = (Vec::new(), None, false);
        Self { name, aliases, takes, gives, typed, run, is_lenient, simplify, signature }
    }

    /// The same under another name, with NULL for what it fails at.
    fn tried(&self, name: &'static str) -> Self {
        Self { name, aliases: Vec::new(), is_lenient: true, ..self.clone() }
    }

    fn alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }

    fn typed(mut self, typed: Typed) -> Self {
        self.typed = Some(typed);
        self
    }

    fn simplified(
        mut self,
        simplify: fn(Vec<Expr>, &SimplifyContext) -> Result<ExprSimplifyResult>,
    ) -> Self {
        self.simplify = simplify;
        self
    }
}

impl Function {
    /// What the arguments are turned into.
    fn taken(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match (self.takes)(given) {
            Ok(taken) if taken.len() == given.len() => Ok(taken),
            Ok(taken) => plan_err!("{} takes {} arguments", self.name, taken.len()),
            Err(DataFusionError::Plan(what)) => plan_err!("{}: {what}", self.name),
            Err(other) => Err(other),
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Function").field(&self.name).finish()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        // What is wrong is said with the answer's type: an error from here comes with
        // candidates and advice that do not fit.
        Ok(self.taken(given).unwrap_or_else(|_| given.to_vec()))
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.gives)(arguments)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        self.taken(&types)?;
        let constants = args.scalar_arguments.iter();
        let constants: Vec<Option<&str>> =
            constants.map(|value| value.and_then(|value| value.try_as_str().flatten())).collect();
        let data_type = match self.typed {
            Some(typed) => typed(&types, &constants)?,
            None => self.return_type(&types)?,
        };
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Columns without rows do not tell the constants that an answer's type depends on.
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_field.data_type())));
        }
        let columns = args.args.iter().map(|value| value.to_array(args.number_rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(match (self.run)(&columns) {
            Err(_) if self.is_lenient => {
                let rows = (0..args.number_rows).map(|row| {
                    let row: Vec<_> = columns.iter().map(|column| column.slice(row, 1)).collect();
                    (self.run)(&row)
                        .unwrap_or_else(|_| new_null_array(args.return_field.data_type(), 1))
                });
                let rows: Vec<ArrayRef> = rows.collect();
                concat(&rows.iter().map(AsRef::as_ref).collect::<Vec<_>>())?
            }
            answer => answer?,
        }))
    }

    fn simplify(&self, arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        (self.simplify)(arguments, info)
    }
}

/// Arguments that are text, as many as `N`.
fn texts<const N: usize>(_: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Utf8; N])
}

fn text(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn bigint(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Int64)
}

fn boolean(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Boolean)
}

/// Argument `at` as text.
fn strings(columns: &[ArrayRef], at: usize) -> Result<&StringArray> {
    match columns.get(at) {
        Some(column) => as_string_array(column),
        None => plan_err!("argument {} is missing", at + 1),
    }
}

/// A column of text from one text a row, by what `make` says of each.
fn map_text<'a>(
    texts: &'a StringArray,
    mut make: impl FnMut(&'a str) -> Option<std::borrow::Cow<'a, str>>,
) -> ArrayRef {
    let mut made = StringBuilder::new();
    for text in texts {
        made.append_option(text.and_then(&mut make));
    }
    Arc::new(made.finish())
}

/// The last constant of a column of constants, made from its text once.
struct Memo<T> {
    text: Option<String>,
    value: Option<T>,
    make: fn(&str) -> Result<T>,
}

impl<T> Memo<T> {
    const fn new(make: fn(&str) -> Result<T>) -> Self {
        Self { text: None, value: None, make }
    }

    fn get(&mut self, text: &str) -> Result<&T> {
        if self.text.as_deref() != Some(text) {
            self.value = Some((self.make)(text)?);
            self.text = Some(text.to_owned());
        }
        match &self.value {
            Some(value) => Ok(value),
            None => plan_err!("no value of {text:?}"),
        }
    }
}
