//! What could not be read as an event, kept with its reason.
//!
//! A pass writes one object of NDJSON in zstd below `trail/<name>/quarantine/`,
//! named by its intent. A line of it:
//!
//! ```json
//! {"reason":"foreign_account","detail":"…","agent":"111122223333/main","record":42,"row":7,
//!  "line":"{\"eventVersion\":…}"}
//! ```
//!
//! `record` and `row` say where the line lies in the journal. `line` is the
//! line as it was delivered, or `line_hex` where it is not UTF-8. What a source
//! had set aside has its `source` and `position` there, and the whole mark,
//! bytes included, as `set_aside`. Of lines that are lost with a segment of the
//! journal there is one entry for each batch, without a line:
//!
//! ```json
//! {"reason":"segment_missing","detail":"journal/segment/….ndjson.zst","agent":"111122223333/main",
//!  "record":42,"row":0,"spool":"9f…","first_sequence":7,"last_sequence":9,"units":3}
//! ```

use std::collections::BTreeMap;
use std::io::Write;

use event::set_aside::{self, SetAside};
use integrity::SpoolId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::log::DamagedSegment;
use crate::row::{Rejected, RowSource};

/// The level at which quarantined lines are compressed.
const ZSTD_LEVEL: i32 = 1;

/// Collects the lines of one pass.
pub(crate) struct Quarantine {
    encoder: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    reasons: BTreeMap<String, u64>,
    lines: u64,
}

/// The lines of one pass, as the bytes of one object.
#[derive(Clone, Debug)]
pub(crate) struct Quarantined {
    /// The object's bytes.
    pub(crate) bytes: Vec<u8>,
    /// Units by reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Lines.
    pub(crate) lines: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    detail: &'a str,
    agent: String,
    record: u64,
    row: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_hex: Option<String>,
}

#[derive(Serialize)]
struct Lost<'a> {
    reason: &'a str,
    detail: &'a str,
    agent: String,
    record: u64,
    row: u64,
    spool: SpoolId,
    first_sequence: u64,
    last_sequence: u64,
    units: u64,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    orgtrail_set_aside: &'a RawValue,
}

impl Quarantine {
    /// One without lines; it costs nothing until there is one.
    pub(crate) fn new() -> Self {
        Self { encoder: None, reasons: BTreeMap::new(), lines: 0 }
    }

    /// Keeps a line. It counts as a unit unless it continues one.
    pub(crate) fn add(
        &mut self,
        line: &[u8],
        rejected: &Rejected,
        source: &RowSource<'_>,
    ) -> std::io::Result<()> {
        let mark = if set_aside::is_set_aside(line) { SetAside::parse(line) } else { None };
        let raw = mark.as_ref().and_then(|_| serde_json::from_slice::<Mark<'_>>(line).ok());
        let whole = if raw.is_some() { Some("") } else { std::str::from_utf8(line).ok() };
        let entry = Line {
            reason: rejected.reason.as_str(),
            detail: &rejected.detail,
            agent: format!("{}/{}", source.agent_account, source.agent),
            record: source.record,
            row: source.row,
            source: mark.as_ref().map(|mark| mark.source.as_str()),
            position: mark.as_ref().map(|mark| mark.position),
            line: whole.filter(|_| raw.is_none()),
            line_hex: whole.is_none().then(|| hex::encode(line)),
            set_aside: raw.map(|mark| mark.orgtrail_set_aside),
        };
        self.write(&entry)?;
        if !set_aside::is_continuation(line) {
            *self.reasons.entry(rejected.reason.as_str().to_owned()).or_default() += 1;
        }
        Ok(())
    }

    /// Accounts for lines that are lost with their segment.
    pub(crate) fn add_lost(&mut self, damaged: &DamagedSegment) -> std::io::Result<()> {
        for batch in &damaged.lost {
            self.write(&Lost {
                reason: damaged.reason(),
                detail: &damaged.segment,
                agent: format!("{}/{}", batch.account, batch.agent),
                record: damaged.record,
                row: batch.row,
                spool: batch.spool,
                first_sequence: batch.first,
                last_sequence: batch.last,
                units: batch.units,
            })?;
            *self.reasons.entry(damaged.reason().to_owned()).or_default() += batch.units;
        }
        Ok(())
    }

    fn write(&mut self, entry: &impl Serialize) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(entry)?;
        text.push(b'\n');
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        };
        encoder.write_all(&text)?;
        self.lines += 1;
        Ok(())
    }

    /// Units so far.
    pub(crate) fn units(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// The object, if there was a line.
    pub(crate) fn finish(self) -> std::io::Result<Option<Quarantined>> {
        let Some(encoder) = self.encoder else { return Ok(None) };
        let bytes = encoder.finish()?;
        Ok(Some(Quarantined { bytes, reasons: self.reasons, lines: self.lines }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::QuarantineReason;

    #[test]
    fn a_quarantined_line_keeps_its_bytes_and_says_where_it_came_from() {
        let source = RowSource {
            agent_account: "111122223333".parse().expect("an account"),
            agent: "main",
            speaks_for: None,
            committed_at: "2026-11-20T00:00:00Z".parse().expect("a time"),
            record: 42,
            row: 7,
        };
        let rejected = Rejected {
            reason: QuarantineReason::NoRecord(set_aside::Reason::Syntax),
            detail: "at byte 0".into(),
        };
        let aside = SetAside {
            part: 2,
            parts: Some(2),
            reason: set_aside::Reason::Truncated,
            detail: String::new(),
            source: "a.gz".into(),
            position: 9,
            length: 2,
            sha256: [0; 32],
            bytes: Some(b"ab".to_vec()),
        };
        let mut quarantine = Quarantine::new();
        quarantine.add(b"{\"a\"", &rejected, &source).expect("add");
        quarantine.add(b"\xff\x00", &rejected, &source).expect("add");
        quarantine.add(&aside.to_line(), &rejected, &source).expect("add");
        assert_eq!(quarantine.units(), 2, "a second part is no unit");
        let object = quarantine.finish().expect("finish").expect("lines");
        assert_eq!(object.lines, 3);
        let text = zstd::decode_all(object.bytes.as_slice()).expect("zstd");
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
        assert_eq!(lines[0]["line"], "{\"a\"");
        assert_eq!(lines[0]["agent"], "111122223333/main");
        assert_eq!(lines[1]["line_hex"], "ff00");
        assert_eq!(lines[2]["source"], "a.gz");
        assert_eq!(lines[2]["position"], 9);
        assert_eq!(lines[2]["set_aside"]["bytes"], "YWI=");
        assert!(lines[2].get("line").is_none());
    }
}
