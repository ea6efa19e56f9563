//! Rows chosen from several batches become one batch.
//!
//! Of a record's eighty columns most are null in most files. Arrow looks at every
//! value all the same; here a column without a value is made without looking.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::files::RowAt;

/// The rows at these places, in this order, of batches with the same columns.
pub(crate) fn choose(batches: &[&RecordBatch], rows: &[RowAt]) -> Result<RecordBatch, ArrowError> {
    let Some(first) = batches.first() else {
        return Err(ArrowError::InvalidArgumentError(
            "there is no batch to choose from".to_owned(),
        ));
    };
    let columns = (0..first.num_columns()).map(|index| {
        let arrays: Vec<&dyn Array> =
            batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        choose_values(&arrays, rows)
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(first.schema(), columns)
}

fn choose_values(arrays: &[&dyn Array], rows: &[RowAt]) -> Result<ArrayRef, ArrowError> {
    let Some(first) = arrays.first() else { return interleave(arrays, rows) };
    if arrays.iter().all(|array| array.null_count() == array.len()) {
        return Ok(new_null_array(first.data_type(), rows.len()));
    }
    let DataType::Struct(fields) = first.data_type() else { return interleave(arrays, rows) };
    let structs: Vec<&StructArray> = arrays.iter().map(|array| array.as_struct()).collect();
    let members = (0..fields.len()).map(|index| {
        let arrays: Vec<&dyn Array> =
            structs.iter().map(|array| array.column(index).as_ref()).collect();
        choose_values(&arrays, rows)
    });
    let members = members.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    let is_valid = |(batch, row): &RowAt| structs.get(*batch).is_some_and(|of| of.is_valid(*row));
    let nulls = structs.iter().any(|array| array.null_count() > 0);
    let nulls = nulls.then(|| NullBuffer::from_iter(rows.iter().map(is_valid)));
    let chosen = StructArray::try_new_with_length(fields.clone(), members, nulls, rows.len())?;
    Ok(Arc::new(chosen))
}

#[cfg(test)]
mod tests {
    use arrow::compute::interleave_record_batch;
    use arrow::json::ReaderBuilder;

    use super::*;
    use crate::schema::schema;

    fn batch(lines: &str) -> RecordBatch {
        let mut reader = ReaderBuilder::new(schema()).build(lines.as_bytes()).expect("a reader");
        reader.next().expect("rows").expect("rows")
    }

    #[test]
    fn chosen_rows_are_those_that_arrow_chooses() {
        let one = batch(
            r#"{"eventname":"A","useridentity":{"type":"Root","accesskeyid":"K"},"readonly":true,
                "orgtrail_record":1,"orgtrail_row":0,"orgtrail_agent":"a"}
               {"eventname":"B","resources":[{"arn":"r"},{}],
                "orgtrail_record":1,"orgtrail_row":1,"orgtrail_agent":"a"}"#,
        );
        let other = batch(
            r#"{"eventname":"C","useridentity":{"type":"Role"},"resources":[],
                "orgtrail_record":2,"orgtrail_row":0,"orgtrail_agent":"a"}"#,
        );
        let batches = [&one, &other];
        for rows in [vec![(1, 0), (0, 1), (0, 0), (0, 1)], vec![(0, 1)], vec![(1, 0)], vec![]] {
            let expected = interleave_record_batch(&batches, &rows).expect("interleave");
            assert_eq!(choose(&batches, &rows).expect("choose"), expected, "{rows:?}");
        }
    }
}
