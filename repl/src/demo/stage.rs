//! What the demo shows: headlines, statements, live rows above a progress bar.

use indicatif::{ProgressBar, ProgressStyle};

use super::thousands;
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Out, RowPrinter};
use crate::style::{Colours, DIM, PROMPT, paint};

/// The audience sees text only in the table format; scripts see the results alone.
pub(super) struct Stage<'a> {
    out: &'a mut Out,
    colours: Colours,
    bar: ProgressBar,
}

impl<'a> Stage<'a> {
    /// A stage without a progress bar.
    pub(super) fn new(out: &'a mut Out, colours: Colours) -> Self {
        Self { out, colours, bar: ProgressBar::hidden() }
    }

    /// A line about what happens next.
    pub(super) fn say(&mut self, text: &str) -> Result<(), CliError> {
        let line = if self.colours.stdout { paint(PROMPT, text) } else { text.to_owned() };
        self.show(&format!("▸ {line}"))
    }

    /// A statement, indented.
    pub(super) fn statement(&mut self, text: &str) -> Result<(), CliError> {
        for line in text.lines() {
            let line = format!("    {line}");
            let line = if self.colours.stdout { paint(DIM, &line) } else { line };
            self.show(&line)?;
        }
        Ok(())
    }

    /// A whole result.
    pub(super) fn grid(&mut self, grid: &Grid) -> Result<(), CliError> {
        if self.out.format() == Format::Table { self.out.grid(grid) } else { Ok(()) }
    }

    /// Rows of the push query, above the bar.
    pub(super) fn live_rows(&mut self, printer: &mut RowPrinter, rows: &[Vec<Cell>]) -> Result<(), CliError> {
        if self.out.format() != Format::Table {
            return Ok(());
        }
        let out = &mut *self.out;
        self.bar.suspend(|| printer.print(out, rows))
    }

    /// A line below the last headline.
    pub(super) fn note(&mut self, text: &str) -> Result<(), CliError> {
        self.show(&format!("  {text}"))
    }

    /// Starts a bar. It shows on standard error, when that is a terminal.
    pub(super) fn start_bar(&mut self) {
        let style = ProgressStyle::with_template("  [{bar:40}] {percent:>3} %  {msg}  {elapsed}")
            .expect("the template is a constant")
            .progress_chars("━╸ ");
        self.bar = ProgressBar::no_length().with_style(style);
    }

    /// Moves the bar to a share of the file, with the numbers of flights read and joined.
    pub(super) fn move_bar(&self, done: u64, total: Option<u64>, read: u64, joined: u64) {
        if let Some(total) = total {
            self.bar.set_length(total);
            self.bar.set_position(done.min(total));
        }
        self.bar.set_message(format!(
            "{} flights read, {} joined",
            thousands(read),
            thousands(joined.min(read))
        ));
    }

    /// Leaves the bar as it is and goes on below it.
    pub(super) fn finish_bar(&mut self) {
        self.bar.finish();
    }

    fn show(&mut self, line: &str) -> Result<(), CliError> {
        if self.out.format() != Format::Table {
            return Ok(());
        }
        self.out.line(line)?;
        self.out.flush()
    }
}
