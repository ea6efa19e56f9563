//! Reads files one after the other, each from where it was left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seam::{Clock, Disk, DiskFile, Open};
use serde_json::{Map, Value};
use tracing::{error, warn};

use super::Options;
use super::cursor::{Cursor, FILES_USUAL, Finished, Label, Progress, Tracked};
use super::finished::{Entry, Index};
use super::head::{HEAD_BYTES, Head, first_bytes, hash64, spell};
use super::round::Round;
use super::walk::walk;
use crate::source::{Piece, SourceError, Standing};
use crate::split::{Place, Splitter, Step, Wait, folder_account};

/// How many units of one file are reported one by one.
const SET_ASIDE_TOLD_MAX: u64 = 5;

/// How many paths are remembered as unreadable, so that each is told once.
const UNREADABLE_TOLD_MAX: usize = 1_024;

/// What a source of files reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One file, and what it becomes by rotation.
    File,
    /// All files below a directory.
    Directory,
}

/// A file to be read, from a place on.
#[derive(Clone, Debug)]
pub(super) struct Todo {
    pub(super) path: PathBuf,
    pub(super) key: u64,
    /// How it is known and how far it was read; `None` for a new one.
    pub(super) tracked: Option<Tracked>,
    /// Whether what is not whole in it is set aside instead of waited for.
    pub(super) last: bool,
}

/// The file being read.
struct Current {
    todo: Todo,
    head: Head,
    label: Label,
    file: Box<dyn DiskFile>,
    splitter: Splitter,
    /// How many units of it were set aside.
    set_aside: u64,
}

/// A file that ended in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) len: u64,
    /// In how many rounds it had that length.
    pub(super) rounds: u32,
    /// Whether it waits for the rest of a line only.
    pub(super) line: bool,
}

/// All that a source of files knows.
pub(super) struct Reader {
    pub(super) name: String,
    pub(super) root: PathBuf,
    /// With [`Scope::File`], the file's name.
    pub(super) only: Option<std::ffi::OsString>,
    pub(super) follow: bool,
    organization: bool,
    index_path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Clock,
    pub(super) cursor: Cursor,
    pub(super) index: Index,
    /// Where the files of the cursor are.
    pub(super) paths: BTreeMap<u64, PathBuf>,
    pub(super) looked: BTreeMap<u64, Looked>,
    /// In how many rounds a new file looked like a copy of a known one.
    pub(super) copies: BTreeMap<u64, u32>,
    /// In how many rounds a file of the cursor was not there.
    pub(super) missing: BTreeMap<u64, u32>,
    /// Unreadable paths that were told.
    pub(super) told: BTreeSet<PathBuf>,
    pub(super) rounds: u64,
    pub(super) round: Option<Round>,
    pub(super) todo: VecDeque<Todo>,
    current: Option<Current>,
    ready: Vec<Piece>,
    ready_bytes: usize,
    standing: Standing,
}

impl Reader {
    pub(super) fn new(options: Options, scope: Scope, disk: Arc<dyn Disk>, clock: Clock) -> Self {
        let name = spell(hash64(options.name.as_bytes()));
        let index_path = options.state_dir.join(format!("{name}.finished"));
        let (root, only) = match (scope, options.path.parent(), options.path.file_name()) {
            (Scope::File, Some(dir), Some(name)) => {
                let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
                (dir.to_owned(), Some(name.to_owned()))
            }
            _ => (options.path, None),
        };
        Self {
            name: options.name,
            root,
            only,
            follow: options.follow,
            organization: options.organization,
            index: Index::empty(Arc::clone(&disk), &index_path),
            index_path,
            disk,
            clock,
            cursor: Cursor::default(),
            paths: BTreeMap::new(),
            looked: BTreeMap::new(),
            copies: BTreeMap::new(),
            missing: BTreeMap::new(),
            told: BTreeSet::new(),
            rounds: 0,
            round: None,
            todo: VecDeque::new(),
            current: None,
            ready: Vec::new(),
            ready_bytes: 0,
            standing: Standing::default(),
        }
    }

    /// Goes to where a cursor says.
    pub(super) fn resume(&mut self, cursor: &Map<String, Value>) -> Result<(), SourceError> {
        let name = self.name.clone();
        self.cursor = Cursor::read(cursor).map_err(|why| SourceError::Cursor { name, why })?;
        self.paths.clear();
        self.looked.clear();
        self.copies.clear();
        self.missing.clear();
        (self.rounds, self.round) = (0, None);
        self.todo.clear();
        self.current = None;
        self.take_ready();
        self.standing = Standing { read_again: self.standing.read_again, ..Standing::default() };
        let opened = Index::open(Arc::clone(&self.disk), &self.index_path, &self.cursor.finished);
        match opened.map_err(|error| self.state_error(error))? {
            Some(index) => self.index = index,
            None => self.recover_index()?,
        }
        Ok(())
    }

    fn state_error(&self, source: io::Error) -> SourceError {
        SourceError::State { object: self.index_path.display().to_string(), source }
    }

    /// Counts the finished files again, since the index does not hold them.
    fn recover_index(&mut self) -> Result<(), SourceError> {
        let expected = self.cursor.finished.clone();
        let mut found = Vec::new();
        let disk = Arc::clone(&self.disk);
        walk(disk.as_ref(), &self.root, &mut |seen| {
            let Ok(seen) = seen else { return };
            let below = self.below_root(&seen.path);
            let key = hash64(below.as_os_str().as_encoded_bytes());
            let beyond = below > Path::new(&expected.path);
            if beyond || seen.len == 0 || self.cursor.files.contains_key(&key) {
                return;
            }
            let opened = disk.open(&seen.path, Open::Read);
            if let Ok(first) = opened.and_then(|mut file| first_bytes(file.as_mut())) {
                found.push(Entry { key, head: Head::of(&first).hash, size: seen.len });
            }
        });
        let anew = Index::anew(Arc::clone(&self.disk), &self.index_path);
        self.index = anew.map_err(|error| self.state_error(error))?;
        self.index.add(&found).map_err(|error| self.state_error(error))?;
        if self.index.standing() == (expected.files, expected.sum) {
            warn!(source = %self.name, files = expected.files, "index of finished files was lost and made again");
            return Ok(());
        }
        error!(
            source = %self.name,
            files = expected.files,
            "index of finished files was lost and the files changed since: they are read again, \
             their events may be delivered twice"
        );
        self.standing.read_again += expected.files;
        let anew = Index::anew(Arc::clone(&self.disk), &self.index_path);
        self.index = anew.map_err(|error| self.state_error(error))?;
        self.cursor.set_finished(Finished::default());
        Ok(())
    }

    pub(super) fn below_root<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }

    /// What the source says about itself.
    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    pub(super) fn standing_mut(&mut self) -> &mut Standing {
        &mut self.standing
    }

    /// The pieces read so far; they are the caller's from now on.
    pub(super) fn take_ready(&mut self) -> Vec<Piece> {
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }

    /// Reads until about `budget_bytes` are ready, or nothing is left for now.
    pub(super) fn read(&mut self, budget_bytes: usize) -> Result<(), SourceError> {
        while self.ready_bytes < budget_bytes.max(1) {
            if self.current.is_some() {
                self.step();
            } else if let Some(todo) = self.todo.pop_front() {
                self.begin(todo)?;
            } else if self.round.is_none() && (self.follow || !self.standing.finished) {
                self.begin_round();
            } else if !self.end_round()? {
                break;
            }
        }
        Ok(())
    }

    /// Opens a file and goes to its place.
    fn begin(&mut self, todo: Todo) -> Result<(), SourceError> {
        if !self.cursor.files.contains_key(&todo.key) && !self.make_room()? {
            self.todo.clear();
            if let Some(round) = &mut self.round {
                round.complete = false;
            }
            return Ok(());
        }
        let opened = self.disk.open(&todo.path, Open::Read);
        let opened = opened.and_then(|mut file| {
            let first = first_bytes(file.as_mut())?;
            Ok((file, first))
        });
        let (file, first) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.unreadable(&todo.path, error);
                return Ok(());
            }
        };
        // Replaced since it was listed: the next round sees to it.
        let same = todo.tracked.as_ref().is_none_or(|tracked| tracked.head.begins(&first));
        if !same || first.is_empty() {
            if let Some(round) = &mut self.round {
                round.complete = false;
            }
            return Ok(());
        }
        let source = todo.path.display().to_string();
        let folder = if self.organization { folder_account(&source) } else { None };
        let place = todo.tracked.as_ref().map_or_else(Place::default, Tracked::place);
        let splitter = Splitter::new(source, folder, place);
        self.paths.insert(todo.key, self.below_root(&todo.path).to_owned());
        let head = Head::of(&first);
        let label = Label::new(todo.key, head);
        self.current = Some(Current { todo, head, label, file, splitter, set_aside: 0 });
        Ok(())
    }

    /// One step in the current file.
    fn step(&mut self) {
        let Some(current) = &mut self.current else { return };
        let last = current.todo.last || !self.follow;
        let key = current.todo.key;
        match current.splitter.step(current.file.as_mut(), last) {
            Ok(Step::Found(found)) => {
                if let Some((reason, position)) = found.set_aside {
                    self.standing.set_aside += 1;
                    current.set_aside += 1;
                    if current.set_aside <= SET_ASIDE_TOLD_MAX {
                        let file = current.todo.path.display();
                        let reason = reason.as_str();
                        warn!(source = %self.name, %file, position, reason, "set aside");
                    }
                }
                let cursor = self.cursor.advance(key, current.head, found.place, &current.label);
                self.ready_bytes += found.line.len() + cursor.len();
                self.ready.push(Piece { line: found.line, cursor });
            }
            Ok(Step::End | Step::Waiting(Wait::Clean)) => self.done(),
            Ok(Step::Waiting(wait)) => {
                let len = current.splitter.raw_at();
                let line = wait == Wait::Line;
                self.looked.entry(key).or_insert(Looked { len, rounds: 0, line });
                if let Some(looked) = self.looked.get_mut(&key) {
                    let rounds = if looked.len == len { looked.rounds } else { 0 };
                    *looked = Looked { len, rounds, line };
                }
                self.current = None;
            }
            Err(error) => {
                let Some(current) = self.current.take() else { return };
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    // Shorter than what was read of it: another file by now.
                    self.cursor.remove(key);
                    self.looked.remove(&key);
                    self.todo.push_front(Todo { tracked: None, ..current.todo });
                } else {
                    self.unreadable(&current.todo.path, error);
                }
            }
        }
    }

    /// The current file was read to its end.
    fn done(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        if current.set_aside > SET_ASIDE_TOLD_MAX {
            let file = current.todo.path.display();
            warn!(source = %self.name, %file, units = current.set_aside, "set aside in all");
        }
        let size = current.splitter.raw_at();
        let head = match first_bytes(current.file.as_mut()) {
            Ok(mut first) => {
                first.truncate(usize::try_from(size).unwrap_or(HEAD_BYTES));
                Head::of(&first)
            }
            Err(_) => current.head,
        };
        self.looked.remove(&current.todo.key);
        self.cursor.set(current.todo.key, Tracked { head, progress: Progress::Done(size) });
    }

    fn unreadable(&mut self, path: &Path, error: io::Error) {
        if let Some(mut round) = self.round.take() {
            self.cannot_read(&mut round, path, error);
            self.round = Some(round);
        }
    }

    /// Takes note of a file or directory that cannot be read in this round.
    pub(super) fn cannot_read(&mut self, round: &mut Round, path: &Path, error: io::Error) {
        round.complete = false;
        // Gone since it was listed: the next round sees to it.
        if error.kind() == io::ErrorKind::NotFound && *path != self.root {
            return;
        }
        if self.told.len() < UNREADABLE_TOLD_MAX && self.told.insert(path.to_owned()) {
            warn!(source = %self.name, path = %path.display(), %error, "cannot read; trying again");
        }
        round.unreadable.get_or_insert((path.to_owned(), error));
    }

    /// Sees to it that one more file has room in the cursor; false if it has to
    /// wait.
    fn make_room(&mut self) -> Result<bool, SourceError> {
        let waited = self.standing.waits.take().is_some();
        if self.cursor.files.len() < FILES_USUAL {
            return Ok(true);
        }
        if !self.index.is_full() {
            // Small files that still grow are better known while they are here.
            self.let_go(|tracked| usize::from(tracked.head.len) == HEAD_BYTES)?;
            if self.cursor.files.len() >= FILES_USUAL {
                self.let_go(|_| true)?;
            }
        }
        if self.cursor.is_full() {
            let files = self.cursor.files.len();
            let waits =
                format!("{files} files are not read to their end, and no more fit the cursor");
            if !waited {
                warn!(source = %self.name, "waits: {waits}");
            }
            self.standing.waits = Some(waits);
            return Ok(false);
        }
        Ok(true)
    }

    /// Moves finished files from the cursor to the index.
    fn let_go(&mut self, which: impl Fn(&Tracked) -> bool) -> Result<(), SourceError> {
        let mut entries = Vec::new();
        let mut path = PathBuf::from(&self.cursor.finished.path);
        for (&key, tracked) in &self.cursor.files {
            let Progress::Done(size) = tracked.progress else { continue };
            if !which(tracked) {
                continue;
            }
            entries.push(Entry { key, head: tracked.head.hash, size });
            path = path.max(self.paths.get(&key).cloned().unwrap_or_default());
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.index.add(&entries).map_err(|error| self.state_error(error))?;
        for entry in entries {
            self.cursor.remove(entry.key);
            self.paths.remove(&entry.key);
        }
        let (files, sum) = self.index.standing();
        self.cursor.set_finished(Finished {
            files,
            sum,
            path: path.to_string_lossy().into_owned(),
        });
        Ok(())
    }
}
