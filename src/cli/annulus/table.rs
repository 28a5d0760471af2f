//! Output for people: columns and colours.

use crate::cli::streams::Streams;

/// The colours, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    /// A good state.
    Good,
    /// A bad state.
    Bad,
    /// A heading of a table.
    Head,
}

/// The text with its colour, if colours are wanted.
pub(super) fn tinted(text: &str, tint: Tint, streams: &Streams<'_>) -> String {
    if !streams.colour {
        return text.to_owned();
    }
    let code = match tint {
        Tint::Good => "32",
        Tint::Bad => "31",
        Tint::Head => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Rows in columns separated by two blanks, each line indented by two. The last column is not padded.
pub(super) fn columns<const N: usize>(
    head: [&str; N],
    rows: &[[String; N]],
    streams: &Streams<'_>,
) -> String {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |cells: [&str; N]| {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(widths) {
            line += &format!(" {cell:<width$} ");
        }
        line.trim_end().to_owned()
    };
    let mut text = tinted(&line(head), Tint::Head, streams) + "\n";
    for row in rows {
        text += &(line(std::array::from_fn(|place| row[place].as_str())) + "\n");
    }
    text
}

/// Text from other sources, without terminal control characters.
pub(super) fn harmless(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams::new(&mut out, &mut err);
        let rows = [["1".to_owned(), "ä".to_owned()], ["1000".to_owned(), String::new()]];
        assert_eq!(columns(["ID", "NAME"], &rows, &streams), "  ID    NAME\n  1     ä\n  1000\n");
    }

    #[test]
    fn colours_are_only_used_for_terminals() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams = Streams::new(&mut out, &mut err);
        assert_eq!(tinted("yes", Tint::Good, &streams), "yes");
        streams.colour = true;
        assert_eq!(tinted("yes", Tint::Good, &streams), "\x1b[32myes\x1b[0m");
    }

    #[test]
    fn control_characters_do_not_reach_terminals() {
        assert_eq!(harmless(b"a\x1b[31m\xff\n"), "a\\u{1b}[31m\u{fffd}\\n");
    }
}
