//! Rows: of JSON, by the fields that a cast names, and a row's field by its position.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanBufferBuilder, ListArray, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, plan_err};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use event::json::{elements, members, unescape};

use super::json::scalar_or_json;
use super::{Function, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        // What casts of JSON to ROW(…) and ARRAY(ROW(…)) become.
        Function::new("json_row", texts::<2>, text, |columns| {
            let mut rows = Rows::of(columns)?;
            for text in strings(columns, 0)? {
                rows.add(text.map(|text| text.trim_ascii().as_bytes()));
            }
            Ok(Arc::new(rows.finish()?))
        })
        .typed(|_, constants| Ok(DataType::Struct(fields(constants)?))),
        Function::new("json_rows", texts::<2>, text, json_rows).typed(|_, constants| {
            let row = DataType::Struct(fields(constants)?);
            Ok(DataType::List(Arc::new(Field::new_list_field(row, true))))
        }),
        // What the names of UNNEST's columns become (see `dialect::unnest`).
        Function::new(
            "row_field",
            |given| match given {
                [row @ DataType::Struct(_), _] => Ok(vec![row.clone(), DataType::Utf8]),
                _ => plan_err!("UNNEST with several columns takes an array of rows, or a map"),
            },
            text,
            |_| plan_err!("row_field is always said as get_field"),
        )
        .typed(|given, constants| match (given, constants) {
            ([DataType::Struct(fields), _], [_, Some(position)]) => {
                Ok(field_at(fields, position)?.data_type().clone())
            }
            _ => plan_err!("row_field takes a row and a position"),
        })
        .simplified(as_field),
    ]
}

/// Written as text, since `UNNEST` names no fields.
fn field_at<'a>(fields: &'a Fields, position: &str) -> Result<&'a Arc<Field>> {
    match position.parse::<usize>().ok().and_then(|position| fields.get(position)) {
        Some(field) => Ok(field),
        None => plan_err!("a row of UNNEST has {} fields only", fields.len()),
    }
}

fn as_field(arguments: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
    let [row, Expr::Literal(position, _)] = arguments.as_slice() else {
        return Ok(ExprSimplifyResult::Original(arguments));
    };
    match (info.get_data_type(row)?, position.try_as_str().flatten()) {
        (DataType::Struct(fields), Some(position)) => {
            let name = field_at(&fields, position)?.name().clone();
            Ok(ExprSimplifyResult::Simplified(row.clone().field(name)))
        }
        _ => Ok(ExprSimplifyResult::Original(arguments)),
    }
}

/// The fields of a row, from lines of a type and a name.
fn fields(constants: &[Option<&str>]) -> Result<Fields> {
    let [_, Some(spec)] = constants else { return plan_err!("a row has fields") };
    let mut fields = Vec::new();
    for line in spec.lines() {
        let (kind, name) = line.split_once(' ').unwrap_or((line, ""));
        let kind = match kind {
            "bigint" => DataType::Int64,
            "double" => DataType::Float64,
            "boolean" => DataType::Boolean,
            _ => DataType::Utf8,
        };
        fields.push(Field::new(name, kind, true));
    }
    Ok(fields.into())
}

fn json_rows(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut rows = Rows::of(columns)?;
    let texts = strings(columns, 0)?;
    let (mut lengths, mut valid) = (Vec::with_capacity(texts.len()), Vec::new());
    for text in texts {
        let array = text.and_then(|text| elements(text.trim_ascii().as_bytes()).ok());
        let before = rows.valid.len();
        valid.push(array.is_some());
        for element in array.into_iter().flatten().filter_map(std::result::Result::ok) {
            rows.add(Some(element));
        }
        lengths.push(rows.valid.len() - before);
    }
    let rows = rows.finish()?;
    let item = Arc::new(Field::new_list_field(rows.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = Some(NullBuffer::from(valid));
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(rows), nulls)?))
}

/// Rows in the making.
struct Rows {
    fields: Fields,
    columns: Vec<StringBuilder>,
    valid: BooleanBufferBuilder,
}

impl Rows {
    fn of(columns: &[ArrayRef]) -> Result<Self> {
        let spec = strings(columns, 1)?.iter().next().flatten();
        let fields = fields(&[None, spec])?;
        let columns = fields.iter().map(|_| StringBuilder::new()).collect();
        Ok(Self { fields, columns, valid: BooleanBufferBuilder::new(0) })
    }

    /// A row of an object's members by their names, or of an array's elements by their
    /// places; null of anything else.
    fn add(&mut self, value: Option<&[u8]>) {
        let mut found: Vec<Option<&[u8]>> = vec![None; self.fields.len()];
        let mut is_row = false;
        if let Some(members) = value.and_then(|value| members(value).ok()) {
            is_row = true;
            for member in members.filter_map(std::result::Result::ok) {
                let Ok(key) = unescape(member.key) else { continue };
                let is_named = |field: &Arc<Field>| field.name().eq_ignore_ascii_case(&key);
                let place = self.fields.iter().position(is_named);
                if let Some(slot) = place.and_then(|place| found.get_mut(place)) {
                    *slot = Some(member.value);
                }
            }
        } else if let Some(elements) = value.and_then(|value| elements(value).ok()) {
            is_row = true;
            let elements = elements.filter_map(std::result::Result::ok);
            found.iter_mut().zip(elements).for_each(|(slot, element)| *slot = Some(element));
        }
        self.valid.append(is_row);
        for (column, value) in self.columns.iter_mut().zip(found) {
            column.append_option(value.and_then(scalar_or_json));
        }
    }

    fn finish(self) -> Result<StructArray> {
        let Self { fields, columns, mut valid } = self;
        let rows = valid.len();
        let columns = columns.into_iter().zip(&fields).map(|(mut texts, field)| {
            let texts: ArrayRef = Arc::new(texts.finish());
            // A text that is no number is null.
            cast(&texts, field.data_type())
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let nulls = Some(NullBuffer::new(valid.finish()));
        Ok(StructArray::try_new_with_length(fields, columns, nulls, rows)?)
    }
}
