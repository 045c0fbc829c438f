//! An aligned text table: the first column to the left, the others to the right.

/// Lines of `cells` with two spaces between the columns; the first row is the heading.
pub(crate) fn aligned(cells: &[Vec<String>]) -> String {
    let columns = cells.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(|column| width(cells, column)).collect();
    let lines: Vec<String> = cells.iter().map(|row| line(row, &widths)).collect();
    lines.join("\n")
}

fn width(cells: &[Vec<String>], column: usize) -> usize {
    cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cell = |(column, (text, width)): (usize, (&String, &usize))| match column {
        0 => format!("{text:<width$}"),
        _ => format!("{text:>width$}"),
    };
    let cells: Vec<String> = row.iter().zip(widths).enumerate().map(cell).collect();
    cells.join("  ")
}
