//! A JSON value as a tree, for comparing and for changing it.

use event::json::{elements, extent, members, skip_blank, string_contents, unescape};
use event::record::{Kind, classify};

#[derive(Clone, Debug)]
pub(crate) enum Json {
    /// A string, number or literal, as it stands.
    Plain(Vec<u8>),
    Array(Vec<Self>),
    /// Keys as they stand between their quotes.
    Object(Vec<(Vec<u8>, Self)>),
}

impl Json {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = text.trim_ascii();
        match text.first() {
            Some(b'{') => Self::Object(
                members(text)
                    .expect("an object")
                    .map(|member| member.expect("a member"))
                    .map(|member| (member.key.to_vec(), Self::parse(member.value)))
                    .collect(),
            ),
            Some(b'[') => Self::Array(
                elements(text)
                    .expect("an array")
                    .map(|element| Self::parse(element.expect("an element")))
                    .collect(),
            ),
            _ => Self::Plain(text.to_vec()),
        }
    }

    /// A text that is the same for equal values: members sorted by name, those
    /// of one name in their order, strings by what they mean.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Plain(raw) => match string_contents(raw) {
                Some(contents) => string(contents),
                None => String::from_utf8_lossy(raw).into_owned(),
            },
            Self::Array(values) => {
                format!("[{}]", values.iter().map(Self::canonical).collect::<Vec<_>>().join(","))
            }
            Self::Object(members) => {
                let mut named: Vec<_> =
                    members.iter().map(|(key, value)| (string(key), value.canonical())).collect();
                named.sort_by(|one, other| one.0.cmp(&other.0));
                let texts = named.iter().map(|(key, value)| format!("{key}:{value}"));
                format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).expect("utf-8")
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(raw) => out.extend_from_slice(raw),
            Self::Array(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b", " } else { b"" });
                    value.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
                    out.extend_from_slice(key);
                    out.extend_from_slice(b"\" :");
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn string(contents: &[u8]) -> String {
    match unescape(contents) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("half {}", String::from_utf8_lossy(contents)),
    }
}

/// All records in a file's content, at any depth; what is unreadable is left out.
pub(crate) fn records_in(content: &[u8], records: &mut Vec<Vec<u8>>) {
    let mut at = skip_blank(content, 0);
    while at < content.len() {
        let Ok(end) = extent(content, at) else { return };
        let value = &content[at..end];
        if std::str::from_utf8(value).is_ok() {
            records_of(&Json::parse(value), records);
        }
        at = skip_blank(content, end);
    }
}

fn records_of(value: &Json, records: &mut Vec<Vec<u8>>) {
    match value {
        Json::Object(members) => {
            let mut text = Vec::new();
            value.write(&mut text);
            if classify(&text) == Ok(Kind::Record) {
                records.push(text);
                return;
            }
            for (_, member) in members {
                records_of(member, records);
            }
        }
        Json::Array(values) => values.iter().for_each(|value| records_of(value, records)),
        Json::Plain(raw) => {
            // LookupEvents gives a record as a JSON string.
            let text = string_contents(raw).and_then(|contents| unescape(contents).ok());
            if let Some(text) = text.filter(|text| text.starts_with('{')) {
                records_in(text.as_bytes(), records);
            }
        }
    }
}
