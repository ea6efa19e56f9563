//! Numbers: whole ones, and other bases than ten.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::math::{ceil, floor, signum};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, ScalarUDF, cast};

use super::{Function, bigint, strings, text};

pub(super) fn functions() -> Vec<Function> {
    vec![
        // What is within casts to whole numbers: halves are rounded away from zero.
        Function::new(
            "whole_number",
            |given| Ok(given.iter().map(rounded).collect()),
            |given| Ok(given.first().map_or(DataType::Null, rounded)),
            |columns| match columns {
                [numbers] => match numbers.as_primitive_opt::<Float64Type>() {
                    Some(numbers) => Ok(Arc::new(numbers.unary::<_, Float64Type>(f64::round))),
                    None => Ok(Arc::clone(numbers)),
                },
                _ => plan_err!("a cast takes one value"),
            },
        )
        .simplified(unless_fraction),
        number("floor", |arguments, info| unless_whole(arguments, info, &floor())),
        number("ceil", |arguments, info| unless_whole(arguments, info, &ceil())),
        number("sign", |arguments, info| unless_whole(arguments, info, &signum())),
        Function::new(
            "from_base",
            |_| Ok(vec![DataType::Utf8, DataType::Int64]),
            bigint,
            |columns| {
                let radixes =
                    as_primitive_array::<Int64Type>(columns.get(1).expect("as many as taken"))?;
                let mut numbers = Vec::new();
                for (text, radix) in strings(columns, 0)?.iter().zip(radixes) {
                    let (Some(text), Some(radix)) = (text, radix) else {
                        numbers.push(None);
                        continue;
                    };
                    numbers.push(i64::from_str_radix(text, base(radix)?).ok());
                }
                Ok(Arc::new(Int64Array::from(numbers)))
            },
        ),
        Function::new(
            "to_base",
            |_| Ok(vec![DataType::Int64, DataType::Int64]),
            text,
            |columns| {
                let [numbers, radixes] = columns else {
                    return plan_err!("to_base takes two numbers");
                };
                let radixes = as_primitive_array::<Int64Type>(radixes)?;
                let mut texts = Vec::new();
                for (number, radix) in as_primitive_array::<Int64Type>(numbers)?.iter().zip(radixes)
                {
                    let (Some(number), Some(radix)) = (number, radix) else {
                        texts.push(None);
                        continue;
                    };
                    texts.push(Some(in_base(number, base(radix)?)));
                }
                Ok(Arc::new(StringArray::from(texts)))
            },
        ),
    ]
}

/// A function whose answer to a whole number is one.
fn number(
    name: &'static str,
    simplify: fn(Vec<Expr>, &SimplifyContext) -> Result<ExprSimplifyResult>,
) -> Function {
    let kept = |given: &[DataType]| match given {
        [number] if number.is_integer() => Ok(DataType::Int64),
        [_] => Ok(DataType::Float64),
        _ => plan_err!("takes a number"),
    };
    let takes = move |given: &[DataType]| match given {
        [number] if number.is_integer() => Ok(vec![DataType::Int64]),
        [_] => Ok(vec![DataType::Float64]),
        _ => plan_err!("takes a number"),
    };
    Function::new(name, takes, kept, |_| plan_err!("it is always said otherwise"))
        .simplified(simplify)
}

fn unless_whole(
    mut arguments: Vec<Expr>,
    info: &SimplifyContext,
    function: &ScalarUDF,
) -> Result<ExprSimplifyResult> {
    let is_whole = match arguments.first() {
        Some(number) => info.get_data_type(number)?.is_integer(),
        None => false,
    };
    Ok(match arguments.pop() {
        Some(number) if is_whole && function.name() != "signum" => {
            ExprSimplifyResult::Simplified(number)
        }
        Some(number) if is_whole => {
            let sign = function.call(vec![cast(number, DataType::Float64)]);
            ExprSimplifyResult::Simplified(cast(sign, DataType::Int64))
        }
        Some(number) => ExprSimplifyResult::Simplified(function.call(vec![number])),
        None => ExprSimplifyResult::Original(arguments),
    })
}

/// The type in which a number of this one is rounded.
fn rounded(given: &DataType) -> DataType {
    match given {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal128(..) => DataType::Decimal128(38, 0),
        other => other.clone(),
    }
}

fn unless_fraction(arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let [number] = arguments.as_slice() else {
        return Ok(ExprSimplifyResult::Original(arguments));
    };
    Ok(match info.get_data_type(number)? {
        DataType::Float64 => ExprSimplifyResult::Original(arguments),
        _ => ExprSimplifyResult::Simplified(number.clone()),
    })
}

fn base(radix: i64) -> Result<u32> {
    match u32::try_from(radix) {
        Ok(radix @ 2..=36) => Ok(radix),
        _ => exec_err!("{radix} is no base: write 2 to 36"),
    }
}

fn in_base(number: i64, radix: u32) -> String {
    let mut digits = Vec::new();
    let mut rest = number.unsigned_abs();
    loop {
        let digit = u32::try_from(rest % u64::from(radix)).unwrap_or(0);
        digits.extend(char::from_digit(digit, radix));
        rest /= u64::from(radix);
        if rest == 0 {
            break;
        }
    }
    digits.extend((number < 0).then_some('-'));
    digits.into_iter().rev().collect()
}
