use std::path::PathBuf;

/// A file that does not follow its format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A file could not be written; the reason names it.
    #[error(transparent)]
    NotWritten(std::io::Error),
    /// A file could not be opened or read.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done: `read`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not JSON, or lacks a field of the format.
    #[error("{}: at `{field}`: {reason}; is this a {what} written by htl?", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What it should be: `results.json`, `run.json`.
        what: &'static str,
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
        /// The whole header.
        expected: String,
    },
    /// A cell of a table cannot be read.
    #[error("{}: row {row}, column `{column}`: found `{found}`, expected {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line number in the file; the header is row 1.
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
}

/// Reads a JSON file; `what` says which kind of file it should be: `results.json`, `summary.json`.
///
/// # Errors
/// [`FormatError::Io`] if it cannot be read, [`FormatError::Json`] naming the field that does not fit.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &std::path::Path, what: &'static str) -> Result<T, FormatError> {
    let text = std::fs::read_to_string(path).map_err(|source| FormatError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| FormatError::Json {
        path: path.to_owned(),
        what,
        field: error.path().to_string(),
        reason: error.into_inner().to_string(),
    })
}
