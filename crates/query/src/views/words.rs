//! One meaning in the words of each engine.

use super::Column;
use crate::functions::record_columns;

/// An engine's SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    DataFusion,
    DuckDb,
    /// Athena's and Trino's.
    Trino,
    Spark,
}

impl Words {
    /// Whether an engine can make such a column without us: the whole record is
    /// put together by code of ours.
    pub(super) fn has(self, column: &Column) -> bool {
        self == Self::DataFusion || !matches!(column, Column::Record(_) | Column::RecordHash(_))
    }

    /// A name that may be a word of the language.
    pub(super) fn quoted(self, name: &str) -> String {
        match self {
            Self::Spark => format!("`{name}`"),
            _ if matches!(name, "timestamp" | "date" | "year" | "month" | "day") => {
                format!("\"{name}\"")
            }
            _ => name.to_owned(),
        }
    }

    /// A column's expression, at some depth of structs.
    pub(super) fn column(self, column: &Column, depth: usize) -> String {
        match column {
            Column::Same(name) => (*name).to_owned(),
            Column::Member(_, path) => (*path).to_owned(),
            Column::Struct(_, members) => self.row(members, depth),
            Column::Iso(name) => match self {
                Self::DataFusion => format!("event_time({name})"),
                Self::DuckDb => {
                    format!("strftime({name} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ')")
                }
                Self::Trino => format!("date_format({name}, '%Y-%m-%dT%H:%i:%sZ')"),
                Self::Spark => format!(
                    "date_format(to_utc_timestamp({name}, current_timezone()), \"yyyy-MM-dd'T'HH:mm:ss'Z'\")"
                ),
            },
            Column::Truth(name) => match self {
                Self::Spark => format!("CAST({name} AS STRING)"),
                _ => format!("CAST({name} AS VARCHAR)"),
            },
            Column::Map(_, path) => self.map(path),
            Column::Json(_, json, key) => match self {
                Self::DataFusion => format!("json_get({json}, '{key}')"),
                Self::DuckDb => format!("{json} ->> '$.{key}'"),
                Self::Trino => format!("json_extract_scalar({json}, '$.{key}')"),
                Self::Spark => format!("get_json_object({json}, '$.{key}')"),
            },
            Column::Resources(name) => match self {
                Self::DataFusion => format!("athena_resources({name})"),
                Self::DuckDb => format!(
                    "list_transform({name}, lambda r: {{'arn': r.arn, 'accountid': r.accountid, 'type': r.type}})"
                ),
                Self::Trino => format!(
                    "transform({name}, r -> CAST(ROW(r.arn, r.accountid, r.type) AS ROW(arn varchar, accountid varchar, type varchar)))"
                ),
                Self::Spark => format!(
                    "transform({name}, r -> named_struct('arn', r.arn, 'accountid', r.accountid, 'type', r.type))"
                ),
            },
            Column::Day(_, format) => match self {
                Self::DataFusion => format!("date_format(date, '{format}')"),
                Self::DuckDb => format!("strftime(date, '{format}')"),
                Self::Trino => format!("date_format(\"date\", '{format}')"),
                Self::Spark => {
                    let format =
                        format.replace("%Y", "yyyy").replace("%m", "MM").replace("%d", "dd");
                    format!("date_format(`date`, '{format}')")
                }
            },
            Column::Record(_) => format!("event_json({})", record_columns().join(", ")),
            Column::RecordHash(_) => {
                format!("sha256_hex(event_json({}))", record_columns().join(", "))
            }
        }
    }

    fn row(self, members: &[Column], depth: usize) -> String {
        let indent = "  ".repeat(depth + 1);
        let parts = members.iter().map(|member| {
            let made = self.column(member, depth + 1);
            match self {
                Self::DuckDb => format!("{indent}{} := {made}", self.quoted(member.name())),
                Self::Trino => format!("{indent}{made}"),
                _ => format!("{indent}'{}', {made}", member.name()),
            }
        });
        let parts = parts.collect::<Vec<_>>().join(",\n");
        match self {
            Self::DuckDb => format!("struct_pack(\n{parts})"),
            Self::Trino => {
                format!("CAST(ROW(\n{parts}) AS {})", row_type(members))
            }
            _ => format!("named_struct(\n{parts})"),
        }
    }

    /// A JSON object as a map of texts: a string's own text, any other value's JSON.
    fn map(self, json: &str) -> String {
        match self {
            Self::DataFusion => format!("json_map({json})"),
            Self::DuckDb => format!("json_text_map({json})"),
            Self::Trino => format!(
                "transform_values(TRY_CAST(TRY(json_parse({json})) AS MAP(VARCHAR, JSON)), \
                 (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v)))"
            ),
            Self::Spark => format!("from_json({json}, 'map<string,string>')"),
        }
    }
}

fn row_type(members: &[Column]) -> String {
    let members = members.iter().map(|member| match member {
        Column::Struct(name, members) => format!("{name} {}", row_type(members)),
        Column::Map(name, _) => format!("{name} MAP(VARCHAR, VARCHAR)"),
        member => format!("{} varchar", member.name()),
    });
    format!("ROW({})", members.collect::<Vec<_>>().join(", "))
}
