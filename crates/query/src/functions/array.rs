//! Arrays: `contains`, `slice`, and what `UNNEST` is made of.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, BooleanArray, Int64Builder, ListArray, ListBuilder,
    StringBuilder, StructArray, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::string::concat_ws;
use datafusion::functions_nested::array_has::array_has_udf;
use datafusion::functions_nested::extract::array_slice_udf;
use datafusion::functions_nested::repeat::array_repeat_udf;
use datafusion::functions_nested::string::array_to_string_udf;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, ScalarUDF, lit};

use super::{Function, address, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "contains",
            |given| match given {
                [DataType::List(item), wanted] => {
                    let is_text = |kind: &DataType| kind.is_string();
                    if is_text(item.data_type()) != is_text(wanted) && !wanted.is_null() {
                        return plan_err!("an array of {} has no {wanted}", item.data_type());
                    }
                    Ok(vec![DataType::List(Arc::clone(item)), item.data_type().clone()])
                }
                [_, DataType::Binary] => Ok(vec![DataType::Utf8, DataType::Binary]),
                _ => texts::<2>(given),
            },
            super::boolean,
            contains,
        )
        .simplified(as_array_has),
        Function::new(
            "slice",
            |given| match given {
                [list @ DataType::List(_), _, _] => {
                    Ok(vec![list.clone(), DataType::Int64, DataType::Int64])
                }
                _ => plan_err!("takes an array, a position and a length"),
            },
            |given| Ok(given.first().cloned().unwrap_or(DataType::Null)),
            |_| plan_err!("slice is always said as array_slice"),
        )
        .simplified(as_array_slice),
        Function::new(
            "repeat",
            |given| match given {
                [item, _] => Ok(vec![item.clone(), DataType::Int64]),
                _ => plan_err!("takes a value and how often"),
            },
            |given| {
                let item = given.first().cloned().unwrap_or(DataType::Null);
                Ok(DataType::List(Arc::new(Field::new_list_field(item, true))))
            },
            |_| plan_err!("repeat is always said as array_repeat"),
        )
        .simplified(|arguments, _| {
            Ok(ExprSimplifyResult::Simplified(array_repeat_udf().call(arguments)))
        }),
        Function::new(
            "concat_ws",
            |given| match given {
                [_, list @ DataType::List(_)] => Ok(vec![DataType::Utf8, list.clone()]),
                _ => Ok(vec![DataType::Utf8; given.len()]),
            },
            text,
            |_| plan_err!("concat_ws is always said otherwise"),
        )
        .simplified(joined),
        // What `max(x, n)` is made of.
        Function::new("array_remove_nulls", |given| Ok(given.to_vec()), items_type, without_nulls),
        Function::new(
            "split",
            |given| match given.len() {
                3 => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
                _ => texts::<2>(given),
            },
            |_| Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
            split,
        ),
        // What UNNEST becomes (see `dialect::unnest`).
        Function::new("unnest_items", |given| Ok(given.to_vec()), items_type, items),
        Function::new(
            "unnest_items_or_null",
            |given| Ok(given.to_vec()),
            items_type,
            |columns| or_null(&items(columns)?),
        ),
        Function::new(
            "unnest_positions",
            |given| Ok(given.to_vec()),
            |_| Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))),
            positions,
        ),
        of_lines(),
        Function::new("athena_resources", |given| Ok(given.to_vec()), |_| Ok(resources_type()), {
            athena_resources
        }),
    ]
}

/// The ARNs of a list of resources, each in a line of its own between line feeds.
pub(crate) fn resource_lines() -> ScalarUDF {
    ScalarUDF::from(of_lines())
}

fn of_lines() -> Function {
    Function::new("resource_lines", |given| Ok(given.to_vec()), text, lines)
}

fn lines(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(lists) = columns.first().and_then(|column| column.as_list_opt::<i32>()) else {
        return plan_err!("resource_lines takes resources");
    };
    let arns = lists.values().as_struct().column_by_name("arn");
    let arns = arns.and_then(|arns| arns.as_string_opt::<i32>());
    let mut lines = StringBuilder::new();
    for (row, range) in lists.offsets().windows(2).enumerate() {
        let (Some(arns), [from, to], true) = (arns, range, lists.is_valid(row)) else {
            lines.append_null();
            continue;
        };
        let mut text = String::from("\n");
        let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
        let (from, to) = range.unwrap_or_default();
        for at in (from..to).filter(|at| arns.is_valid(*at)) {
            text.push_str(arns.value(at));
            text.push('\n');
        }
        lines.append_value(text);
    }
    Ok(Arc::new(lines.finish()))
}

fn contains(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [_, wanted] = columns else { return plan_err!("contains takes two arguments") };
    if let Some(addresses) = wanted.as_binary_opt::<i32>() {
        return address::in_network(strings(columns, 0)?, addresses);
    }
    let pairs = strings(columns, 0)?.iter().zip(strings(columns, 1)?);
    let found = pairs.map(|(text, part)| Some(text?.contains(part?)));
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn as_array_has(arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let is_list = match arguments.first() {
        Some(list) => matches!(info.get_data_type(list)?, DataType::List(_)),
        None => false,
    };
    Ok(if is_list {
        ExprSimplifyResult::Simplified(array_has_udf().call(arguments))
    } else {
        ExprSimplifyResult::Original(arguments)
    })
}

/// Of an array its items are joined.
fn joined(mut arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let of_list = match arguments.as_slice() {
        [_, list] => matches!(info.get_data_type(list)?, DataType::List(_)),
        _ => false,
    };
    if of_list {
        arguments.reverse();
        return Ok(ExprSimplifyResult::Simplified(array_to_string_udf().call(arguments)));
    }
    Ok(ExprSimplifyResult::Simplified(concat_ws().call(arguments)))
}

/// From a position, so many; DataFusion counts from a position to a position.
fn as_array_slice(arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let [list, from, length] = arguments.as_slice() else {
        return Ok(ExprSimplifyResult::Original(arguments));
    };
    let to = from.clone() + length.clone() - lit(1_i64);
    let slice = array_slice_udf().call(vec![list.clone(), from.clone(), to]);
    Ok(ExprSimplifyResult::Simplified(slice))
}

/// The parts of a text; with a limit, at most so many, of which the last has the rest.
fn split(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let limits =
        columns.get(2).map(|column| as_primitive_array::<Int64Type>(column)).transpose()?;
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (row, (text, delimiter)) in
        strings(columns, 0)?.iter().zip(strings(columns, 1)?).enumerate()
    {
        let limit = limits.map_or(Some(i64::MAX), |all| all.is_valid(row).then(|| all.value(row)));
        let (Some(text), Some(delimiter), Some(limit)) = (text, delimiter, limit) else {
            lists.append_null();
            continue;
        };
        let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) else {
            return exec_err!("split: {limit} parts are none");
        };
        for part in text.splitn(limit, delimiter) {
            lists.values().append_value(part);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn without_nulls(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(lists) = columns.first().and_then(|lists| lists.as_list_opt::<i32>()) else {
        return plan_err!("an array is missing");
    };
    let (mut places, mut lengths) = (UInt64Builder::new(), Vec::with_capacity(lists.len()));
    for range in lists.offsets().windows(2) {
        let [from, to] = range else { continue };
        let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
        let (from, to) = range.unwrap_or_default();
        let valid = (from..to).filter(|at| lists.values().is_valid(*at));
        let before = places.len();
        valid.for_each(|at| places.append_value(at as u64));
        lengths.push(places.len() - before);
    }
    let DataType::List(item) = items_type(&[lists.data_type().clone()])? else {
        return plan_err!("an array is missing");
    };
    let values = take(lists.values(), &places.finish(), None)?;
    let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), lists.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
}

/// An array's items; a map's entries as rows of a key and a value.
fn items_type(given: &[DataType]) -> Result<DataType> {
    match given {
        [DataType::List(item)] => {
            let item = item.as_ref().clone().with_nullable(true);
            Ok(DataType::List(Arc::new(item)))
        }
        [DataType::Map(entries, _)] => {
            let entry = entries.as_ref().clone().with_nullable(true);
            Ok(DataType::List(Arc::new(entry)))
        }
        _ => plan_err!("UNNEST takes an array or a map"),
    }
}

fn items(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [holder] = columns else { return plan_err!("UNNEST takes an array or a map") };
    let DataType::List(item) = items_type(&[holder.data_type().clone()])? else {
        return plan_err!("UNNEST takes an array or a map");
    };
    let (offsets, values, nulls): (_, ArrayRef, _) = match holder.as_map_opt() {
        Some(map) => (map.offsets(), Arc::new(map.entries().clone()), map.nulls()),
        None => {
            let list = holder.as_list::<i32>();
            (list.offsets(), Arc::clone(list.values()), list.nulls())
        }
    };
    Ok(Arc::new(ListArray::try_new(item, offsets.clone(), values, nulls.cloned())?))
}

/// Lists in which one null stands where there was nothing.
fn or_null(lists: &ArrayRef) -> Result<ArrayRef> {
    let Some(lists) = lists.as_list_opt::<i32>() else { return plan_err!("UNNEST takes an array") };
    let (mut places, mut lengths) = (UInt64Builder::new(), Vec::with_capacity(lists.len()));
    for (row, range) in lists.offsets().windows(2).enumerate() {
        let range = match range {
            [from, to] if lists.is_valid(row) => {
                u64::try_from(*from).ok().zip(u64::try_from(*to).ok())
            }
            _ => None,
        };
        match range {
            Some((from, to)) if from < to => {
                (from..to).for_each(|at| places.append_value(at));
                lengths.push(usize::try_from(to - from).unwrap_or_default());
            }
            _ => {
                places.append_null();
                lengths.push(1);
            }
        }
    }
    let DataType::List(item) = lists.data_type() else { return plan_err!("UNNEST takes an array") };
    let item = Arc::new(item.as_ref().clone().with_nullable(true));
    let values = take(lists.values(), &places.finish(), None)?;
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, None)?))
}

/// 1, 2, 3, … as far as the longest of the lists.
fn positions(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let rows = columns.first().map_or(0, |column| column.len());
    let mut positions = ListBuilder::new(Int64Builder::new());
    for row in 0..rows {
        let lists = columns.iter().filter_map(|column| column.as_list_opt::<i32>());
        let longest = lists.filter(|list| list.is_valid(row)).map(|list| list.value_length(row));
        for position in 1..=i64::from(longest.max().unwrap_or(0)) {
            positions.values().append_value(position);
        }
        positions.append(true);
    }
    Ok(Arc::new(positions.finish()))
}

/// The fields that Athena's table has of a resource.
fn resources_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Struct(resource_fields()), true)))
}

fn resource_fields() -> arrow::datatypes::Fields {
    ["arn", "accountid", "type"]
        .map(|name| Field::new(name, DataType::Utf8, true))
        .into_iter()
        .collect()
}

fn athena_resources(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [resources] = columns else { return plan_err!("athena_resources takes resources") };
    let (Some(lists), fields) = (resources.as_list_opt::<i32>(), resource_fields()) else {
        return plan_err!("athena_resources takes resources");
    };
    let rows = lists.values().as_struct();
    let members = fields.iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => Ok(arrow::compute::cast(column, &DataType::Utf8)?),
        None => plan_err!("resources have no {}", field.name()),
    });
    let members = members.collect::<Result<Vec<_>>>()?;
    let rows = StructArray::try_new(fields, members, rows.nulls().cloned())?;
    Ok(Arc::new(ListArray::try_new(
        Arc::new(Field::new_list_field(DataType::Struct(resource_fields()), true)),
        lists.offsets().clone(),
        Arc::new(rows),
        lists.nulls().cloned(),
    )?))
}
