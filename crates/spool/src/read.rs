//! Reading forward: one read of the disk for many frames, which share its buffer.

use bytes::Bytes;
use seam::{DiskFile, Open};

use crate::error::ReadError;
use crate::format::frame::{HEADER_LEN, Header};
use crate::segment::{Place, Run, Segment};
use crate::spool::{Frame, Spool};
use crate::window::read_full;

/// Where the last read stopped, so that the next need not look for its place.
pub(crate) struct Reader {
    segment: u64,
    file: Box<dyn DiskFile>,
    next: Place,
}

impl Spool {
    /// Durable frames from `from` on, without a hole between them and from one
    /// segment: as many as fit `bytes_max` bytes on disk, at least one if there
    /// is one, none at the end. Reading in order costs one read of the disk.
    ///
    /// # Errors
    /// See [`ReadError`]. A hole is never crossed silently.
    pub fn read(&mut self, from: u64, bytes_max: usize) -> Result<Vec<Frame>, ReadError> {
        if from <= self.released.0 {
            return Err(ReadError::Released { from, released: self.released.0 });
        }
        if from > self.durable {
            return Ok(Vec::new());
        }
        // A segment in which nothing can be read may lie between two others.
        let held = self.segments.iter().find_map(|one| Some((one, one.run_from(from)?)));
        let Some((segment, run)) = held else {
            return Err(ReadError::Hole { first: from, last: self.durable });
        };
        if from < run.first {
            return Err(ReadError::Hole { first: from, last: run.first - 1 });
        }

        let mut reader = match self.reader.take() {
            Some(reader) if reader.segment == segment.first => reader,
            _ => open_reader(self.disk.as_ref(), segment)?,
        };
        // Two runs can meet in their numbers with damage between their bytes.
        let in_place = (run.start..run.end).contains(&reader.next.offset);
        if reader.next.sequence != from || !in_place {
            reader.next = seek(&mut reader, segment, run, from)?;
        }
        let frames = read_run(&mut reader, segment, run, self.durable, bytes_max);
        self.reader = Some(reader);
        frames
    }

    /// Closes the file of a segment that is going to be unlinked.
    pub(crate) fn forget_reader(&mut self, segment: u64) {
        self.reader = self.reader.take().filter(|reader| reader.segment != segment);
    }
}

fn open_reader(disk: &dyn seam::Disk, segment: &Segment) -> Result<Reader, ReadError> {
    let file = disk.open(&segment.path, Open::Read).map_err(|source| ReadError::Io {
        doing: "open",
        path: segment.path.clone(),
        source,
    })?;
    Ok(Reader { segment: segment.first, file, next: Place { sequence: 0, offset: 0 } })
}

/// Walks from the nearest mark to `from`, header by header.
fn seek(reader: &mut Reader, segment: &Segment, run: Run, from: u64) -> Result<Place, ReadError> {
    let mut place = segment.mark_before(from, run);
    while place.sequence < from {
        let bytes = fetch(reader, segment, place.offset, HEADER_LEN)?;
        let header = decode(&bytes, segment, place)?;
        place.offset += header.frame_len() as u64;
        place.sequence += 1;
    }
    Ok(place)
}

fn read_run(
    reader: &mut Reader,
    segment: &Segment,
    run: Run,
    durable: u64,
    bytes_max: usize,
) -> Result<Vec<Frame>, ReadError> {
    let left = usize::try_from(run.end - reader.next.offset).unwrap_or(usize::MAX);
    let mut bytes =
        fetch(reader, segment, reader.next.offset, bytes_max.max(HEADER_LEN).min(left))?;
    let mut frames = Vec::new();
    while reader.next.sequence <= run.last.min(durable) {
        if bytes.len() < HEADER_LEN && !frames.is_empty() {
            break;
        }
        let header = decode(&bytes, segment, reader.next)?;
        if bytes.len() < header.frame_len() {
            if !frames.is_empty() {
                break;
            }
            // The first frame alone is longer than was asked for.
            bytes = fetch(reader, segment, reader.next.offset, header.frame_len())?;
        }
        if !header.covers(&bytes) {
            return Err(damaged(segment, reader.next));
        }
        let mut body = bytes.split_to(header.frame_len()).split_off(HEADER_LEN);
        let cursors = body.split_to(header.cursors_len);
        frames.push(Frame { sequence: header.sequence, leaf: header.leaf, cursors, payload: body });
        reader.next.offset += header.frame_len() as u64;
        reader.next.sequence += 1;
    }
    Ok(frames)
}

fn fetch(
    reader: &mut Reader,
    segment: &Segment,
    offset: u64,
    len: usize,
) -> Result<Bytes, ReadError> {
    let mut buffer = vec![0; len];
    let read = read_full(reader.file.as_mut(), &mut buffer, offset)
        .map_err(|source| ReadError::Io { doing: "read", path: segment.path.clone(), source })?;
    buffer.truncate(read);
    Ok(Bytes::from(buffer))
}

fn decode(bytes: &[u8], segment: &Segment, place: Place) -> Result<Header, ReadError> {
    Header::decode(bytes, segment.key, place.offset)
        .filter(|header| header.sequence == place.sequence)
        .ok_or_else(|| damaged(segment, place))
}

fn damaged(segment: &Segment, place: Place) -> ReadError {
    ReadError::Damaged { path: segment.path.clone(), at: place.offset, sequence: place.sequence }
}
