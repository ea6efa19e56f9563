//! Bytes: text as bytes, digests of them, and their spelling in letters.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, StringBuilder};
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use datafusion::common::{Result, plan_err};

use super::{Function, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("to_utf8", texts::<1>, binary, |columns| {
            of_text(columns, |text| Some(text.as_bytes().to_vec()))
        }),
        Function::new("from_utf8", one_binary, text, |columns| {
            to_text(columns, |bytes| String::from_utf8_lossy(bytes).into_owned())
        }),
        Function::new("md5", one_binary, binary, |columns| {
            to_bytes(columns, |bytes| <md5::Md5 as md5::Digest>::digest(bytes).to_vec())
        }),
        Function::new("sha1", one_binary, binary, |columns| {
            to_bytes(columns, |bytes| <sha1::Sha1 as sha1::Digest>::digest(bytes).to_vec())
        }),
        Function::new("sha256", one_binary, binary, |columns| {
            to_bytes(columns, |bytes| <sha2::Sha256 as sha2::Digest>::digest(bytes).to_vec())
        }),
        Function::new("sha512", one_binary, binary, |columns| {
            to_bytes(columns, |bytes| <sha2::Sha512 as sha2::Digest>::digest(bytes).to_vec())
        }),
        Function::new("to_hex", one_binary, text, |columns| {
            to_text(columns, |bytes| hex::encode_upper(bytes))
        }),
        Function::new("from_hex", texts::<1>, binary, |columns| {
            of_text(columns, |text| hex::decode(text).ok())
        }),
        Function::new("to_base64", one_binary, text, |columns| {
            to_text(columns, |bytes| STANDARD.encode(bytes))
        }),
        Function::new("from_base64", texts::<1>, binary, |columns| {
            of_text(columns, |text| STANDARD.decode(text).ok())
        }),
        Function::new("to_base64url", one_binary, text, |columns| {
            to_text(columns, |bytes| URL_SAFE.encode(bytes))
        }),
        Function::new("from_base64url", texts::<1>, binary, |columns| {
            of_text(columns, |text| {
                URL_SAFE.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
            })
        }),
    ]
}

pub(super) fn binary(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Binary)
}

fn one_binary(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [DataType::Binary | DataType::Null] => Ok(vec![DataType::Binary]),
        [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8] => {
            plan_err!("takes bytes: write to_utf8(…) around the text")
        }
        _ => plan_err!("takes bytes"),
    }
}

/// Bytes of texts; none of a text that is not spelt so.
fn of_text(columns: &[ArrayRef], make: fn(&str) -> Option<Vec<u8>>) -> Result<ArrayRef> {
    let mut made = BinaryBuilder::new();
    for text in strings(columns, 0)? {
        made.append_option(text.and_then(make));
    }
    Ok(Arc::new(made.finish()))
}

fn to_bytes(columns: &[ArrayRef], make: fn(&[u8]) -> Vec<u8>) -> Result<ArrayRef> {
    let mut made = BinaryBuilder::new();
    for bytes in bytes(columns)? {
        made.append_option(bytes.map(make));
    }
    Ok(Arc::new(made.finish()))
}

fn to_text(columns: &[ArrayRef], make: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let mut made = StringBuilder::new();
    for bytes in bytes(columns)? {
        made.append_option(bytes.map(make));
    }
    Ok(Arc::new(made.finish()))
}

fn bytes(columns: &[ArrayRef]) -> Result<&arrow::array::BinaryArray> {
    match columns.first().and_then(|column| column.as_binary_opt::<i32>()) {
        Some(bytes) => Ok(bytes),
        None => plan_err!("the argument is no bytes"),
    }
}
