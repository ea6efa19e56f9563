//! The content of a source object, whatever it is packed in.
//!
//! What an object is packed in is told by its first bytes: gzip (of any number
//! of members), zstd (of any number of frames), or nothing. Memory is bounded:
//! one raw buffer and the decoder's own window, which is 32 KiB for gzip and at
//! most 2^[`ZSTD_WINDOW_LOG_MAX`] bytes for zstd; a frame that asks for more
//! cannot be inflated here.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use seam::DiskFile;
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

/// The most memory a zstd frame may ask for: 16 MiB, which is more than level
/// 19 uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// How much of a packed file is read at once.
const RAW_BUFFER_BYTES: usize = 128 << 10;

/// How much zstd inflates in one call: an error loses what its call had made,
/// so that much at most is kept raw instead of inflated.
const ZSTD_STEP_BYTES: usize = 128 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What zstd's skippable frames begin with, but for the first byte (0x50-0x5f).
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// What came of asking for content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The object ends here, and may.
    End,
    /// The object ends inside what it is packed in.
    Cut,
    /// From this raw offset on nothing can be inflated.
    Broken {
        /// Offset in the object itself.
        at: u64,
        /// Why not.
        why: String,
    },
}

enum Packing {
    Unknown,
    Plain,
    Gzip(Decompress),
    Zstd(Box<Decoder<'static>>),
    Broken { at: u64, why: String },
}

/// Reads an object's content from its beginning.
pub(crate) struct Content {
    packing: Packing,
    /// Whether a gzip member or zstd frame has begun and not ended.
    open: bool,
    /// Whether the decoder gave all that it could make of the raw bytes so far.
    drained: bool,
    /// Where the open member begins, as long as it gave no content.
    opened_at: Option<u64>,
    raw: Vec<u8>,
    start: usize,
    /// Raw offset after the last byte in `raw`.
    raw_at: u64,
}

impl Content {
    /// The content that is packed from the raw offset `base` on.
    pub(crate) fn new(base: u64) -> Self {
        Self {
            packing: Packing::Unknown,
            open: false,
            drained: false,
            opened_at: None,
            raw: Vec::new(),
            start: 0,
            raw_at: base,
        }
    }

    /// Whether the object is not packed, as far as was seen.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.packing, Packing::Plain | Packing::Unknown)
    }

    /// Finds out what the object is packed in; a plain one goes on `skip` bytes
    /// later. How many bytes are left to be skipped.
    pub(crate) fn begin(&mut self, file: &mut dyn DiskFile, skip: u64) -> io::Result<u64> {
        self.recognise(file)?;
        if !matches!(self.packing, Packing::Plain) {
            return Ok(skip);
        }
        self.raw_at = self.raw_at - self.held() as u64 + skip;
        self.raw.clear();
        self.start = 0;
        Ok(0)
    }

    /// Fills `out`, which is not empty, from its beginning with what comes next.
    ///
    /// After [`Filled::End`] and [`Filled::Cut`] it may be called again, when
    /// the file has grown.
    pub(crate) fn fill(&mut self, file: &mut dyn DiskFile, out: &mut [u8]) -> io::Result<Filled> {
        if matches!(self.packing, Packing::Unknown) && !self.recognise(file)? {
            return Ok(if self.held() == 0 { Filled::End } else { Filled::Cut });
        }
        loop {
            if let Packing::Broken { at, why } = &self.packing {
                return Ok(Filled::Broken { at: *at, why: why.clone() });
            }
            if matches!(self.packing, Packing::Plain) {
                return self.copy(file, out);
            }
            if self.held() == 0 && !self.refill(file)? {
                if !self.open {
                    return Ok(Filled::End);
                }
                if self.drained {
                    return Ok(Filled::Cut);
                }
            }
            if !self.open && !self.open_next(file)? {
                return Ok(Filled::Cut);
            }
            let made = self.inflate(out);
            if made > 0 {
                return Ok(Filled::Bytes(made));
            }
        }
    }

    /// Raw offset after the last byte that was read.
    pub(crate) fn raw_at(&self) -> u64 {
        self.raw_at
    }

    fn held(&self) -> usize {
        self.raw.len() - self.start
    }

    fn held_bytes(&self) -> &[u8] {
        self.raw.get(self.start..).unwrap_or_default()
    }

    /// The raw offset of the first byte that was not consumed.
    fn consumed_to(&self) -> u64 {
        self.raw_at - self.held() as u64
    }

    /// Reads more raw bytes behind those held; false at the end of the file.
    fn refill(&mut self, file: &mut dyn DiskFile) -> io::Result<bool> {
        self.raw.drain(..self.start);
        self.start = 0;
        let held = self.raw.len();
        self.raw.resize(RAW_BUFFER_BYTES.max(held * 2), 0);
        let room = self.raw.get_mut(held..).unwrap_or_default();
        let read = file.read_at(room, self.raw_at);
        self.raw.truncate(held + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.raw_at += read as u64;
        self.drained &= read == 0;
        Ok(read > 0)
    }

    /// Looks at the first bytes; false if there are too few to tell.
    fn recognise(&mut self, file: &mut dyn DiskFile) -> io::Result<bool> {
        while self.held() < ZSTD.len() && self.refill(file)? {}
        let held = self.held_bytes();
        let may_become = |magic: &[u8]| held.len() < magic.len() && magic.starts_with(held);
        if held.is_empty() || may_become(GZIP) || may_become(ZSTD) {
            return Ok(false);
        }
        self.packing = if held.starts_with(GZIP) {
            Packing::Gzip(Decompress::new_gzip(15))
        } else if is_zstd(held) {
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
            Packing::Zstd(Box::new(decoder))
        } else {
            Packing::Plain
        };
        Ok(true)
    }

    /// Opens the next member or frame, of which at least one byte is held;
    /// false if it is too short to be told.
    fn open_next(&mut self, file: &mut dyn DiskFile) -> io::Result<bool> {
        while self.held() < ZSTD.len() && self.refill(file)? {}
        let begins = match &self.packing {
            Packing::Gzip(_) => self.held_bytes().starts_with(GZIP),
            _ => is_zstd(self.held_bytes()),
        };
        let magic = if matches!(self.packing, Packing::Gzip(_)) { GZIP } else { ZSTD };
        if begins {
            if let Packing::Gzip(inflater) = &mut self.packing {
                *inflater = Decompress::new_gzip(15);
            }
            self.open = true;
            self.opened_at = Some(self.consumed_to());
        } else if magic.starts_with(self.held_bytes()) {
            return Ok(false);
        } else {
            self.break_off("bytes after the end of the compressed stream");
        }
        Ok(true)
    }

    /// One step of the decoder; how many bytes it made.
    fn inflate(&mut self, out: &mut [u8]) -> usize {
        let input = self.raw.get(self.start..).unwrap_or_default();
        let (read, made, outcome) = match &mut self.packing {
            Packing::Gzip(inflater) => {
                let (in_before, out_before) = (inflater.total_in(), inflater.total_out());
                let outcome = inflater.decompress(input, out, FlushDecompress::None);
                let read = usize::try_from(inflater.total_in() - in_before).unwrap_or(input.len());
                let made = usize::try_from(inflater.total_out() - out_before).unwrap_or(out.len());
                let ended = outcome.map(|status| status == Status::StreamEnd);
                // Its own words depend on how it was called, and a unit that is read
                // again must be the same.
                (read, made, ended.map_err(|_| "the deflate stream is damaged".to_owned()))
            }
            Packing::Zstd(decoder) => {
                let step = out.len().min(ZSTD_STEP_BYTES);
                let step = out.get_mut(..step).unwrap_or_default();
                match decoder.run_on_buffers(input, step) {
                    Ok(status) => {
                        (status.bytes_read, status.bytes_written, Ok(status.remaining == 0))
                    }
                    Err(error) => (0, 0, Err(error.to_string())),
                }
            }
            _ => return 0,
        };
        self.start += read;
        if made > 0 {
            self.opened_at = None;
        }
        match outcome {
            Ok(true) => {
                self.open = false;
                self.opened_at = None;
            }
            Ok(false) if read == 0 && made == 0 => {
                if self.held() > 0 {
                    self.break_off("the decoder makes no progress");
                }
                self.drained = true;
            }
            Ok(false) => {}
            Err(why) => self.break_off(&why),
        }
        made
    }

    fn break_off(&mut self, why: &str) {
        // A member that gave nothing is kept from its first byte.
        let at = self.opened_at.unwrap_or_else(|| self.consumed_to());
        self.packing = Packing::Broken { at, why: why.to_owned() };
    }

    fn copy(&mut self, file: &mut dyn DiskFile, out: &mut [u8]) -> io::Result<Filled> {
        let held = self.held_bytes();
        let read = if held.is_empty() {
            let read = file.read_at(out, self.raw_at)?;
            self.raw_at += read as u64;
            read
        } else {
            let count = held.len().min(out.len());
            out.iter_mut().zip(held).for_each(|(to, from)| *to = *from);
            self.start += count;
            count
        };
        Ok(if read == 0 { Filled::End } else { Filled::Bytes(read) })
    }
}

fn is_zstd(bytes: &[u8]) -> bool {
    let skippable = matches!(bytes.first(), Some(0x50..=0x5f));
    bytes.starts_with(ZSTD) || (skippable && bytes.get(1..4) == Some(ZSTD_SKIPPABLE))
}
