//! Tables for people: columns as wide as they need, no lines around them.

use super::output::{Out, Paint};
use comfy_table::{Table, presets::NOTHING};

/// Prints `rows` under `heads`; `paint` says what the row of an index means.
pub(super) fn print(
    heads: &[&str],
    rows: &[Vec<String>],
    paint: impl Fn(usize) -> Option<Paint>,
    out: &mut Out,
) {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(heads.iter().copied());
    for row in rows {
        // A cell is one line, so that line n is row n.
        table.add_row(row.iter().map(|cell| cell.replace('\n', " ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for (line, text) in table.lines().enumerate() {
        let paint = match line.checked_sub(1) {
            None => Some(Paint::Strong),
            Some(row) => paint(row),
        };
        let text = text.trim_end();
        let text = paint.map_or_else(|| text.to_owned(), |paint| out.paint(paint, text));
        out.line(text);
    }
}
