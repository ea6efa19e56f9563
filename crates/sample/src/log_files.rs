//! Writes a sample as the log files that CloudTrail delivers.
//!
//! `AWSLogs/<organization>/<account>/CloudTrail/<region>/<year>/<month>/<day>/`
//! `<account>_CloudTrail_<region>_<yyyymmddThhmmZ>_<16 letters>.json.gz`, each
//! one gzip stream of one object `{"Records":[…]}`. The day and the minute are
//! those of delivery, so a file may hold records of the day before.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;

use event::AccountId;

use crate::dice::{Dice, mix};
use crate::organization::Organization;
use crate::stamp::Stamp;

/// How records are grouped into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Files are delivered at multiples of this many seconds.
    pub delivery_secs: u32,
    /// A file waits for this many records, but not past the end of its day.
    pub records_min: usize,
    /// A file that has grown to this size is delivered at once.
    pub file_bytes_max: usize,
}

impl Default for Grouping {
    /// Every five minutes, about 2,500 files for 200,000 records in the usual
    /// shape.
    fn default() -> Self {
        Self { delivery_secs: 300, records_min: 100, file_bytes_max: 8 << 20 }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records in all files.
    pub records: u64,
    /// Files.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes of the records themselves.
    pub record_bytes: u64,
}

/// The records of one account and region that wait for their file.
#[derive(Default)]
struct Waiting {
    body: Vec<u8>,
    records: usize,
    day: i64,
}

impl Organization {
    /// Writes `n` records that end at `end` below `dir`, file by file, and
    /// tells `progress` after each file how many records are written.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_log_files(
        &self,
        dir: &Path,
        n: u64,
        end: Timestamp,
        grouping: Grouping,
        mut progress: impl FnMut(u64),
    ) -> io::Result<Written> {
        let mut writer = Writer {
            organization: self,
            dir,
            dice: Dice::new(mix(self.seed(), 0xf11e)),
            written: Written::default(),
        };
        let mut waiting: BTreeMap<(AccountId, &str), Waiting> = BTreeMap::new();
        let every = i64::from(grouping.delivery_secs.max(1));
        let mut slot = i64::MIN;
        for event in self.events(n, end) {
            let second = event.at.as_second();
            if second.div_euclid(every) != slot {
                slot = second.div_euclid(every);
                let day = second.div_euclid(86_400);
                for ((account, region), waiting) in &mut waiting {
                    if waiting.records >= grouping.records_min
                        || (waiting.records > 0 && waiting.day < day)
                    {
                        writer.deliver(*account, region, slot * every, waiting)?;
                        progress(writer.written.records);
                    }
                }
            }
            let place = (event.account, event.region.as_str());
            let file = waiting.entry(place).or_default();
            file.body.extend_from_slice(if file.records == 0 { br#"{"Records":["# } else { b"," });
            file.body.extend_from_slice(&event.record);
            file.day = if file.records == 0 { second.div_euclid(86_400) } else { file.day };
            file.records += 1;
            writer.written.record_bytes += event.record.len() as u64;
            if file.body.len() >= grouping.file_bytes_max {
                writer.deliver(place.0, place.1, (slot + 1) * every, file)?;
                progress(writer.written.records);
            }
        }
        for ((account, region), waiting) in &mut waiting {
            if waiting.records > 0 {
                writer.deliver(*account, region, (slot + 1) * every, waiting)?;
            }
        }
        progress(writer.written.records);
        Ok(writer.written)
    }
}

struct Writer<'a> {
    organization: &'a Organization,
    dir: &'a Path,
    dice: Dice,
    written: Written,
}

impl Writer<'_> {
    fn deliver(
        &mut self,
        account: AccountId,
        region: &str,
        second: i64,
        waiting: &mut Waiting,
    ) -> io::Result<()> {
        let time = Stamp::time(second);
        let day = time.strftime("%Y/%m/%d");
        let dir = self.dir.join(format!(
            "AWSLogs/{}/{account}/CloudTrail/{region}/{day}",
            self.organization.id()
        ));
        fs::create_dir_all(&dir)?;
        let mut unique = Vec::new();
        self.dice.base32(16, &mut unique);
        let unique = String::from_utf8_lossy(&unique);
        let name = format!(
            "{account}_CloudTrail_{region}_{}_{unique}.json.gz",
            time.strftime("%Y%m%dT%H%MZ")
        );
        waiting.body.extend_from_slice(b"]}");
        // No time stamp, so that the same sample is the same bytes.
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .write(Vec::with_capacity(waiting.body.len() / 4), Compression::new(4));
        gzip.write_all(&waiting.body)?;
        let bytes = gzip.finish()?;
        fs::write(dir.join(name), &bytes)?;
        self.written.records += waiting.records as u64;
        self.written.files += 1;
        self.written.bytes += bytes.len() as u64;
        waiting.body.clear();
        waiting.records = 0;
        Ok(())
    }
}
