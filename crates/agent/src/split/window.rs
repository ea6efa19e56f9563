//! The stretch of content that is being looked at.

/// How large a window is as long as its pieces are small.
const WINDOW_BYTES: usize = 256 << 10;

/// The largest window, which is the largest piece that is looked at whole: a
/// record of 1 MiB, every byte of it escaped once, and an envelope around it.
pub(crate) const WINDOW_BYTES_MAX: usize = 4 << 20;

/// Bytes of content, consumed at the front and filled at the back.
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Content offset of the first byte held.
    at: u64,
}

impl Window {
    /// An empty window at a content offset.
    pub(crate) fn new(at: u64) -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, at }
    }

    /// What is held.
    pub(crate) fn held(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Content offset of the first byte held.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Lets go of the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.at += count as u64;
    }

    /// Whether nothing more can be taken in before something is let go.
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start >= WINDOW_BYTES_MAX
    }

    /// Where more content goes; empty only if the window is full.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > WINDOW_BYTES {
                self.bytes = Vec::new();
            }
        }
        // Moving what is left costs least when little is left.
        if self.start > 0 && (self.end == self.bytes.len() || self.end - self.start < 4096) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let wanted = (self.bytes.len() * 2).clamp(WINDOW_BYTES, WINDOW_BYTES_MAX);
            self.bytes.resize(wanted, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes in the first `count` bytes of [`Window::room`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}
