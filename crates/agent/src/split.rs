//! Splits the content of a source object into records.
//!
//! What an object holds is told by its content, never by its name:
//! - CloudTrail log files, `{"Records":[…]}`, with any white space;
//! - records one a line, one after the other, or in an array, or one alone;
//! - EventBridge envelopes (the record is `detail`), in any of these orders;
//! - LookupEvents output, `{"Events":[…]}` or its items in any of these orders
//!   (the record is the text of `CloudTrailEvent`);
//!
//! each of them plain, gzip or zstd. White space and commas between records are
//! nothing, and so are a byte order mark at the start and the brackets around.
//! Everything else is set aside: one unit for each JSON value that is no
//! record, and one for each stretch that is no JSON.
//!
//! Memory is bounded: a window of 256 KiB, growing to 4 MiB for a piece that
//! needs it, and one part of a unit. What is longer than the window is set
//! aside while it streams by.
//!
//! Every piece comes with the [`Place`] after it. Splitting the same content
//! from any such place gives the pieces that follow, and no others.
//!
//! Layout: `content` unpacks, `window` holds a stretch, `object` says what an
//! object is, `damage` finds the way out of what is no JSON, `unit` sets aside,
//! `place` is where splitting goes on. What stays here is one state machine over
//! all forms at once, and is long because cutting it would part its states.

mod content;
mod damage;
mod object;
mod place;
mod unit;
mod window;

use std::collections::VecDeque;
use std::io;

use event::AccountId;
use event::json::{Fault, SyntaxError, extent, skip_blank};
use event::record::{Kind, RECORD_LIMIT_BYTES};
use event::set_aside::Reason;
use seam::DiskFile;

use content::{Content, Filled};
use damage::{Damage, Large, balanced_end};
use object::{Opening, Shape, inspect, member_opening, opening, opens_later, record_of};
pub(crate) use place::Place;
use place::{Frame, Frames};
use unit::Unit;
use window::Window;

/// What some editors write before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How much is read at once of what cannot be inflated.
const RAW_STEP_BYTES: usize = 256 << 10;

/// A line found, and the place after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The line that travels.
    pub(crate) line: Vec<u8>,
    /// Where splitting goes on after it.
    pub(crate) place: Place,
    /// Why and where the unit begins whose first part it is.
    pub(crate) set_aside: Option<(Reason, u64)>,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A piece.
    Found(Found),
    /// The object has no more bytes now. Call again when it has grown, or with
    /// `last` when it will not grow.
    Waiting(Wait),
    /// The object ended, and all of it was yielded.
    End,
}

/// What an object without more bytes waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: all there is was yielded.
    Clean,
    /// The end of a line that is being written, in an object of lines.
    Line,
    /// The end of a container, of a compressed stream, or of what is no JSON.
    Rest,
}

/// What is being done with the content at the window's start.
enum Mode {
    Pieces,
    Damage(Unit, Damage),
    Large(Unit, Large),
    Raw(Unit),
    Done,
}

/// What one look at the window came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something was consumed, or decided.
    On,
    /// More content is needed.
    More,
}

/// Splits one object.
pub(crate) struct Splitter {
    source: String,
    /// The account whose folder the object lies in, if its agent minds.
    folder: Option<AccountId>,
    content: Content,
    window: Window,
    begun: bool,
    base: u64,
    frames: Frames,
    /// Parts already yielded of the unit that begins where we resumed.
    part: u32,
    /// Raw offset to go on from, when the place was in raw bytes.
    raw_at: Option<u64>,
    mode: Mode,
    /// Whether a piece, or the beginning of a container, lies before: as it is known
    /// from a place, too.
    seen_piece: bool,
    /// How the content ended, once no more will come.
    ending: Option<Filled>,
    out: VecDeque<Found>,
}

impl Splitter {
    /// A splitter of the object named `source`, going on from `place`.
    /// `folder` is the account whose records alone belong there.
    pub(crate) fn new(source: String, folder: Option<AccountId>, place: Place) -> Self {
        Self {
            source,
            folder,
            content: Content::new(place.base),
            window: Window::new(place.at),
            begun: false,
            base: place.base,
            frames: place.frames,
            part: place.part,
            raw_at: place.raw.then_some(place.at),
            mode: Mode::Pieces,
            seen_piece: place.at > 0,
            ending: None,
            out: VecDeque::new(),
        }
    }

    /// Goes one step. An `UnexpectedEof` says that the object became shorter than
    /// what was read of it. `last` says that no more bytes will come, so that what is
    /// not whole is set aside instead of waited for.
    pub(crate) fn step(&mut self, file: &mut dyn DiskFile, last: bool) -> io::Result<Step> {
        if !self.begun {
            self.begin(file)?;
            self.begun = true;
        }
        loop {
            if let Some(found) = self.out.pop_front() {
                return Ok(Step::Found(found));
            }
            if matches!(self.mode, Mode::Done) {
                return Ok(Step::End);
            }
            if let Mode::Raw(_) = self.mode {
                self.raw(file)?;
                continue;
            }
            if self.look() == Look::On {
                continue;
            }
            if self.ending.is_some() {
                self.end();
                continue;
            }
            let room = self.window.room();
            match self.content.fill(file, room)? {
                Filled::Bytes(count) => self.window.filled(count),
                ended if last => self.ending = Some(ended),
                ended => return Ok(Step::Waiting(self.waits(&ended))),
            }
        }
    }

    /// Raw offset after the last byte that was read of the object.
    pub(crate) fn raw_at(&self) -> u64 {
        self.raw_at.unwrap_or_else(|| self.content.raw_at())
    }

    fn begin(&mut self, file: &mut dyn DiskFile) -> io::Result<()> {
        if let Some(at) = self.raw_at {
            self.start_raw(at, "bytes that cannot be inflated");
            return Ok(());
        }
        let mut skip = self.content.begin(file, self.window.at())?;
        if self.content.raw_at() > file.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while skip > 0 {
            let room = self.window.room();
            let count = usize::try_from(skip).unwrap_or(usize::MAX).min(room.len());
            let room = room.get_mut(..count).unwrap_or_default();
            let Filled::Bytes(count) = self.content.fill(file, room)? else { break };
            skip -= count as u64;
        }
        Ok(())
    }

    fn waits(&self, ended: &Filled) -> Wait {
        let top = matches!(self.mode, Mode::Pieces) && self.frames.is_empty();
        match ended {
            Filled::End if top && self.window.held().is_empty() => Wait::Clean,
            Filled::End if top && self.content.is_plain() => Wait::Line,
            _ => Wait::Rest,
        }
    }

    /// Whether looking again with more content may tell more.
    fn may_grow(&self) -> bool {
        self.ending.is_none() && !self.window.is_full()
    }

    /// The place at the window's start.
    fn place(&self) -> Place {
        let frames = self.frames;
        Place { base: self.base, at: self.window.at(), frames, part: 0, raw: false }
    }

    /// A unit that begins at the window's start.
    fn unit(&mut self, reason: Reason, detail: String) -> Unit {
        let part = std::mem::take(&mut self.part);
        Unit::new(&self.source, reason, detail, Place { part, ..self.place() })
    }

    // === one look at the window ===

    fn look(&mut self) -> Look {
        match std::mem::replace(&mut self.mode, Mode::Done) {
            Mode::Pieces => {
                self.mode = Mode::Pieces;
                self.piece()
            }
            Mode::Damage(unit, damage) => self.damage(unit, damage),
            Mode::Large(unit, large) => self.large(unit, large),
            raw_or_done => {
                self.mode = raw_or_done;
                Look::On
            }
        }
    }

    fn piece(&mut self) -> Look {
        let held = self.window.held();
        let mark = if self.base + self.window.at() > 0 { 0 } else { byte_order_mark(held) };
        if mark > 0 && held.len() < BYTE_ORDER_MARK.len() && self.ending.is_none() {
            return Look::More;
        }
        let blank = mark + separators(held.get(mark..).unwrap_or_default());
        self.window.consume(blank);
        let Some(&first) = self.window.held().first() else { return Look::More };
        match (self.frames.last(), first) {
            (Some(Frame::Array), b']') | (Some(Frame::Object), b'}') => {
                self.frames.pop();
                self.window.consume(1);
                Look::On
            }
            (None | Some(Frame::Array), b'{') => self.object(),
            (None | Some(Frame::Array), b'[') => self.array(),
            (None, _) => self.line(),
            (Some(Frame::Array), _) => self.value(),
            (Some(Frame::Object), b'"') => self.member(),
            (Some(Frame::Object), _) => self.damaged(Reason::Syntax, "no member of an object"),
        }
    }

    fn object(&mut self) -> Look {
        let held = self.window.held();
        let may_nest = self.frames.has_room_for(2);
        if may_nest {
            match opening(held) {
                Opening::Elements(at) => {
                    self.frames.push(Frame::Object);
                    self.frames.push(Frame::Array);
                    self.window.consume(at);
                    self.seen_piece = true;
                    return Look::On;
                }
                Opening::Unknown if self.may_grow() => return Look::More,
                _ => {}
            }
        }
        let inspected = match inspect(held) {
            Ok(inspected) => inspected,
            Err(error) if error.what == Fault::End => return self.unfinished(may_nest),
            Err(error) => return self.broken(error),
        };
        self.seen_piece = true;
        let end = inspected.end;
        let object = held.get(..end).unwrap_or_default();
        if let Err(error) = std::str::from_utf8(object) {
            let detail = format!("invalid utf-8 at byte {}", error.valid_up_to());
            return self.set_aside(end, Reason::InvalidUtf8, detail);
        }
        if inspected.shape == Shape::Container && may_nest {
            self.frames.push(Frame::Object);
            self.window.consume(1);
            return Look::On;
        }
        let (line, recipient) = match record_of(object, &inspected) {
            Ok(record) => record,
            Err(Kind::SetAsideMark) => {
                let detail = "has a member orgtrail_set_aside".to_owned();
                return self.set_aside(end, Reason::AmbiguousMark, detail);
            }
            Err(_) => {
                let detail = "an object that is no audit record".to_owned();
                return self.set_aside(end, Reason::NotAnEvent, detail);
            }
        };
        if line.len() > RECORD_LIMIT_BYTES {
            let detail = format!("a record of {} bytes", line.len());
            return self.set_aside(end, Reason::TooLarge, detail);
        }
        if let (Some(folder), Some(recipient)) = (self.folder, recipient)
            && folder != recipient
        {
            let detail = format!("a record of account {recipient} in the folder of {folder}");
            return self.set_aside(end, Reason::ForeignAccount, detail);
        }
        let line = line.into_owned();
        self.window.consume(end);
        self.out.push_back(Found { line, place: self.place(), set_aside: None });
        Look::On
    }

    /// An object whose end is not in the window.
    fn unfinished(&mut self, may_nest: bool) -> Look {
        if self.ending.is_some() {
            return self.damaged(Reason::Truncated, "ends inside a value");
        }
        if !self.window.is_full() {
            return Look::More;
        }
        if may_nest && opens_later(self.window.held()) {
            self.frames.push(Frame::Object);
            self.window.consume(1);
            return Look::On;
        }
        let unit = self.unit(Reason::TooLarge, "a value larger than 4 MiB".to_owned());
        self.mode = Mode::Large(unit, Large::default());
        Look::On
    }

    fn array(&mut self) -> Look {
        let held = self.window.held();
        match held.get(skip_blank(held, 1)) {
            None if self.may_grow() => Look::More,
            Some(b'{' | b'[' | b']') if self.frames.has_room_for(1) => {
                self.frames.push(Frame::Array);
                self.window.consume(1);
                self.seen_piece = true;
                Look::On
            }
            _ => self.value(),
        }
    }

    /// A value that is no object: set aside whole.
    fn value(&mut self) -> Look {
        let held = self.window.held();
        match extent(held, 0) {
            // A number may go on behind the window.
            Ok(end) if end == held.len() && self.may_grow() => Look::More,
            Ok(end) => match std::str::from_utf8(held.get(..end).unwrap_or_default()) {
                Ok(_) => {
                    let detail = "a value that is no object".to_owned();
                    self.set_aside(end, Reason::NotAnEvent, detail)
                }
                Err(error) => {
                    let detail = format!("invalid utf-8 at byte {}", error.valid_up_to());
                    self.set_aside(end, Reason::InvalidUtf8, detail)
                }
            },
            Err(error) if error.what == Fault::End => self.unfinished(false),
            Err(error) => self.broken(error),
        }
    }

    /// Something at the top level that begins no object and no array: a value
    /// if it is all of its line, otherwise no JSON.
    fn line(&mut self) -> Look {
        let held = self.window.held();
        let end = match extent(held, 0) {
            Ok(end) => end,
            // However it was read so far, it may become a value.
            Err(error) if error.what == Fault::End && self.may_grow() => return Look::More,
            Err(_) => return self.damaged(Reason::Syntax, "no json"),
        };
        let rest = held.get(end..).unwrap_or_default();
        match rest.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
            None if self.may_grow() => Look::More,
            None | Some(b'\n') => self.value(),
            Some(_) => self.damaged(Reason::Syntax, "no json"),
        }
    }

    /// A member of an object that holds records.
    fn member(&mut self) -> Look {
        let held = self.window.held();
        match member_opening(held, 0) {
            Opening::Elements(at) if self.frames.has_room_for(1) => {
                self.frames.push(Frame::Array);
                self.window.consume(at);
                return Look::On;
            }
            Opening::Unknown if self.may_grow() => return Look::More,
            _ => {}
        }
        let waits = self.may_grow();
        match member_end(held) {
            Ok(end) if end == held.len() && waits => Look::More,
            // How LookupEvents says that there is more to ask for.
            Ok(end) if held.starts_with(b"\"NextToken\"") => {
                self.window.consume(end);
                Look::On
            }
            Ok(end) => {
                let detail = "a member beside the records".to_owned();
                self.set_aside(end, Reason::NotAnEvent, detail)
            }
            Err(error) if error.what == Fault::End && waits => Look::More,
            Err(error) if error.what == Fault::End => {
                self.damaged(Reason::Truncated, "ends inside a value")
            }
            Err(error) => self.damaged(Reason::Syntax, &error.to_string()),
        }
    }

    // === setting aside ===

    /// Sets the first `end` bytes of the window aside.
    fn set_aside(&mut self, end: usize, reason: Reason, detail: String) -> Look {
        let mut unit = self.unit(reason, detail);
        unit.push(self.window.held().get(..end).unwrap_or_default(), &mut self.out);
        self.window.consume(end);
        self.seen_piece = true;
        unit.finish(self.place(), &mut self.out);
        Look::On
    }

    /// A value that is no JSON for another reason than that it ends too soon.
    fn broken(&mut self, error: SyntaxError) -> Look {
        if error.what != Fault::Depth {
            return self.damaged(Reason::Syntax, &error.to_string());
        }
        match balanced_end(self.window.held()) {
            Some(end) => self.set_aside(end, Reason::TooDeep, error.to_string()),
            None if self.may_grow() => Look::More,
            None => self.damaged(Reason::TooDeep, &error.to_string()),
        }
    }

    /// From the window's start on there is no JSON; see `damage`.
    fn damaged(&mut self, reason: Reason, detail: &str) -> Look {
        let opens = self.window.held().first() == Some(&b'{');
        let damage = Damage::new(opens, self.seen_piece || opens);
        let unit = self.unit(reason, detail.to_owned());
        self.mode = Mode::Damage(unit, damage);
        Look::On
    }

    fn damage(&mut self, mut unit: Unit, mut damage: Damage) -> Look {
        let ended = self.ending.is_some();
        let top = self.frames.is_empty();
        let way = damage.way_out(self.window.held(), top, ended, self.window.is_full());
        let passed = self.window.held().get(..way.passed).unwrap_or_default();
        damage.pass(passed);
        unit.push(passed, &mut self.out);
        self.window.consume(way.passed);
        if way.found {
            if way.is_container {
                self.frames = Frames::default();
            }
            unit.finish(self.place(), &mut self.out);
            self.mode = Mode::Pieces;
            self.seen_piece = true;
            return Look::On;
        }
        if ended {
            let after = self.told_of_ending();
            unit.finish(after, &mut self.out);
            self.mode = Mode::Pieces;
            return Look::On;
        }
        self.mode = Mode::Damage(unit, damage);
        Look::More
    }

    fn large(&mut self, mut unit: Unit, mut large: Large) -> Look {
        let held = self.window.held();
        let passed = large.pass(held);
        let cut = self.ending.is_some() && passed.count == held.len();
        unit.push(held.get(..passed.count).unwrap_or_default(), &mut self.out);
        self.window.consume(passed.count);
        if passed.is_broken {
            self.mode = Mode::Damage(unit, Damage::new(false, true));
        } else if passed.is_whole || cut {
            let after = if passed.is_whole { self.place() } else { self.told_of_ending() };
            unit.finish(after, &mut self.out);
            self.mode = Mode::Pieces;
            self.seen_piece = true;
        } else {
            self.mode = Mode::Large(unit, large);
            return Look::More;
        }
        Look::On
    }

    // === the end ===

    /// A unit that goes on to the end of the content says that it is cut: the
    /// brackets that were open are part of it.
    /// The place after it.
    fn told_of_ending(&mut self) -> Place {
        self.frames = Frames::default();
        if self.ending == Some(Filled::Cut) {
            self.ending = Some(Filled::End);
            return self.raw_end();
        }
        self.place()
    }

    /// The place after the last byte of an object that ends inside what it is
    /// packed in: there a restart finds nothing more to tell.
    fn raw_end(&self) -> Place {
        let at = self.content.raw_at();
        Place { base: 0, at, frames: Frames::default(), part: 0, raw: true }
    }

    /// All content was looked at, and no more will come.
    fn end(&mut self) {
        match self.ending.clone() {
            Some(Filled::Broken { at, why }) => {
                if !self.frames.is_empty() {
                    self.missing("the content breaks off before its brackets close");
                    self.frames = Frames::default();
                }
                self.start_raw(at, &why);
            }
            Some(Filled::Cut) => {
                self.missing("the compressed stream ends before its end");
                self.mode = Mode::Done;
            }
            _ => {
                if !self.frames.is_empty() {
                    self.missing("ends before its brackets close");
                }
                self.mode = Mode::Done;
            }
        }
    }

    /// Says that something is missing here, in a unit without bytes.
    fn missing(&mut self, detail: &str) {
        let unit = self.unit(Reason::Truncated, detail.to_owned());
        let after = self.told_of_ending();
        unit.finish(after, &mut self.out);
    }

    fn start_raw(&mut self, at: u64, why: &str) {
        self.raw_at = Some(at);
        let part = std::mem::take(&mut self.part);
        let start = Place { base: 0, at, frames: Frames::default(), part, raw: true };
        self.mode = Mode::Raw(Unit::new(&self.source, Reason::Decompress, why.to_owned(), start));
    }

    /// Sets the next raw bytes aside; at the end of the object, ends.
    fn raw(&mut self, file: &mut dyn DiskFile) -> io::Result<()> {
        let mut buffer = vec![0; RAW_STEP_BYTES];
        let at = self.raw_at.unwrap_or_default();
        let read = file.read_at(&mut buffer, at)?;
        let Mode::Raw(unit) = &mut self.mode else { return Ok(()) };
        if read > 0 {
            unit.push(buffer.get(..read).unwrap_or_default(), &mut self.out);
            self.raw_at = Some(at + read as u64);
        } else if let Mode::Raw(unit) = std::mem::replace(&mut self.mode, Mode::Done) {
            // Nothing lies behind a place at the end: it is where a restart ends.
            if unit.length() > 0 {
                let after = Place { base: 0, at, frames: Frames::default(), part: 0, raw: true };
                unit.finish(after, &mut self.out);
            }
        }
        Ok(())
    }
}

/// How many bytes at the start are, or may become, a byte order mark.
fn byte_order_mark(bytes: &[u8]) -> usize {
    let same = bytes.iter().zip(BYTE_ORDER_MARK).take_while(|(byte, mark)| byte == mark).count();
    if same == bytes.len().min(BYTE_ORDER_MARK.len()) { same } else { 0 }
}

/// How many bytes at the start are white space and commas.
fn separators(bytes: &[u8]) -> usize {
    let is_separator = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',');
    bytes.iter().take_while(is_separator).count()
}

/// The end of the member that `bytes` begin with.
fn member_end(bytes: &[u8]) -> Result<usize, SyntaxError> {
    let colon = skip_blank(bytes, extent(bytes, 0)?);
    match bytes.get(colon) {
        Some(b':') => extent(bytes, colon + 1),
        Some(_) => Err(SyntaxError { at: colon, what: Fault::Byte }),
        None => Err(SyntaxError { at: colon, what: Fault::End }),
    }
}

/// The account whose folder a path lies in, where it is laid out as CloudTrail
/// delivers: `…/AWSLogs/[o-…/]<account>/…`.
pub(crate) fn folder_account(path: &str) -> Option<AccountId> {
    let mut parts = path.split(['/', '\\']).skip_while(|part| *part != "AWSLogs").skip(1);
    let first = parts.next()?;
    let account = if first.starts_with("o-") { parts.next()? } else { first };
    // A file of that name is no folder.
    parts.next()?;
    AccountId::from_bytes(account.as_bytes())
}

#[cfg(test)]
mod tests;
