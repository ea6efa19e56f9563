//! Paths into JSON text: `a.b[0]`, and `a["odd.key"]` for keys with dots.

use std::borrow::Cow;

use event::json::{elements, key_is, members, string_contents, unescape};

/// Steps that one path may have.
const STEPS_MAX: usize = 64;

/// A way from a JSON value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no path into JSON: write a.b[0], or a[\"odd.key\"], with $. before it in json_extract"
)]
pub struct InvalidPath(String);

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath(text.to_owned());
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = step(rest, steps.is_empty()).ok_or_else(invalid)?;
            steps.push(step);
            rest = after;
        }
        if steps.is_empty() || steps.len() > STEPS_MAX {
            return Err(invalid());
        }
        Ok(Self(steps))
    }

    /// Reads a path as Trino writes it: `$`, `$.a.b[0]`, `$["odd.key"]`.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn parse_rooted(text: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath(text.to_owned());
        // Nothing here depends on how strict a path of SQL/JSON is.
        let plain = text.strip_prefix("lax ").or_else(|| text.strip_prefix("strict "));
        let rest = plain.unwrap_or(text).trim_ascii().strip_prefix('$').ok_or_else(invalid)?;
        if rest.is_empty() {
            return Ok(Self(Vec::new()));
        }
        Self::parse(rest.strip_prefix('.').unwrap_or(rest)).map_err(|_| invalid())
    }

    /// The value there: a string's text, any other value's JSON. None if it is
    /// absent or `null`, or `json` is no JSON.
    #[must_use]
    pub fn get<'a>(&self, json: &'a str) -> Option<Cow<'a, str>> {
        let value = self.find(json)?;
        match string_contents(value) {
            Some(contents) => Some(match unescape(contents) {
                Ok(text) => text,
                // A lone surrogate has no text; its JSON has.
                Err(_) => Cow::Borrowed(std::str::from_utf8(value).ok()?),
            }),
            None if value == b"null" => None,
            None => std::str::from_utf8(value).ok().map(Cow::Borrowed),
        }
    }

    /// The bytes of the value there.
    pub(crate) fn find<'a>(&self, json: &'a str) -> Option<&'a [u8]> {
        let mut value = json.trim_ascii().as_bytes();
        for step in &self.0 {
            value = match step {
                Step::Key(key) => {
                    let mut found = None;
                    for member in members(value).ok()? {
                        let member = member.ok()?;
                        if key_is(member.key, key) {
                            found = Some(member.value);
                            break;
                        }
                    }
                    found?
                }
                Step::Index(index) => elements(value).ok()?.nth(*index)?.ok()?,
            };
        }
        (!value.is_empty()).then_some(value)
    }
}

/// Takes one step off a path.
fn step(text: &str, first: bool) -> Option<(Step, &str)> {
    for (open, close) in [("[\"", "\"]"), ("['", "']")] {
        if let Some(inside) = text.strip_prefix(open) {
            let (key, after) = inside.split_once(close)?;
            return Some((Step::Key(key.to_owned()), after));
        }
    }
    if let Some(inside) = text.strip_prefix('[') {
        let (index, after) = inside.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), after));
    }
    let text = if first { text } else { text.strip_prefix('.')? };
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    (!key.is_empty()).then(|| (Step::Key(key.to_owned()), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_text_or_to_nothing() {
        let json = r#"{"a":{"b":[1,{"c":"x\u0041\n"},null,true]},"odd.key":{"":"empty"},"s":"\ud800","n":1.50}"#;
        let check = |path: &str, value: Option<&str>| {
            let path = JsonPath::parse(path).expect("a path");
            assert_eq!(path.get(json).as_deref(), value, "{path:?}");
        };
        check("a.b[0]", Some("1"));
        check("a.b[1].c", Some("xA\n"));
        check("a.b[1]", Some(r#"{"c":"x\u0041\n"}"#));
        check("a.b[2]", None);
        check("a.b[3]", Some("true"));
        check("a.b[4]", None);
        check("a.x.y", None);
        check("a[0]", None);
        check("[\"odd.key\"][\"\"]", Some("empty"));
        check("s", Some("\"\\ud800\""));
        check("n", Some("1.50"));
        assert_eq!(JsonPath::parse("[1]").expect("a path").get(" [7, 8] ").as_deref(), Some("8"));
        assert_eq!(JsonPath::parse("a").expect("a path").get("not json"), None);
        for text in ["", ".a", "a.", "a..b", "a[", "a[x]", "a[\"b]", "a]b[0"] {
            assert!(JsonPath::parse(text).is_err() || text == "a]b[0", "{text}");
        }
    }
}
