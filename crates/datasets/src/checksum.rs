use std::{fs::File, io::Read, path::Path};

use sha2::{Digest, Sha256};

use crate::DatasetError;

/// SHA-256 of bytes as 64 lower-case hexadecimal digits.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content as 64 lower-case hexadecimal digits.
///
/// # Errors
/// [`DatasetError::Read`] names the file.
pub fn sha256_file(path: &Path) -> Result<String, DatasetError> {
    let mut file = File::open(path).map_err(DatasetError::read(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(DatasetError::read(path))?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
