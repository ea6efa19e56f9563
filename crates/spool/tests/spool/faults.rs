//! Whatever fails at whichever operation, and then the power: what was promised
//! as durable is there, what was refused is not, and the trim point is one that
//! was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use spool::{AppendError, Entry, Lost, Options, ReadError, Spool};

use crate::walk::{DIR, ID, leaf, options};
use faults::{Dice, Fault, FaultyDisk};

const STEPS: u64 = 60;

/// What must be true of the disk, whatever happens to it.
struct Model {
    disk: FaultyDisk,
    options: Options,
    dice: Dice,
    attempts: u64,
    created: bool,
    /// Which attempt each sequence came from.
    accepted: BTreeMap<u64, u64>,
    /// Attempts whose outcome is unknown: the spool was poisoned in them.
    unknown: BTreeSet<(u64, u64)>,
    durable: u64,
    released: (u64, [u8; 32]),
    /// A release whose outcome is unknown.
    releasing: Option<(u64, [u8; 32])>,
    /// Never durable, and lost between others that were not either.
    lost: BTreeSet<u64>,
}

fn bytes_of(sequence: u64, attempt: u64) -> (Vec<u8>, Vec<u8>) {
    let len = usize::try_from((sequence * 31 + attempt * 17) % 900).expect("small");
    let payload = format!("{sequence}/{attempt}/{}", "p".repeat(len)).into_bytes();
    (payload, format!("c{attempt}").into_bytes())
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            disk: FaultyDisk::default(),
            options: options(2500, 12_000),
            dice: Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d),
            attempts: 0,
            created: false,
            accepted: BTreeMap::new(),
            unknown: BTreeSet::new(),
            durable: 0,
            released: (0, [0; 32]),
            releasing: None,
            lost: BTreeSet::new(),
        }
    }

    /// Works until something is poisoned, or to the end of the steps.
    fn work(&mut self, spool: &mut Spool, steps: u64) {
        for _ in 0..steps {
            match self.dice.below(10) {
                0..=4 => self.append(spool),
                5..=6 => {
                    if let Ok(durable) = spool.sync() {
                        assert_eq!(durable, spool.head());
                        self.durable = durable;
                    }
                }
                7 => self.read(spool),
                _ => self.release(spool),
            }
            assert!(spool.durable() >= self.durable, "durable never goes back");
            assert!(spool.disk_bytes() <= self.options.disk_bytes_max, "the limit holds");
            if is_poisoned(spool) {
                return;
            }
        }
    }

    fn append(&mut self, spool: &mut Spool) {
        self.attempts += 1;
        let attempt = self.attempts;
        let head = spool.head();
        let count = 1 + self.dice.below(4);
        let made: Vec<_> =
            (head + 1..=head + count).map(|sequence| bytes_of(sequence, attempt)).collect();
        let entries: Vec<_> =
            made.iter().map(|(payload, cursors)| Entry { payload, cursors }).collect();
        match spool.append(&entries) {
            Ok(last) => {
                assert_eq!(last, head + count);
                self.accepted.extend((head + 1..=last).map(|sequence| (sequence, attempt)));
            }
            Err(AppendError::TooLarge { .. } | AppendError::NotDurable { .. }) => unreachable!(),
            Err(_) => {
                assert_eq!(spool.head(), head, "nothing of a failed call is kept");
                if is_poisoned(spool) {
                    let unknown = (head + 1..=head + count).map(|sequence| (sequence, attempt));
                    self.unknown.extend(unknown);
                }
            }
        }
        // Beginning a segment makes the one before durable.
        self.durable = self.durable.max(spool.durable());
    }

    fn read(&mut self, spool: &mut Spool) {
        let released = spool.released().0;
        if spool.durable() == released {
            return;
        }
        let from = released + 1 + self.dice.below(spool.durable() - released);
        match spool.read(from, 1500) {
            Ok(frames) => {
                assert_eq!(frames.first().map(|frame| frame.sequence), Some(from));
                frames.iter().for_each(|frame| self.check_frame(frame));
            }
            Err(ReadError::Io { .. }) => {}
            Err(ReadError::Hole { first, last }) => {
                assert!((first..=last).all(|sequence| self.lost.contains(&sequence)));
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn release(&mut self, spool: &mut Spool) {
        let (released, durable) = (spool.released().0, spool.durable());
        if released == durable {
            return;
        }
        let to = released + 1 + self.dice.below(durable - released);
        let point = (to, [u8::try_from(to % 251).expect("small"); 32]);
        self.releasing = Some(point);
        match spool.release(point.0, point.1) {
            Ok(()) => {
                self.released = point;
                self.releasing = None;
            }
            Err(_) if is_poisoned(spool) => {}
            Err(_) => self.releasing = None,
        }
        assert_eq!(spool.released(), self.released);
    }

    fn check_frame(&self, frame: &spool::Frame) {
        let sequence = frame.sequence;
        let text = String::from_utf8_lossy(&frame.payload);
        let attempt: u64 = text.split('/').nth(1).expect("an attempt").parse().expect("a number");
        let (payload, cursors) = bytes_of(sequence, attempt);
        assert!(frame.payload == payload && frame.cursors == cursors, "bytes of {sequence}");
        assert_eq!(frame.leaf, leaf()(sequence, &payload));
        let accepted = self.accepted.get(&sequence) == Some(&attempt);
        let unknown = sequence > self.durable && self.unknown.contains(&(sequence, attempt));
        assert!(accepted || unknown, "{sequence} of attempt {attempt} was refused");
    }

    /// Opens what there is and checks every promise; answers the spool.
    fn reopen(&mut self, crashed: bool) -> Option<Spool> {
        let opened = Spool::open(self.disk.handle(), self.options.clone(), |id| {
            assert_eq!(id, ID);
            leaf()
        });
        let (mut spool, recovery) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => {
                assert!(!self.created, "a spool that was made is there");
                return Spool::create(self.disk.handle(), self.options.clone(), ID, leaf()).ok();
            }
            Err(spool::OpenError::Io { .. }) => return None,
            Err(other) => panic!("{other}"),
        };
        self.created = true;
        assert!(!recovery.released_unknown);
        assert!(recovery.is_clean() || crashed || !self.lost.is_empty(), "{recovery:?}");
        for damage in &recovery.damage {
            match damage.lost {
                Lost::Nothing => {}
                Lost::Range { first, last } => self.lost.extend(first..=last),
                Lost::From { first } => assert!(first > self.durable, "{recovery:?}"),
            }
        }
        assert!(self.lost.iter().all(|lost| !self.promised(*lost)), "{recovery:?}");

        let released = spool.released();
        assert!(released == self.released || Some(released) == self.releasing, "trim point");
        self.released = released;
        self.releasing = None;

        let head = spool.head();
        assert_eq!(spool.durable(), head);
        assert!(head >= self.durable, "head {head} of at least {}", self.durable);
        let mut found = BTreeMap::new();
        let mut from = released.0 + 1;
        while from <= head {
            match spool.read(from, 4000) {
                Ok(frames) => {
                    assert!(!frames.is_empty(), "{from} of {head}");
                    for frame in frames {
                        self.check_frame(&frame);
                        let text = String::from_utf8_lossy(&frame.payload).into_owned();
                        let attempt = text.split('/').nth(1).expect("an attempt");
                        found.insert(frame.sequence, attempt.parse().expect("a number"));
                        from = frame.sequence + 1;
                    }
                }
                Err(ReadError::Hole { first, last }) => {
                    assert!(
                        (first..=last).all(|sequence| self.lost.contains(&sequence)),
                        "hole {first}..={last} unreported: {recovery:?}"
                    );
                    from = last + 1;
                }
                Err(ReadError::Io { .. }) => return None,
                Err(other) => panic!("{other}"),
            }
        }
        for sequence in released.0 + 1..=self.durable {
            assert!(
                found.contains_key(&sequence) || self.lost.contains(&sequence),
                "{sequence} was durable"
            );
        }
        self.accepted = found;
        self.unknown.clear();
        self.durable = head;
        Some(spool)
    }

    /// Whether a sequence was said to be durable and is not released.
    fn promised(&self, sequence: u64) -> bool {
        sequence > self.released.0
            && sequence <= self.durable
            && self.accepted.contains_key(&sequence)
    }

    fn segments_on_disk(&self) -> usize {
        let files = self.disk.files();
        files.keys().filter(|path| path.to_string_lossy().ends_with(".seg")).count()
    }
}

fn is_poisoned(spool: &mut Spool) -> bool {
    matches!(spool.append(&[]), Err(AppendError::Poisoned { .. }))
}

fn run(seed: u64, fault: Option<(u64, Fault)>) -> u64 {
    let mut model = Model::new(seed);
    let (at, kind) = fault.unwrap_or((u64::MAX, Fault::PowerCut));
    model.disk.fail_at(at, kind, seed ^ at);

    if let Some(mut spool) = model.reopen(false) {
        model.created = true;
        model.work(&mut spool, STEPS);
        if is_poisoned(&mut spool) && kind != Fault::PowerCut {
            drop(spool);
            // In one process: the operating system still remembers everything.
            if let Some(mut spool) = model.reopen(false) {
                model.work(&mut spool, STEPS / 3);
            }
        } else if let Fault::FromThenOn(_) = kind {
            // Not poisoned: when the disk is well again, so is the spool.
            model.disk.heal();
            model.work(&mut spool, STEPS / 3);
            assert!(!is_poisoned(&mut spool));
        } else if kind != Fault::PowerCut {
            // A killed process: what it wrote is there, and not yet durable.
            drop(spool);
            model.disk.heal();
            drop(model.reopen(false).expect("the disk is well"));
        }
    }
    let operations = model.disk.operations();
    for round in 0..3 {
        model.disk.crash(seed ^ (at << 8) ^ round);
        let mut spool = model.reopen(true).expect("the disk is well");
        model.created = true;
        if round == 1 {
            model.work(&mut spool, STEPS / 3);
            assert!(!is_poisoned(&mut spool), "the disk is well");
        }
    }
    let mut spool = model.reopen(true).expect("the disk is well");
    let head = spool.head();
    if head > spool.released().0 {
        model.releasing = Some((head, [9; 32]));
        spool.release(head, [9; 32]).expect("release");
        assert!(model.segments_on_disk() <= 1, "what is released goes");
    }
    operations
}

fn every_operation(seeds: std::ops::Range<u64>, faults: &[Fault]) {
    for seed in seeds {
        let operations = run(seed, None);
        assert!(operations > 200, "the walk does something: {operations}");
        for at in 0..operations {
            for fault in faults {
                let told = std::panic::AssertUnwindSafe(|| run(seed, Some((at, *fault))));
                if let Err(panic) = std::panic::catch_unwind(told) {
                    eprintln!("in {DIR}: seed {seed}, operation {at}, {fault:?}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

#[test]
fn promises_hold_when_any_one_operation_fails() {
    every_operation(
        0..4,
        &[Fault::Once(io::ErrorKind::Other), Fault::Once(io::ErrorKind::StorageFull)],
    );
}

#[test]
fn promises_hold_when_the_disk_fails_from_any_operation_on() {
    every_operation(
        10..12,
        &[Fault::FromThenOn(io::ErrorKind::Other), Fault::FromThenOn(io::ErrorKind::StorageFull)],
    );
}

#[test]
fn promises_hold_when_the_power_goes_at_any_operation() {
    every_operation(20..24, &[Fault::PowerCut]);
}
