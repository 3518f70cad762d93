//! Tables as people save them: comma, semicolon or tab between the cells, with or without a byte-order mark.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A table with a header, all of whose rows have the header's length. Cells are trimmed; rows without any text are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    path: PathBuf,
    separator: u8,
    header: Vec<String>,
    rows: Vec<TableRow>,
}

/// A row of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// Line in the file, from 1 (the header).
    pub line: u64,
    /// A text per column.
    pub cells: Vec<String>,
}

/// What is wrong with a table that people made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The table.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The header does not do.
    #[error("{}: {problem}", path.display())]
    Header {
        /// The table.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A row does not do.
    #[error("{} line {line}: {problem}", path.display())]
    Row {
        /// The table.
        path: PathBuf,
        /// Line in the file, from 1 (the header).
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Several of these.
    #[error("{}", crate::one_a_line(problems))]
    Several {
        /// All of them, in the order of the file.
        problems: Vec<TableError>,
    },
}

impl TableError {
    /// Nothing of no problem, the problem itself of one, else all of them.
    ///
    /// # Errors
    /// The problems.
    pub fn all(mut problems: Vec<Self>) -> Result<(), Self> {
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(Self::Several { problems }),
        }
    }
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// [`TableError::Read`]; as [`Table::parse`].
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let text = std::fs::read(path).map_err(|source| TableError::Read {
            path: path.into(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a table; `path` is only named in errors. Whichever of comma, semicolon and tab the header has most of
    /// is what stands between cells.
    ///
    /// # Errors
    /// A column name that occurs twice; every row of another length than the header, and every row that is not UTF-8.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, TableError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let separator = separator(text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text);
        let row_error = |line: u64, problem: String| TableError::Row {
            path: path.into(),
            line,
            problem,
        };
        let unreadable = |error: csv::Error, line: u64| {
            let problem = match error.kind() {
                csv::ErrorKind::Utf8 { .. } => "not UTF-8 text; save the table as UTF-8".to_owned(),
                _ => error.to_string(),
            };
            row_error(line, problem)
        };
        let header: Vec<String> = reader
            .headers()
            .map_err(|error| unreadable(error, 1))?
            .iter()
            .map(str::to_owned)
            .collect();
        let mut seen = HashSet::new();
        if let Some(name) = header
            .iter()
            .find(|name| !name.is_empty() && !seen.insert(name.as_str()))
        {
            return Err(TableError::Header {
                path: path.into(),
                problem: format!("column `{name}` occurs more than once in the header; rename or remove one"),
            });
        }
        let (mut rows, mut problems) = (Vec::new(), Vec::new());
        let mut lines = Lines::new(text);
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error.position().map_or(lines.line, |position| lines.of(position));
                    problems.push(unreadable(error, line));
                    continue;
                }
            };
            let line = record.position().map_or(lines.line, |position| lines.of(position));
            if record.iter().all(str::is_empty) {
                continue;
            }
            if record.len() != header.len() {
                problems.push(row_error(
                    line,
                    format!(
                        "{} field(s), but the header has {}; a value that holds a {} needs double quotes",
                        record.len(),
                        header.len(),
                        match separator {
                            b';' => "semicolon",
                            b'\t' => "tab",
                            _ => "comma",
                        }
                    ),
                ));
                continue;
            }
            rows.push(TableRow {
                line,
                cells: record.iter().map(str::to_owned).collect(),
            });
        }
        TableError::all(problems)?;
        Ok(Self {
            path: path.into(),
            separator,
            header,
            rows,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands between cells: a comma, a semicolon or a tab.
    pub fn separator(&self) -> u8 {
        self.separator
    }

    /// Names of the columns; some may be blank.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The rows, in order.
    pub fn rows(&self) -> &[TableRow] {
        &self.rows
    }

    /// A problem of this table's header.
    pub fn header_error(&self, problem: String) -> TableError {
        TableError::Header {
            path: self.path.clone(),
            problem,
        }
    }

    /// A problem of one of its rows.
    pub fn row_error(&self, line: u64, problem: String) -> TableError {
        TableError::Row {
            path: self.path.clone(),
            line,
            problem,
        }
    }
}

/// Counts lines as editors do: csv's own count is one short where lines end in two characters.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, byte: 0, line: 1 }
    }

    /// The line on which a record starts; records come in order.
    fn of(&mut self, position: &csv::Position) -> u64 {
        let before = usize::try_from(position.byte()).unwrap_or(usize::MAX);
        while let Some(byte) = self.text.get(self.byte) {
            if self.byte >= before && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.line += u64::from(*byte == b'\n');
            self.byte += 1;
        }
        self.line
    }
}

/// Whichever of comma, semicolon and tab the first line has most of outside of quotes.
fn separator(text: &[u8]) -> u8 {
    let mut counts = [(b',', 0usize), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => {
                for (separator, count) in &mut counts {
                    *count += usize::from(byte == separator);
                }
            }
        }
    }
    let [comma, others @ ..] = counts;
    let most = |most: (u8, usize), other: (u8, usize)| if other.1 > most.1 { other } else { most };
    others.into_iter().fold(comma, most).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Table, TableError> {
        Table::parse(text, Path::new("some/t.csv"))
    }

    /// What spreadsheet programs of several countries write is one table.
    #[test]
    fn separators_line_ends_and_marks_make_no_difference() {
        let plain = parse(b"a,b\n1,x y\n").unwrap();
        for other in [
            &b"\xef\xbb\xbfa;b\r\n1;x y\r\n;\r\n"[..],
            b"a\tb\n 1 \tx y\n\n",
            b"\"a\",\"b\"\r\n\"1\",\"x y\"",
        ] {
            let table = parse(other).unwrap();
            assert_eq!((table.header(), table.rows()), (plain.header(), plain.rows()));
        }
        assert_eq!(parse(b"a;\"b,c,d\"\n1;2\n").unwrap().header(), ["a", "b,c,d"]);
    }

    #[test]
    fn all_bad_rows_are_named_at_once() {
        let message = parse(b"a,b\n1\n1,2\n1,2,3\nx,\xff\n").unwrap_err().to_string();
        for part in [
            "3 problems",
            "some/t.csv line 2: 1 field(s)",
            "line 4: 3 field(s)",
            "line 5: not UTF-8",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let many = format!("a,b\n{}", "1\n".repeat(100));
        let message = parse(many.as_bytes()).unwrap_err().to_string();
        assert!(
            message.starts_with("100 problems") && message.ends_with("and 80 more"),
            "{message}"
        );
        let message = parse(b"a,b,a\n").unwrap_err().to_string();
        assert!(message.contains("`a` occurs more than once"), "{message}");
    }

    /// A header of very many columns is read in a moment.
    #[test]
    fn wide_headers_take_linear_time() {
        let header: Vec<String> = (0..200_000).map(|i| format!("c{i}")).collect();
        assert_eq!(parse(header.join(",").as_bytes()).unwrap().header().len(), 200_000);
    }
}
