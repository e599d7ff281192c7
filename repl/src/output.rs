//! Results on standard output: as a table, as JSON lines or as CSV.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use clap::ValueEnum;
use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets};

use crate::cell::Cell;
use crate::error::CliError;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: fitted to the terminal
    Table,
    /// A JSON object per row and line
    Json,
    /// Comma-separated values with a line of names
    Csv,
}

/// Name of a column and how its cells are aligned.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    /// The name as printed.
    pub(crate) name: String,
    /// Whether cells stand at the right.
    pub(crate) numeric: bool,
}

impl Heading {
    /// A column of text.
    pub(crate) fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), numeric: false }
    }

    /// A column of numbers.
    pub(crate) fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), numeric: true }
    }
}

/// Rows of a result that ends.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    headings: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// A grid without rows.
    pub(crate) fn new(headings: Vec<Heading>) -> Self {
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.headings.len(), "a row has a cell per heading");
        self.rows.push(row);
    }
}

/// Standard output, buffered; a closed pipe becomes [`CliError::ClosedPipe`], which ends the program quietly.
pub(crate) struct Out {
    writer: BufWriter<StdoutLock<'static>>,
    format: Format,
    width: Option<u16>,
}

impl Out {
    /// Takes standard output.
    pub(crate) fn new(format: Format) -> Self {
        let stdout = io::stdout();
        let width = if stdout.is_terminal() { terminal_width() } else { None };
        Self { writer: BufWriter::with_capacity(64 * 1024, stdout.lock()), format, width }
    }

    /// How results are printed.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.writer.write_all(text.as_bytes())?;
        Ok(self.writer.write_all(b"\n")?)
    }

    /// Hands what is buffered to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.writer.flush()?)
    }

    /// Prints a whole result in the chosen format.
    pub(crate) fn grid(&mut self, grid: &Grid) -> Result<(), CliError> {
        match self.format {
            Format::Table => {
                let text = table(grid, self.width);
                self.line(&text)?;
            }
            Format::Json => {
                for row in &grid.rows {
                    let line = json_line(&grid.headings, row);
                    self.line(&line)?;
                }
            }
            Format::Csv => {
                let names = csv_line(grid.headings.iter().map(|heading| heading.name.as_str()));
                self.line(&names)?;
                for row in &grid.rows {
                    let line = csv_line(row.iter().map(Cell::csv));
                    self.line(&line)?;
                }
            }
        }
        self.flush()
    }

    /// Prints a whole result as the Kafka tools do: for people, aligned columns without lines around them, `-` for
    /// what is missing.
    pub(crate) fn columns(&mut self, grid: &Grid) -> Result<(), CliError> {
        if self.format != Format::Table {
            let headings = grid
                .headings
                .iter()
                .map(|heading| Heading { name: snake_case(&heading.name), numeric: heading.numeric });
            return self.grid(&Grid { headings: headings.collect(), rows: grid.rows.clone() });
        }
        let text = |cell: &Cell| match cell {
            Cell::Null => "-".to_owned(),
            cell => cell.text().into_owned(),
        };
        let heads = grid.headings.iter().map(|heading| heading.name.clone()).collect();
        let rows: Vec<Vec<String>> = std::iter::once(heads)
            .chain(grid.rows.iter().map(|row| row.iter().map(text).collect()))
            .collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default().max(10)
        };
        let widths: Vec<usize> = (0..grid.headings.len()).map(width).collect();
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            self.line(cells.join(" ").trim_end())?;
        }
        self.flush()
    }
}

/// Rows of a result that has no end: widths are settled by the first rows, and later cells are cut to them.
pub(crate) struct RowPrinter {
    headings: Vec<Heading>,
    widths: Option<Vec<usize>>,
}

impl RowPrinter {
    /// A printer that has printed nothing, not even the names.
    pub(crate) fn new(headings: Vec<Heading>) -> Self {
        Self { headings, widths: None }
    }

    /// Prints rows, and before the first of them the names, then flushes.
    pub(crate) fn print(&mut self, out: &mut Out, rows: &[Vec<Cell>]) -> Result<(), CliError> {
        let first = self.widths.is_none();
        let widths = self.widths.get_or_insert_with(|| settle_widths(&self.headings, rows, out.width));
        match out.format {
            Format::Table => {
                if first {
                    let names = self.headings.iter().map(|heading| (heading.name.as_str(), heading.numeric));
                    out.line(&fixed_line(names, widths))?;
                    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                    out.line(&rule.join("──"))?;
                }
                for row in rows {
                    let texts: Vec<_> = row.iter().map(Cell::text).collect();
                    let cells = texts
                        .iter()
                        .zip(&self.headings)
                        .map(|(text, heading)| (text.as_ref(), heading.numeric));
                    out.line(&fixed_line(cells, widths))?;
                }
            }
            Format::Json => {
                for row in rows {
                    out.line(&json_line(&self.headings, row))?;
                }
            }
            Format::Csv => {
                if first {
                    out.line(&csv_line(self.headings.iter().map(|heading| heading.name.as_str())))?;
                }
                for row in rows {
                    out.line(&csv_line(row.iter().map(Cell::csv)))?;
                }
            }
        }
        out.flush()
    }
}

/// A name for programs: `CURRENT-OFFSET`, `CurrentOffset` and `COORDINATOR (ID)` have one with underscores.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for character in name.chars() {
        if character.is_alphanumeric() {
            if character.is_uppercase() && after_lower {
                snake.push('_');
            }
            after_lower = character.is_lowercase();
            snake.extend(character.to_lowercase());
        } else {
            after_lower = false;
            if !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
        }
    }
    snake.trim_end_matches('_').to_owned()
}

/// Columns of the terminal that standard output or standard error shows on.
pub(crate) fn terminal_width() -> Option<u16> {
    Table::new().set_content_arrangement(ContentArrangement::Dynamic).width()
}

fn table(grid: &Grid, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED.with_rounded_corners());
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty(),
    };
    table.set_header(grid.headings.iter().map(|heading| TableCell::new(&heading.name)));
    for row in &grid.rows {
        table.add_row(row.iter().zip(&grid.headings).map(|(cell, heading)| {
            let cell = TableCell::new(cell.text());
            if heading.numeric { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    table.trim_fmt()
}

fn json_line(headings: &[Heading], row: &[Cell]) -> String {
    let mut line = String::from("{");
    for (i, (heading, cell)) in headings.iter().zip(row).enumerate() {
        if i > 0 {
            line.push(',');
        }
        line.push_str(&Cell::Text(heading.name.clone()).json());
        line.push(':');
        line.push_str(&cell.json());
    }
    line.push('}');
    line
}

/// Joins fields as RFC 4180 has it: quoted only when they hold a comma, a quote or a line break.
fn csv_line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (i, field) in fields.enumerate() {
        if i > 0 {
            line.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&field.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(field);
        }
    }
    line
}

/// Widths that hold the names and the first rows, shrunk to fit the terminal, widest first.
fn settle_widths(headings: &[Heading], rows: &[Vec<Cell>], width: Option<u16>) -> Vec<usize> {
    const LEAST: usize = 6;
    let mut widths: Vec<usize> =
        headings.iter().map(|heading| heading.name.chars().count().max(LEAST)).collect();
    for row in rows.iter().take(100) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text().chars().count());
        }
    }
    // A first row of small numbers should not cut the later, larger ones.
    for (width, heading) in widths.iter_mut().zip(headings) {
        *width = if heading.numeric { (*width).max(10) } else { *width + *width / 4 };
    }
    let Some(terminal) = width else { return widths };
    let room = usize::from(terminal).saturating_sub(2 * headings.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= LEAST {
            break;
        }
        *widest -= 1;
    }
    widths
}

fn fixed_line<'a>(cells: impl Iterator<Item = (&'a str, bool)>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (i, ((text, right), width)) in cells.zip(widths).enumerate() {
        if i > 0 {
            line.push_str("  ");
        }
        let length = text.chars().count();
        let padding = " ".repeat(width.saturating_sub(length));
        if right {
            line.push_str(&padding);
        }
        if length > *width {
            line.extend(text.chars().take(width - 1));
            line.push('…');
        } else {
            line.push_str(text);
        }
        if !right {
            line.push_str(&padding);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_programs() {
        let names =
            ["CURRENT-OFFSET", "CurrentOffset", "COORDINATOR (ID)", "#PARTITIONS", "Duration(min)", "name"];
        let expected =
            ["current_offset", "current_offset", "coordinator_id", "partitions", "duration_min", "name"];
        assert_eq!(names.map(snake_case), expected);
    }

    fn grid() -> Grid {
        let mut grid = Grid::new(vec![Heading::text("NAME"), Heading::number("N")]);
        grid.push(vec![Cell::Text("a,\"b\"".into()), Cell::Number("1".into())]);
        grid.push(vec![Cell::Null, Cell::Number("22".into())]);
        grid
    }

    #[test]
    fn tables_align_numbers_at_the_right() {
        let expected = "\
╭───────┬────╮
│ NAME  ┆ N  │
╞═══════╪════╡
│ a,\"b\" ┆  1 │
│ null  ┆ 22 │
╰───────┴────╯";
        assert_eq!(table(&grid(), None), expected);
    }

    #[test]
    fn tables_fit_the_terminal() {
        let mut grid = Grid::new(vec![Heading::text("A"), Heading::text("B")]);
        grid.push(vec![Cell::Text("word ".repeat(30)), Cell::Text("x".repeat(90))]);
        for line in table(&grid, Some(60)).lines() {
            assert!(line.chars().count() <= 60, "{line}");
        }
    }

    #[test]
    fn csv_quotes_what_needs_it_and_leaves_null_empty() {
        let grid = grid();
        assert_eq!(csv_line(grid.rows[0].iter().map(Cell::csv)), "\"a,\"\"b\"\"\",1");
        assert_eq!(csv_line(grid.rows[1].iter().map(Cell::csv)), ",22");
    }

    #[test]
    fn json_keeps_types() {
        let grid = grid();
        assert_eq!(json_line(&grid.headings, &grid.rows[0]), r#"{"NAME":"a,\"b\"","N":1}"#);
        assert_eq!(json_line(&grid.headings, &grid.rows[1]), r#"{"NAME":null,"N":22}"#);
    }

    #[test]
    fn endless_rows_are_cut_to_the_settled_widths() {
        let headings = [Heading::text("NAME"), Heading::number("N")];
        let widths = settle_widths(&headings, &[], Some(20));
        assert_eq!(widths, [7, 10]);
        assert_eq!(
            fixed_line([("abcdefghij", false), ("1", true)].into_iter(), &widths),
            "abcdef…           1"
        );
    }
}
