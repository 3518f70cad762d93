use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use htl_vocabulary::write_whole_with;
use serde::{Deserialize, Serialize};

use crate::error::{MiningError, Result};
use crate::map_kind::MapKind;
use crate::population::Population;

/// How maps are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// 32-bit floating point, exact.
    #[default]
    F32,
    /// 8 bits, value q / 255, a quarter of the size. The side of 0.5 on which a value lies is kept exactly, so masks of
    /// probability maps do not change.
    U8,
}

/// The JSON under the key `population` of a file's `__metadata__`: one key, so that equal populations give equal bytes.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    kind: MapKind,
    ids: Vec<String>,
}

const METADATA_KEY: &str = "population";

impl Population {
    /// Writes a safetensors file: `maps.<k>` per seed (`F32` or `U8`), ids and kind as JSON under the key `population`
    /// of `__metadata__`. Written whole or not at all; one image in memory at a time.
    ///
    /// # Errors
    /// [`MiningError::Write`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, encoding: Encoding) -> Result<()> {
        let path = path.as_ref();
        let bad = |problem: String| MiningError::PopulationFile {
            path: path.to_path_buf(),
            problem,
        };
        let (dtype, bytes) = match encoding {
            Encoding::F32 => ("F32", 4),
            Encoding::U8 => ("U8", 1),
        };
        let header = Header {
            version: 1,
            kind: self.kind(),
            ids: self.ids().to_vec(),
        };
        let header = serde_json::to_string(&header).map_err(|e| bad(e.to_string()))?;
        let mut json = serde_json::Map::new();
        json.insert("__metadata__".into(), serde_json::json!({ METADATA_KEY: header }));
        let (height, width) = self.size();
        let length = self.len() * height * width * bytes;
        for seed in 0..self.seeds() {
            json.insert(
                format!("maps.{seed}"),
                serde_json::json!({
                    "dtype": dtype,
                    "shape": [self.len(), height, width],
                    "data_offsets": [seed * length, (seed + 1) * length],
                }),
            );
        }
        let mut json = serde_json::Value::Object(json).to_string().into_bytes();
        json.resize(json.len().next_multiple_of(8), b' '); // data start at a multiple of eight, as safetensors writes it
        let mut failure = None;
        write_whole_with(path, |writer| {
            writer.write_all(&(json.len() as u64).to_le_bytes())?;
            writer.write_all(&json)?;
            for seed in 0..self.seeds() {
                for image in 0..self.len() {
                    let plane = match self.plane(seed, image) {
                        Ok(plane) => plane,
                        Err(error) => {
                            failure = Some(error);
                            return Err(std::io::Error::other("map could not be read"));
                        }
                    };
                    writer.write_all(&encode(&plane, encoding))?;
                }
            }
            Ok(())
        })
        .map_err(|error| failure.unwrap_or(MiningError::Write(error)))
    }

    /// Reads a file that [`Population::save`] wrote. Eight-bit maps stay at eight bits in memory.
    ///
    /// # Errors
    /// [`MiningError::Io`] if it cannot be read, [`MiningError::PopulationFile`] if it is not such a file, and as
    /// [`Population::new`] on wrong values.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = MiningError::io(path);
        let bad = |problem: String| MiningError::PopulationFile {
            path: path.to_path_buf(),
            problem,
        };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut prefix = [0u8; 8];
        file.read_exact(&mut prefix)
            .map_err(|_| bad("shorter than a safetensors header".into()))?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > size.saturating_sub(8) {
            return Err(bad("header longer than the file: truncated, or not safetensors".into()));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(io)?;
        // Checks names, shapes and offsets against each other; whether the file is long enough is checked below.
        let metadata: safetensors::tensor::Metadata =
            serde_json::from_slice(&header).map_err(|e| bad(format!("header: {e}")))?;
        let described = metadata.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
        let described = described.ok_or_else(|| bad(format!("no `{METADATA_KEY}` in its metadata")))?;
        let described: Header =
            serde_json::from_str(described).map_err(|e| bad(format!("metadata `{METADATA_KEY}`: {e}")))?;
        if described.version != 1 {
            return Err(bad(format!(
                "format version {} is newer than this program",
                described.version
            )));
        }
        let tensors = metadata.tensors();
        let mut maps = Vec::with_capacity(tensors.len());
        for seed in 0..tensors.len() {
            let name = format!("maps.{seed}");
            let info = tensors
                .get(&name)
                .ok_or_else(|| bad(format!("{} tensors, but no `{name}`", tensors.len())))?;
            let (start, end) = info.data_offsets;
            if (end as u64).saturating_add(8 + header_length) > size {
                return Err(bad(format!("`{name}` reaches beyond the end of the file: truncated")));
            }
            let mut bytes = vec![0u8; end - start];
            file.seek(SeekFrom::Start(8 + header_length + start as u64))
                .map_err(io)?;
            file.read_exact(&mut bytes).map_err(io)?;
            let dtype = match info.dtype {
                safetensors::Dtype::F32 => DType::F32,
                safetensors::Dtype::U8 => DType::U8,
                other => return Err(bad(format!("`{name}` is {other:?}, expected F32 or U8"))),
            };
            maps.push(Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &Device::Cpu)?);
        }
        let population = Self::assemble(described.kind, described.ids, maps)?;
        population.check_values()?;
        Ok(population)
    }

    /// [`Population::load`] each file and [`Population::merge`] them by id.
    ///
    /// # Errors
    /// As both.
    pub fn load_all<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        let parts = paths.into_iter().map(Self::load).collect::<Result<Vec<_>>>()?;
        Self::merge(parts)
    }
}

fn encode(plane: &[f32], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::F32 => plane.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Encoding::U8 => plane.iter().map(|value| quantise(*value)).collect(),
    }
}

/// Nearest of 256 levels, except that no value changes sides of 0.5.
fn quantise(value: f32) -> u8 {
    let level = (value * 255.0).round() as u8;
    if value > 0.5 { level.max(128) } else { level.min(127) }
}
