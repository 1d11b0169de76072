//! Columns of text.

/// Rows under a heading, as wide as they need to be. Empty without rows but for the heading.
pub(super) fn table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let heading = heading.map(str::to_owned);
    let all = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut out = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // A cell with its own line ends would break the columns.
            let cell = cell.replace(['\n', '\r', '\t'], " ");
            line.push_str(&cell);
            let space = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', space));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
