//! Where output goes: the terminal, a pipe, or a file that appears when whole.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// Bytes collected before they are handed on.
const BUFFER_BYTES: usize = 256 << 10;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where output goes, and what it may look like there.
pub(crate) struct Target {
    to: Box<dyn Write + Send>,
    /// Whether a person's terminal shows it.
    pub(crate) terminal: bool,
    /// Whether it may have colours.
    pub(crate) color: bool,
    /// Columns of the terminal; none if lines may be as long as they are.
    pub(crate) width: Option<usize>,
    /// The file that is being written, and the name it gets at the end.
    place: Option<(PathBuf, PathBuf)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl Target {
    /// The standard output.
    pub(crate) fn stdout(color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        let width =
            if terminal { comfy_table::Table::new().width().map(usize::from) } else { None };
        Self {
            to: Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())),
            terminal,
            color: may_color(color, terminal),
            width,
            place: None,
        }
    }

    /// A file, which gets its name only when everything is in it.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(crate) fn file(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let file = File::create(&partial)?;
        Ok(Self {
            to: Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)),
            terminal: false,
            color: false,
            width: None,
            place: Some((partial, path.to_owned())),
        })
    }

    #[cfg(test)]
    /// Anything that can be written to, shown as a terminal of this width or as a pipe.
    pub(crate) fn of(
        to: Box<dyn Write + Send>,
        terminal_width: Option<usize>,
        color: bool,
    ) -> Self {
        Self { to, terminal: terminal_width.is_some(), color, width: terminal_width, place: None }
    }

    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(text.as_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.to.flush()?;
        match self.place.take() {
            Some((partial, path)) => std::fs::rename(partial, path),
            None => Ok(()),
        }
    }
}

impl Drop for Target {
    /// What did not become whole is taken away.
    fn drop(&mut self) {
        if let Some((partial, _)) = self.place.take() {
            drop(std::fs::remove_file(partial));
        }
    }
}

fn may_color(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            terminal && !set("NO_COLOR") && !dumb
        }
    }
}
