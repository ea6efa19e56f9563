//! The merge of settling and compaction: sorted files in, one partition's file
//! after the other out.
//!
//! Of each input only the row group being read is in memory, decoded in small
//! batches; of the output, one file. The merge itself does no I/O: it says
//! which input's next row group it needs. Equal inputs give equal files, row
//! for row: equal keys come in the order of the inputs.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use arrow::row::Rows;
use bytes::Bytes;
use jiff::civil::Date;
use object_store::path::Path;
use parquet::errors::ParquetError;

use crate::choose::choose;
use crate::decode::Footer;
use crate::encode::{FileWriter, Kind};
use crate::error::TableError;
use crate::files::{NewFile, encode_failed};
use crate::indicators::with_indicators;
use crate::keys::{Place, place_of};
use crate::layout::Layout;
use crate::log::DataFile;
use crate::marks::Marks;
use crate::order::{RowOrder, Runs, day_number, without_partitions};
use crate::partition::Partition;
use crate::schema::schema;

/// Rows of an input that are decoded at once.
const INPUT_BATCH_ROWS: usize = 512;

/// The state of one merge.
pub(crate) struct Merge {
    layout: Layout,
    intent: u64,
    file_rows_max: u64,
    order: RowOrder,
    inputs: Vec<Input>,
    /// Inputs whose next row group is needed before the merge can go on.
    wanting: VecDeque<usize>,
    heap: BinaryHeap<Head>,
    output: Option<Output>,
    /// The partition and number of the file before.
    last: Option<(Arc<Partition>, u32)>,
    /// Rows chosen and not yet written: an input, and a row of its batch.
    chosen: Vec<(usize, usize)>,
    /// Rows that are to be marked,
    marks: Arc<Marks>,
    /// and those that are.
    pub(crate) marked: Marks,
    /// Rows written.
    pub(crate) rows: u64,
}

/// What a merge needs or has.
pub(crate) enum Step {
    /// The next row group of this input: its object and where it lies there.
    Needs(usize, Path, Range<u64>),
    /// A file is complete.
    File(NewFile),
    /// There are no more rows.
    Done,
}

/// The rows of one day that a merge takes from files of any partition, sorted by day.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The day.
    pub(crate) date: Date,
    /// Its partitions; of each all rows, or those that lie at these places in the
    /// journal.
    pub(crate) partitions: BTreeMap<Partition, Option<HashSet<Place>>>,
}

impl Wanted {
    /// The runs of a batch without the rows that are not wanted.
    fn select(&self, batch: RecordBatch, runs: Runs) -> Result<(RecordBatch, Runs), ArrowError> {
        let wants = |partition: &Partition| self.partitions.get(partition);
        if runs.iter().all(|(partition, _)| matches!(wants(partition), Some(None))) {
            return Ok((batch, runs));
        }
        let mut keep = vec![false; batch.num_rows()];
        let (mut kept, mut kept_rows) = (Runs::new(), 0);
        for (partition, rows) in runs {
            let Some(places) = wants(&partition) else { continue };
            let from = kept_rows;
            for row in rows {
                let is_wanted = match places {
                    None => true,
                    Some(places) => place_of(&batch, row)?.is_some_and(|at| places.contains(&at)),
                };
                if let Some(keep) = keep.get_mut(row) {
                    *keep = is_wanted;
                }
                kept_rows += usize::from(is_wanted);
            }
            if kept_rows > from {
                kept.push((partition, from..kept_rows));
            }
        }
        Ok((filter_record_batch(&batch, &BooleanArray::from(keep))?, kept))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ParquetError>> + Send>;

struct Input {
    path: Path,
    /// Whose rows they are; none if they say so themselves.
    partition: Option<Arc<Partition>>,
    wanted: Option<Arc<Wanted>>,
    footer: Footer,
    groups: VecDeque<(usize, Range<u64>)>,
    batches: Option<Batches>,
    batch: RecordBatch,
    keys: Option<Arc<Rows>>,
    runs: VecDeque<(Arc<Partition>, Range<usize>)>,
}

/// The first row of an input that is not yet chosen. The greatest is the one
/// to choose next, as a heap wants it.
struct Head {
    partition: Arc<Partition>,
    keys: Arc<Rows>,
    row: usize,
    run_end: usize,
    input: usize,
}

struct Output {
    partition: Arc<Partition>,
    part: u32,
    writer: FileWriter,
    rows: u64,
}

impl Merge {
    /// A merge of these files, sorted as fresh ones are, or of one partition; only of
    /// the rows that are wanted, if that is said. Some of them get their mark.
    pub(crate) fn new(
        layout: Layout,
        intent: u64,
        file_rows_max: u64,
        inputs: Vec<(DataFile, Footer)>,
        wanted: Option<&Arc<Wanted>>,
        marks: Arc<Marks>,
    ) -> Result<Self, TableError> {
        let inputs = inputs.into_iter();
        let inputs: Vec<Input> =
            inputs.map(|(file, footer)| Input::new(&file, footer, wanted.cloned())).collect();
        Ok(Self {
            layout,
            intent,
            file_rows_max,
            order: RowOrder::new().map_err(|error| encode_failed(&error))?,
            wanting: (0..inputs.len()).collect(),
            heap: BinaryHeap::with_capacity(inputs.len()),
            inputs,
            output: None,
            last: None,
            chosen: Vec::new(),
            marks,
            marked: Marks::default(),
            rows: 0,
        })
    }

    /// Hands over the row group that was needed.
    pub(crate) fn feed(&mut self, input: usize, bytes: Bytes) -> Result<(), TableError> {
        self.wanting.retain(|wanting| *wanting != input);
        if let Some(source) = self.inputs.get_mut(input) {
            source.open_group(bytes)?;
        }
        self.refill(input)
    }

    /// Goes on until a file is complete or a row group is needed.
    pub(crate) fn advance(&mut self) -> Result<Step, TableError> {
        loop {
            if let Some(step) = self.next_need() {
                return Ok(step);
            }
            let Some(head) = self.heap.peek() else {
                return Ok(self.close()?.map_or(Step::Done, Step::File));
            };
            let ends_file = self.output.as_ref().is_some_and(|output| {
                output.partition != head.partition || output.rows >= self.file_rows_max
            });
            if ends_file && let Some(file) = self.close()? {
                return Ok(Step::File(file));
            }
            self.choose()?;
        }
    }

    /// The row group that is needed first. An input at its end needs none.
    fn next_need(&mut self) -> Option<Step> {
        while let Some(index) = self.wanting.front() {
            let input = self.inputs.get(*index)?;
            if let Some((_, range)) = input.groups.front() {
                return Some(Step::Needs(*index, input.path.clone(), range.clone()));
            }
            self.wanting.pop_front();
        }
        None
    }

    /// Chooses the next row for the output.
    fn choose(&mut self) -> Result<(), TableError> {
        let Some(mut head) = self.heap.peek_mut() else { return Ok(()) };
        if self.output.is_none() {
            let part = match &self.last {
                Some((last, part)) if *last == head.partition => part + 1,
                _ => 0,
            };
            let partition = Arc::clone(&head.partition);
            self.last = Some((Arc::clone(&partition), part));
            let writer = FileWriter::new(Kind::Partition);
            self.output = Some(Output { partition, part, writer, rows: 0 });
        }
        if let Some(output) = &mut self.output {
            output.rows += 1;
        }
        self.chosen.push((head.input, head.row));
        head.row += 1;
        if head.row < head.run_end {
            return Ok(());
        }
        let input = head.input;
        std::collections::binary_heap::PeekMut::pop(head);
        let next = self.inputs.get_mut(input).and_then(|source| source.next_run(input));
        if let Some(next) = next {
            self.heap.push(next);
            return Ok(());
        }
        // The input's batch is used up: what was chosen of it goes out first.
        self.flush()?;
        self.refill(input)
    }

    /// Brings an input's next batch, or notes that it needs a row group.
    fn refill(&mut self, input: usize) -> Result<(), TableError> {
        let Some(source) = self.inputs.get_mut(input) else { return Ok(()) };
        match source.next_batch(input, &self.order, &self.marks, &mut self.marked)? {
            Some(head) => self.heap.push(head),
            None => self.wanting.push_back(input),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TableError> {
        let Some(output) = &mut self.output else { return Ok(()) };
        if self.chosen.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.inputs.iter().map(|input| &input.batch).collect();
        let rows = choose(&batches, &self.chosen).map_err(|error| encode_failed(&error))?;
        output.writer.write(&rows).map_err(|error| encode_failed(&error))?;
        self.rows += self.chosen.len() as u64;
        self.chosen.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<Option<NewFile>, TableError> {
        self.flush()?;
        let Some(output) = self.output.take() else { return Ok(None) };
        let Output { partition, part, writer, rows: _ } = output;
        Ok(Some(NewFile {
            path: self.layout.partition_file(&partition, self.intent, part),
            partition: Some((*partition).clone()),
            encoded: writer.close().map_err(|error| encode_failed(&error))?,
        }))
    }
}

impl Input {
    fn new(file: &DataFile, footer: Footer, wanted: Option<Arc<Wanted>>) -> Self {
        let mut groups: VecDeque<_> = footer.row_groups().into_iter().enumerate().collect();
        if let Some(wanted) = &wanted {
            let day = day_number(wanted.date);
            groups.retain(|(group, _)| footer.days(*group).is_none_or(|days| days.contains(&day)));
        }
        Self {
            path: Path::from(file.path.as_str()),
            partition: file.partition.clone().map(Arc::new),
            groups,
            wanted,
            footer,
            batches: None,
            batch: RecordBatch::new_empty(schema()),
            keys: None,
            runs: VecDeque::new(),
        }
    }

    fn damaged(&self, error: &(impl std::fmt::Display + ?Sized)) -> TableError {
        TableError::Damaged { path: self.path.to_string(), what: error.to_string() }
    }

    fn open_group(&mut self, bytes: Bytes) -> Result<(), TableError> {
        let Some((group, _)) = self.groups.pop_front() else { return Ok(()) };
        let batches = self
            .footer
            .read(group, bytes, INPUT_BATCH_ROWS)
            .map_err(|error| self.damaged(&error))?;
        self.batches = Some(Box::new(batches));
        Ok(())
    }

    fn next_batch(
        &mut self,
        input: usize,
        order: &RowOrder,
        marks: &Marks,
        marked: &mut Marks,
    ) -> Result<Option<Head>, TableError> {
        while let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
            let batch = batch.map_err(|error| self.damaged(&error))?;
            let mut batch = match &self.partition {
                Some(partition) => {
                    self.runs = [(Arc::clone(partition), 0..batch.num_rows())].into();
                    batch
                }
                None => {
                    let (mut batch, mut runs) =
                        without_partitions(&batch).map_err(|error| self.damaged(&error))?;
                    if let Some(wanted) = &self.wanted {
                        (batch, runs) =
                            wanted.select(batch, runs).map_err(|error| self.damaged(&error))?;
                    }
                    let runs = runs.into_iter();
                    self.runs = runs.map(|(partition, rows)| (Arc::new(partition), rows)).collect();
                    batch
                }
            };
            batch = with_indicators(batch).map_err(|error| self.damaged(&error))?;
            if !marks.is_empty() {
                let runs = self.runs.iter().map(|(partition, rows)| (&**partition, rows.clone()));
                batch = marks.apply(batch, runs, marked).map_err(|error| self.damaged(&error))?;
            }
            let keys = order.keys(&batch).map_err(|error| self.damaged(&error))?;
            self.keys = Some(Arc::new(keys));
            self.batch = batch;
            if let Some(head) = self.next_run(input) {
                return Ok(Some(head));
            }
        }
        self.batches = None;
        Ok(None)
    }

    /// The head at the beginning of the next run; the run before has ended.
    fn next_run(&mut self, input: usize) -> Option<Head> {
        let keys = self.keys.as_ref().map(Arc::clone)?;
        let (partition, rows) = self.runs.pop_front()?;
        Some(Head { partition, keys, row: rows.start, run_end: rows.end, input })
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .partition
            .cmp(&self.partition)
            .then_with(|| other.keys.row(other.row).cmp(&self.keys.row(self.row)))
            .then_with(|| other.input.cmp(&self.input))
    }
}
