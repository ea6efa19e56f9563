//! Maps: of a JSON object, of all keys and values of a group, and `element_at` of maps,
//! arrays and JSON objects.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, ListBuilder, MapArray, MapBuilder,
    StringBuilder, StructArray, UInt64Array, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, ScalarUDF};
use event::json::{elements, members, unescape};

use super::json::scalar_or_json;
use super::{Function, map_text, strings, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "json_map",
            texts::<1>,
            |_| Ok(map_type()),
            |columns| {
                let mut maps = maps();
                for text in strings(columns, 0)? {
                    append(&mut maps, text)?;
                }
                Ok(Arc::new(maps.finish()))
            },
        ),
        Function::new(
            "json_maps",
            texts::<1>,
            |_| Ok(DataType::List(Arc::new(Field::new_list_field(map_type(), true)))),
            |columns| {
                let mut lists = ListBuilder::new(maps());
                for text in strings(columns, 0)? {
                    let array = text.and_then(|text| elements(text.trim_ascii().as_bytes()).ok());
                    let Some(array) = array else {
                        lists.append_null();
                        continue;
                    };
                    for element in array.filter_map(std::result::Result::ok) {
                        append(lists.values(), std::str::from_utf8(element).ok())?;
                    }
                    lists.append(true);
                }
                Ok(Arc::new(lists.finish()))
            },
        ),
        of_element(),
        Function::new("split_to_map", texts::<3>, |_| Ok(map_type()), split_to_map),
        // What map_agg, multimap_agg and histogram become: of all that array_agg gathered.
        Function::new(
            "map_of_pairs",
            |given| Ok(given.to_vec()),
            |given| pair_types(given).map(|(key, value)| map_of(key, value)),
            |columns| {
                grouped(columns, |places, values| {
                    let firsts = places.iter().filter_map(|places| places.first()).copied();
                    Ok(take(values, &UInt64Array::from_iter_values(firsts), None)?)
                })
            },
        ),
        Function::new(
            "multimap_of_pairs",
            |given| Ok(given.to_vec()),
            |given| pair_types(given).map(|(key, value)| map_of(key, list_of(value))),
            |columns| {
                grouped(columns, |places, values| {
                    let lengths = OffsetBuffer::from_lengths(places.iter().map(Vec::len));
                    let places = UInt64Array::from_iter_values(places.iter().flatten().copied());
                    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
                    let values = take(values, &places, None)?;
                    Ok(Arc::new(ListArray::try_new(item, lengths, values, None)?))
                })
            },
        ),
        Function::new(
            "counts_of",
            |given| Ok(given.to_vec()),
            |given| match given {
                [DataType::List(item)] => Ok(map_of(item.data_type().clone(), DataType::Int64)),
                _ => plan_err!("histogram takes a value"),
            },
            |columns| {
                grouped(columns, |places, _| {
                    let counts =
                        places.iter().map(|places| i64::try_from(places.len()).unwrap_or(i64::MAX));
                    Ok(Arc::new(Int64Array::from_iter_values(counts)))
                })
            },
        ),
    ]
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn pair_types(given: &[DataType]) -> Result<(DataType, DataType)> {
    if let [DataType::List(item)] = given
        && let DataType::Struct(fields) = item.data_type()
        && let [key, value] = &**fields
    {
        return Ok((key.data_type().clone(), value.data_type().clone()));
    }
    plan_err!("a map is made of rows of a key and a value")
}

/// Maps of lists of keys, or of rows of a key and a value; a key that is null is left
/// out. `values` makes the values of all maps: of each key from the places where it stands.
fn grouped(
    columns: &[ArrayRef],
    values: impl FnOnce(&[Vec<u64>], &ArrayRef) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let Some(lists) = columns.first().and_then(|column| column.as_list_opt::<i32>()) else {
        return plan_err!("a map is made of a list");
    };
    let (all_keys, all_values) = match lists.values().as_struct_opt().map(|rows| rows.columns()) {
        Some([keys, values]) => (keys, values),
        _ => (lists.values(), lists.values()),
    };
    let converter = RowConverter::new(vec![SortField::new(all_keys.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(all_keys)])?;
    let (mut places, mut lengths) = (Vec::<Vec<u64>>::new(), Vec::with_capacity(lists.len()));
    for (row, range) in lists.offsets().windows(2).enumerate() {
        let before = places.len();
        let range = match range {
            [from, to] if lists.is_valid(row) => {
                usize::try_from(*from).ok().zip(usize::try_from(*to).ok())
            }
            _ => None,
        };
        let (from, to) = range.unwrap_or_default();
        let mut known = HashMap::new();
        for at in (from..to).filter(|at| all_keys.is_valid(*at)) {
            let place = *known.entry(rows.row(at)).or_insert(places.len());
            match places.get_mut(place) {
                Some(places) => places.push(at as u64),
                None => places.push(vec![at as u64]),
            }
        }
        lengths.push(places.len() - before);
    }
    let firsts = places.iter().filter_map(|places| places.first()).copied();
    let keys = take(all_keys, &UInt64Array::from_iter_values(firsts), None)?;
    let values = values(&places, all_values)?;
    let DataType::Map(field, _) = map_of(keys.data_type().clone(), values.data_type().clone())
    else {
        return plan_err!("a map is made of a list");
    };
    let DataType::Struct(fields) = field.data_type().clone() else {
        return plan_err!("a map is made of a list");
    };
    let entries = StructArray::try_new(fields, vec![keys, values], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(field, offsets, entries, lists.nulls().cloned(), false)?))
}

fn split_to_map(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (between, inside) = (strings(columns, 1)?, strings(columns, 2)?);
    let mut maps = maps();
    for ((text, between), inside) in strings(columns, 0)?.iter().zip(between).zip(inside) {
        let (Some(text), Some(between), Some(inside)) = (text, between, inside) else {
            maps.append(false)?;
            continue;
        };
        let mut known = HashSet::new();
        for (key, value) in text.split(between).filter_map(|entry| entry.split_once(inside)) {
            if known.insert(key) {
                maps.keys().append_value(key);
                maps.values().append_value(value);
            }
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}

fn of_element() -> Function {
    Function::new("element_at", element_takes, element_gives, element_at).simplified(without_map)
}

/// map(text, text), as [`MapBuilder`] makes it.
fn map_type() -> DataType {
    map_of(DataType::Utf8, DataType::Utf8)
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let entries =
        Fields::from(vec![Field::new("keys", key, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

fn maps() -> MapBuilder<StringBuilder, StringBuilder> {
    MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())
}

/// Appends an object's members; null for anything else. Of a member that is there
/// more than once the last counts.
fn append(maps: &mut MapBuilder<StringBuilder, StringBuilder>, text: Option<&str>) -> Result<()> {
    let found = text.and_then(|text| members(text.trim_ascii().as_bytes()).ok());
    let Some(found) = found else { return Ok(maps.append(false)?) };
    let mut entries: Vec<(Cow<'_, str>, Option<Cow<'_, str>>)> = Vec::new();
    for member in found.filter_map(std::result::Result::ok) {
        let Ok(key) = unescape(member.key) else { continue };
        let value = scalar_or_json(member.value);
        match entries.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => entry.1 = value,
            None => entries.push((key, value)),
        }
    }
    for (key, value) in entries {
        maps.keys().append_value(key);
        maps.values().append_option(value);
    }
    Ok(maps.append(true)?)
}

/// Making a map to look at one member is not worth it.
fn without_map(arguments: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
    match arguments.as_slice() {
        [Expr::ScalarFunction(call), key] if call.name() == "json_map" => {
            let arguments = call.args.iter().chain([key]).cloned().collect();
            Ok(ExprSimplifyResult::Simplified(ScalarUDF::from(of_element()).call(arguments)))
        }
        _ => Ok(ExprSimplifyResult::Original(arguments)),
    }
}

fn element_takes(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [map @ DataType::Map(entries, _), _] => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let key = fields.first().map_or(DataType::Utf8, |key| key.data_type().clone());
                Ok(vec![map.clone(), key])
            }
            other => plan_err!("a map of {other} has no keys"),
        },
        [DataType::List(item), _] => Ok(vec![DataType::List(Arc::clone(item)), DataType::Int64]),
        [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null, _] => {
            Ok(vec![DataType::Utf8, DataType::Utf8])
        }
        [other, _] => plan_err!("takes a map, an array or JSON text, not {other}"),
        _ => plan_err!("takes a map and a key, or an array and a position"),
    }
}

fn element_gives(given: &[DataType]) -> Result<DataType> {
    Ok(match given.first() {
        Some(DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(fields) => {
                fields.get(1).map_or(DataType::Utf8, |value| value.data_type().clone())
            }
            _ => DataType::Utf8,
        },
        Some(DataType::List(item)) => item.data_type().clone(),
        _ => DataType::Utf8,
    })
}

fn element_at(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [holder, key] = columns else { return plan_err!("element_at takes two arguments") };
    match holder.data_type() {
        DataType::Map(..) => map_value(holder, key),
        DataType::List(_) => list_element(holder, key),
        _ => member(columns),
    }
}

/// The last member of that name, of JSON objects.
fn member(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut keys = strings(columns, 1)?.iter();
    Ok(map_text(strings(columns, 0)?, |text| {
        let key = keys.next().flatten()?;
        let mut found = None;
        for member in members(text.trim_ascii().as_bytes()).ok()? {
            let member = member.ok()?;
            if event::json::key_is(member.key, key) {
                found = Some(member.value);
            }
        }
        scalar_or_json(found?)
    }))
}

fn map_value(holder: &ArrayRef, key: &ArrayRef) -> Result<ArrayRef> {
    let maps = holder.as_map();
    let keys = arrow::compute::cast(maps.keys(), &DataType::Utf8)?;
    let wanted = arrow::compute::cast(key, &DataType::Utf8)?;
    let (keys, wanted) = (keys.as_string::<i32>(), wanted.as_string::<i32>());
    let mut places = UInt64Builder::with_capacity(maps.len());
    for (row, range) in maps.offsets().windows(2).enumerate() {
        let place = match range {
            [from, to] if maps.is_valid(row) && wanted.is_valid(row) => {
                let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
                let (from, to) = range.unwrap_or_default();
                (from..to).rev().find(|at| keys.value(*at) == wanted.value(row))
            }
            _ => None,
        };
        places.append_option(place.map(|at| at as u64));
    }
    Ok(take(maps.values(), &places.finish(), None)?)
}

/// From 1 on; negative positions count from the end.
fn list_element(holder: &ArrayRef, position: &ArrayRef) -> Result<ArrayRef> {
    let lists = holder.as_list::<i32>();
    let positions = position.as_primitive::<Int64Type>();
    let mut places = UInt64Builder::with_capacity(lists.len());
    for (row, range) in lists.offsets().windows(2).enumerate() {
        let place = match range {
            [from, to] if lists.is_valid(row) && positions.is_valid(row) => {
                let (from, to) = (i64::from(*from), i64::from(*to));
                let at = match positions.value(row) {
                    0 => return plan_err!("element_at: positions in an array begin with 1"),
                    position if position > 0 => from.saturating_add(position - 1),
                    position => to.saturating_add(position),
                };
                (from..to).contains(&at).then(|| u64::try_from(at).ok()).flatten()
            }
            _ => None,
        };
        places.append_option(place);
    }
    Ok(take(lists.values(), &places.finish(), None)?)
}
