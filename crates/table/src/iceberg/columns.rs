//! The table's columns in Iceberg's words, with ids that stay theirs for good.
//!
//! An id follows from where a member stands among those of its object, two decimal
//! digits for each level, so a member that is appended to any of them changes no other.
//! Data files hold no ids; a mapping from names says them.

use serde_json::{Value, json};

use crate::schema::{
    AGENT, ANOMALIES, INDICATORS, JOURNAL_RECORD, JOURNAL_ROW, Member, NULLS, PARTITION_KEYS,
    RECORD, Shape, UNMAPPED,
};

/// The ids of account, region and date.
pub(super) const PARTITION_IDS: [u32; 3] = [1, 2, 3];

/// Columns that are no members of a record: name, id, type.
const OTHERS: [(&str, u32, &str); 6] = [
    (UNMAPPED, 11, "string"),
    (NULLS, 12, "string"),
    (ANOMALIES, 13, "string"),
    (AGENT, 14, "string"),
    (JOURNAL_RECORD, 15, "long"),
    (JOURNAL_ROW, 16, "long"),
];

/// The id of the list of what a row names, and of its items.
const INDICATORS_IDS: [u32; 2] = [17, 18];

/// What a top-level member's place counts for; the next level's counts for a hundredth.
const TOP: u32 = 1_000_000;

/// An array's element stands after all members that its object can have.
const ELEMENT: u32 = 99;

/// A column or a part of one.
struct Field {
    id: u32,
    name: &'static str,
    kind: Kind,
}

enum Kind {
    Plain(&'static str),
    Struct(Vec<Field>),
    /// A list of texts: the element's id.
    Texts(u32),
    /// A list of structs: the element's id and members.
    List(u32, Vec<Field>),
}

fn fields() -> Vec<Field> {
    let mut fields = members(RECORD, 0, TOP);
    let others =
        OTHERS.iter().map(|(name, id, kind)| Field { id: *id, name, kind: Kind::Plain(kind) });
    fields.extend(others);
    let [id, element] = INDICATORS_IDS;
    fields.push(Field { id, name: INDICATORS, kind: Kind::Texts(element) });
    let kinds = ["string", "string", "date"];
    for ((name, id), kind) in PARTITION_KEYS.into_iter().zip(PARTITION_IDS).zip(kinds) {
        fields.push(Field { id, name, kind: Kind::Plain(kind) });
    }
    fields
}

fn members(of: &'static [Member], base: u32, step: u32) -> Vec<Field> {
    let numbered = (1..).zip(of);
    let fields = numbered.map(|(place, member)| {
        let id = base + place * step;
        let kind = match &member.shape {
            Shape::Text | Shape::Json => Kind::Plain("string"),
            Shape::Boolean => Kind::Plain("boolean"),
            Shape::Time => Kind::Plain("timestamptz"),
            Shape::Struct(inner) => Kind::Struct(members(inner, id, step / 100)),
            Shape::List(inner) => {
                let inner = members(inner, id, step / 100);
                Kind::List(id + ELEMENT * (step / 100), inner)
            }
        };
        Field { id, name: member.column, kind }
    });
    fields.collect()
}

/// The id of `eventtime`.
pub(super) fn eventtime_id() -> u32 {
    fields().iter().find(|field| field.name == "eventtime").map_or(0, |field| field.id)
}

/// The schema, as the metadata of a table and the header of a manifest say it.
pub(super) fn schema() -> Value {
    json!({ "type": "struct", "schema-id": 0, "fields": typed(&fields()) })
}

/// The greatest id.
pub(super) fn last_id() -> u32 {
    fn greatest(fields: &[Field]) -> u32 {
        let of = |field: &Field| match &field.kind {
            Kind::Plain(_) => field.id,
            Kind::Struct(inner) => field.id.max(greatest(inner)),
            Kind::Texts(element) => field.id.max(*element),
            Kind::List(element, inner) => (*element).max(greatest(inner)),
        };
        fields.iter().map(of).max().unwrap_or(0)
    }
    greatest(&fields())
}

fn typed(fields: &[Field]) -> Value {
    let field = |field: &Field| {
        let kind = match &field.kind {
            Kind::Plain(name) => json!(name),
            Kind::Struct(inner) => json!({ "type": "struct", "fields": typed(inner) }),
            Kind::Texts(element) => json!({
                "type": "list",
                "element-id": element,
                "element-required": false,
                "element": "string",
            }),
            Kind::List(element, inner) => json!({
                "type": "list",
                "element-id": element,
                "element-required": false,
                "element": { "type": "struct", "fields": typed(inner) },
            }),
        };
        json!({ "id": field.id, "name": field.name, "required": false, "type": kind })
    };
    fields.iter().map(field).collect()
}

/// Which name in a data file is which id.
pub(super) fn name_mapping() -> Value {
    mapped(&fields())
}

fn mapped(fields: &[Field]) -> Value {
    let field = |field: &Field| {
        let inner = match &field.kind {
            Kind::Plain(_) => {
                return json!({ "field-id": field.id, "names": [field.name] });
            }
            Kind::Struct(inner) => mapped(inner),
            Kind::Texts(element) => json!([{ "field-id": element, "names": ["element"] }]),
            Kind::List(element, inner) => {
                json!([{ "field-id": element, "names": ["element"], "fields": mapped(inner) }])
            }
        };
        json!({ "field-id": field.id, "names": [field.name], "fields": inner })
    };
    fields.iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ids(value: &Value, found: &mut Vec<u64>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    match (key.as_str(), value.as_u64()) {
                        ("id" | "element-id", Some(id)) => found.push(id),
                        _ => ids(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| ids(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_column_has_an_id_of_its_own_that_stays() {
        let mut found = Vec::new();
        ids(&schema(), &mut found);
        let distinct: BTreeSet<u64> = found.iter().copied().collect();
        assert_eq!(distinct.len(), found.len());
        assert_eq!(distinct.last().copied(), Some(u64::from(last_id())));
        // What files of earlier releases are read by.
        let schema = schema();
        let id = |name: &str| {
            let fields = schema["fields"].as_array().expect("fields");
            fields.iter().find(|field| field["name"] == name).expect("a column")["id"].clone()
        };
        for (name, expected) in [
            ("eventversion", 1_000_000),
            ("useridentity", 2_000_000),
            ("eventtime", 3_000_000),
            ("eventid", 15_000_000),
            ("resources", 17_000_000),
            ("eventdata", 39_000_000),
            ("unmapped", 11),
            ("indicators", 17),
            ("date", 3),
        ] {
            assert_eq!(id(name), expected, "{name}");
        }
    }
}
