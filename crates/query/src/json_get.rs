//! The SQL function `json_get(text, path)`: one value out of a JSON column.
//!
//! The answer is text: a string's own, any other value's JSON. It is null where
//! the path leads nowhere, so `json_get(requestparameters, 'bucketName') =
//! 'logs'` reads as it should.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::{Result, exec_err, plan_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::json_path::JsonPath;

/// `json_get(text, path)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonGet {
    signature: Signature,
}

impl JsonGet {
    pub(crate) fn function() -> ScalarUDF {
        let text = vec![DataType::Utf8, DataType::Utf8];
        ScalarUDF::from(Self { signature: Signature::exact(text, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        "json_get"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, path] = args.args.as_slice() else {
            return exec_err!("json_get takes a text and a path");
        };
        let rows = args.number_rows;
        let text = text.to_array(rows)?;
        let text = as_string_array(&text)?;
        let found: ArrayRef = match path {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(path))) => {
                Arc::new(get(text, &parse(path)?))
            }
            ColumnarValue::Scalar(_) => Arc::new(StringArray::new_null(text.len())),
            ColumnarValue::Array(paths) => {
                let paths = as_string_array(paths)?;
                let mut found = StringBuilder::new();
                for (text, path) in text.iter().zip(paths) {
                    let path = path.map(parse).transpose()?;
                    found.append_option(
                        text.zip(path.as_ref()).and_then(|(text, path)| path.get(text)),
                    );
                }
                Arc::new(found.finish())
            }
        };
        Ok(ColumnarValue::Array(found))
    }
}

fn parse(path: &str) -> Result<JsonPath> {
    JsonPath::parse(path).map_err(|error| plan_datafusion_err!("{error}"))
}

fn get(texts: &StringArray, path: &JsonPath) -> StringArray {
    let mut found = StringBuilder::new();
    for text in texts {
        found.append_option(text.and_then(|text| path.get(text)));
    }
    found.finish()
}
