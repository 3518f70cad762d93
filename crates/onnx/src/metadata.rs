use htl_models::Checkpoint;
use serde::Serialize;

use crate::error::OnnxError;
use crate::params::ExportValidParams;
use crate::proto::StringStringEntryProto;

/// What the file says of itself, in a fixed order. Values are JSON, but for words.
pub(crate) fn metadata(
    checkpoint: &Checkpoint,
    params: ExportValidParams,
) -> Result<Vec<StringStringEntryProto>, OnnxError> {
    let preprocessing = &checkpoint.preprocessing;
    let layout = match checkpoint.architecture.in_channels() {
        3 => "NCHW, RGB",
        _ => "NCHW",
    };
    let mut entries = vec![
        ("htl_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("architecture", json(&checkpoint.architecture)?),
        ("size", json(&params.size)?),
        ("mean", json(&preprocessing.mean)?),
        ("std", json(&preprocessing.std)?),
        ("normalised", "by the model".to_owned()),
        ("input_range", json(&[0, 1])?),
        ("input_layout", layout.to_owned()),
        ("resize", "Lanczos, to a square".to_owned()),
        ("classes", json(&checkpoint.classes)?),
    ];
    if let Some(threshold) = params.threshold {
        entries.push(("threshold", json(&threshold)?));
    }
    if let Some(pruning) = &checkpoint.pruning {
        entries.push(("pruning", json(pruning)?));
    }
    let entry = |(key, value): (&str, String)| StringStringEntryProto {
        key: key.to_owned(),
        value,
    };
    Ok(entries.into_iter().map(entry).collect())
}

fn json<T: Serialize>(value: &T) -> Result<String, OnnxError> {
    serde_json::to_string(value).map_err(|error| OnnxError::Write(error.into()))
}
