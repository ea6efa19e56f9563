//! Addresses of the web: their parts, and text as it stands in them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringBuilder};
use datafusion::common::Result;
use url::{Url, form_urlencoded};

use super::{Function, bigint, map_text, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("url_extract_protocol", texts::<1>, text, |columns| {
            parts(columns, |url| Some(url.scheme().into()))
        }),
        Function::new("url_extract_host", texts::<1>, text, |columns| {
            parts(columns, |url| Some(url.host_str()?.into()))
        }),
        Function::new("url_extract_port", texts::<1>, bigint, |columns| {
            let texts = strings(columns, 0)?.iter();
            let ports = texts.map(|text| Url::parse(text?).ok()?.port().map(i64::from));
            Ok(Arc::new(ports.collect::<Int64Array>()))
        }),
        Function::new("url_extract_path", texts::<1>, text, |columns| {
            parts(columns, |url| Some(url.path().into()))
        }),
        Function::new("url_extract_query", texts::<1>, text, |columns| {
            parts(columns, |url| Some(url.query()?.into()))
        }),
        Function::new("url_extract_fragment", texts::<1>, text, |columns| {
            parts(columns, |url| Some(url.fragment()?.into()))
        }),
        Function::new("url_extract_parameter", texts::<2>, text, parameter),
        Function::new("url_encode", texts::<1>, text, |columns| {
            Ok(map_text(strings(columns, 0)?, |text| {
                Some(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into())
            }))
        }),
        Function::new("url_decode", texts::<1>, text, |columns| {
            Ok(map_text(strings(columns, 0)?, |text| Some(decoded(text))))
        }),
    ]
}

/// What `part` says of each text that is an address of the web.
fn parts(columns: &[ArrayRef], part: fn(&Url) -> Option<Cow<'_, str>>) -> Result<ArrayRef> {
    Ok(map_text(strings(columns, 0)?, |text| {
        let url = Url::parse(text).ok()?;
        part(&url).map(|part| part.into_owned().into())
    }))
}

/// The first value of a parameter of that name.
fn parameter(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut found = StringBuilder::new();
    for (text, name) in strings(columns, 0)?.iter().zip(strings(columns, 1)?) {
        let url = text.and_then(|text| Url::parse(text).ok());
        let value = url.as_ref().zip(name).and_then(|(url, name)| {
            let mut pairs = url.query_pairs();
            pairs.find(|(known, _)| known == name).map(|(_, value)| value)
        });
        found.append_option(value);
    }
    Ok(Arc::new(found.finish()))
}

/// Text as it was before it was encoded for a form or a query.
fn decoded(text: &str) -> Cow<'static, str> {
    // The whole text is one value.
    let value = format!("={}", text.replace('&', "%26"));
    let value = form_urlencoded::parse(value.as_bytes()).next().map(|(_, value)| value);
    value.unwrap_or_default().into_owned().into()
}
