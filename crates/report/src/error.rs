use std::path::PathBuf;

/// What can go wrong while reading tables, drawing overlays or rendering a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file could not be opened, read, written or renamed.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done ("read", "write", "rename into place").
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A results file is not valid JSON or lacks a field of the schema.
    #[error("{}: at `{field}`: {reason}; is this a results.json written by `reproduce`?", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in the document, as a dotted path.
        field: String,
        /// What is wrong there.
        reason: String,
    },
    /// A table lacks a column.
    #[error("{}: column `{column}` is missing; expected the header {expected}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: String,
        /// The full header expected.
        expected: String,
    },
    /// A cell of a table cannot be read.
    #[error("{}: row {row}, column `{column}`: found `{found}`, expected {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line number in the file, the header being row 1.
        row: u64,
        /// The column.
        column: String,
        /// The cell's text.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A table is not valid CSV.
    #[error("{}: not a readable CSV table: {reason}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A buffer's length does not fit the shape it came with.
    #[error("{what} of {height} x {width} pixels needs {expected} bytes, found {found}")]
    Buffer {
        /// "image" or "mask".
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Bytes the shape asks for.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// An overlay's magnification is not usable.
    #[error("overlay scale must be from 1 to 16, found {found}")]
    Scale {
        /// The scale given.
        found: usize,
    },
    /// An image could not be encoded.
    #[error("cannot encode the overlay: {0}")]
    Image(#[from] image::ImageError),
    /// The page's template failed: a defect of this crate.
    #[error("cannot render the report: {0}")]
    Template(#[from] minijinja::Error),
}
