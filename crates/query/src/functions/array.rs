//! Arrays and rows: `contains`, `slice`, and what `UNNEST` is made of.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, ListBuilder, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_err};
use datafusion::functions_nested::array_has::array_has_udf;
use datafusion::functions_nested::extract::array_slice_udf;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, ScalarUDF, lit};

use super::{Function, address, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "contains",
            |given| match given {
                [DataType::List(item), _] => {
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
            "split",
            texts::<2>,
            |_| Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
            split,
        ),
        // What UNNEST becomes (see `dialect::unnest`).
        Function::new("unnest_items", |given| Ok(given.to_vec()), items_type, items),
        Function::new(
            "row_field",
            |given| match given {
                [row @ DataType::Struct(_), _] => Ok(vec![row.clone(), DataType::Utf8]),
                _ => plan_err!("UNNEST with several columns takes an array of rows, or a map"),
            },
            text,
            |_| plan_err!("row_field is always said as get_field"),
        )
        .simplified(as_field),
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

/// From a position, so many; DataFusion counts from a position to a position.
fn as_array_slice(arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let [list, from, length] = arguments.as_slice() else {
        return Ok(ExprSimplifyResult::Original(arguments));
    };
    let to = from.clone() + length.clone() - lit(1_i64);
    let slice = array_slice_udf().call(vec![list.clone(), from.clone(), to]);
    Ok(ExprSimplifyResult::Simplified(slice))
}

fn split(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (text, delimiter) in strings(columns, 0)?.iter().zip(strings(columns, 1)?) {
        let (Some(text), Some(delimiter)) = (text, delimiter) else {
            lists.append_null();
            continue;
        };
        for part in text.split(delimiter) {
            lists.values().append_value(part);
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// An array's items; a map's entries as rows of a key and a value.
fn items_type(given: &[DataType]) -> Result<DataType> {
    match given {
        [list @ DataType::List(_)] => Ok(list.clone()),
        [DataType::Map(entries, _)] => Ok(DataType::List(Arc::clone(entries))),
        _ => plan_err!("UNNEST takes an array or a map"),
    }
}

fn items(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [holder] = columns else { return plan_err!("UNNEST takes an array or a map") };
    let Some(map) = holder.as_map_opt() else { return Ok(Arc::clone(holder)) };
    let DataType::Map(entries, _) = map.data_type() else { return Ok(Arc::clone(holder)) };
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(entries),
        map.offsets().clone(),
        Arc::new(map.entries().clone()),
        map.nulls().cloned(),
    )?))
}

/// A row's field by its position, written as text since `UNNEST` names none.
fn as_field(arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    use datafusion::functions::core::expr_ext::FieldAccessor;
    let [row, Expr::Literal(position, _)] = arguments.as_slice() else {
        return Ok(ExprSimplifyResult::Original(arguments));
    };
    let position = position.try_as_str().flatten().and_then(|text| text.parse::<usize>().ok());
    match (info.get_data_type(row)?, position) {
        (DataType::Struct(fields), Some(position)) => match fields.get(position) {
            Some(field) => {
                Ok(ExprSimplifyResult::Simplified(row.clone().field(field.name().clone())))
            }
            None => plan_err!("a row of UNNEST has {} fields only", fields.len()),
        },
        _ => Ok(ExprSimplifyResult::Original(arguments)),
    }
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
