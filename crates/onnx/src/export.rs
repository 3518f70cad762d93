use std::path::Path;

use htl_models::{Checkpoint, Network, Preprocessing};
use htl_vocabulary::write_whole;
use prost::Message;

use crate::error::OnnxError;
use crate::metadata::metadata;
use crate::operations;
use crate::params::{ExportParams, ExportValidParams};
use crate::proto::{
    DataType, Dimension, Extent, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use crate::writer::{Writer, integer, word};

/// The version of ONNX's operators, that of ONNX 1.12 (2022): the last before `Resize` and `Pad` changed, so that older runtimes
/// read the files as well as new ones do, which know all versions. Nothing here needs a later one.
pub const OPSET: i64 = 17;

/// The version of the file format in which ONNX 1.12 brought [`OPSET`].
const IR_VERSION: i64 = 8;

/// The input: `[batch, channels, size, size]`, RGB in [0, 1].
pub const IMAGE: &str = "image";

/// An output of localizers: `[batch, 1, size, size]`, in [0, 1].
pub const PROBABILITY: &str = "probability";

/// An output of classifiers: `[batch, classes]`, any real numbers.
pub const LOGITS: &str = "logits";

/// An output of classifiers: `[batch, classes]`, in [0, 1], the softmax of [`LOGITS`].
pub const CLASS_PROBABILITY: &str = "class_probability";

/// A network as ONNX.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The file's contents; the same network and parameters give the same.
    pub bytes: Vec<u8>,
    /// Height and width of the images it takes.
    pub size: usize,
    /// The names of its outputs.
    pub outputs: Vec<&'static str>,
}

impl Exported {
    /// Writes the file as a whole: a reader finds the old one or the new one, never a part.
    ///
    /// # Errors
    /// [`OnnxError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), OnnxError> {
        write_whole(path, &self.bytes).map_err(OnnxError::Write)
    }
}

/// A network in evaluation as ONNX, what is done to images first included: images in [0, 1] go in, probabilities come out.
/// Batch normalisation is multiplied into the convolutions. The numbers are those of the network's forward pass up to rounding
/// of 32 bits.
///
/// Input and outputs: [`IMAGE`], [`PROBABILITY`] where the network localizes, [`LOGITS`] and [`CLASS_PROBABILITY`] where it tells
/// classes apart. The batch may be of any size, height and width are fixed. The file's metadata hold the version, architecture,
/// size, mean, standard deviation, threshold and names of the classes.
///
/// # Errors
/// [`OnnxError::Model`] if the record is not of this network or the network's weights are not finite; the others for parameters
/// that do not fit it, and for what ONNX cannot hold.
pub fn export(checkpoint: &Checkpoint, network: &Network, params: &ExportParams) -> Result<Exported, OnnxError> {
    checkpoint.check_with(network)?;
    let params = params.check(checkpoint, network)?;
    let (graph, outputs) = graph(checkpoint, network, params)?;
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "htl".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!(
            "{}. Takes RGB images in [0, 1] of {} x {} pixels and normalises them itself. For research use, not a medical device.",
            network.architecture(),
            params.size,
            params.size
        ),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: metadata(checkpoint, params)?,
    };
    let bytes = model.encoded_len();
    if bytes > i32::MAX as usize {
        return Err(OnnxError::TooLarge { bytes });
    }
    Ok(Exported {
        bytes: model.encode_to_vec(),
        size: params.size,
        outputs,
    })
}

fn graph(
    checkpoint: &Checkpoint,
    network: &Network,
    params: ExportValidParams,
) -> Result<(GraphProto, Vec<&'static str>), OnnxError> {
    let (size, graph) = (params.size, network.graph());
    let side = size.next_multiple_of(graph.stride());
    let mut writer = Writer::default();
    let images = normalised(&mut writer, &checkpoint.preprocessing);
    let images = padded(&mut writer, &images, side - size);
    let results = operations::write(&mut writer, graph, &images, side)?;
    let ends = graph.ends();
    let (mut outputs, mut names) = (Vec::new(), Vec::new());
    if let Some(pixels) = ends.pixels {
        let logits = cropped(&mut writer, &results[pixels.node()], side, size);
        writer.node(PROBABILITY, "Sigmoid", &[&logits], Vec::new());
        let dims = [None, Some(1), Some(size), Some(size)];
        outputs.push(value(PROBABILITY, &dims, "that the lesion is there, for each pixel"));
        names.push(PROBABILITY);
    }
    if let Some(classes) = ends.classes {
        let dims = [None, Some(classes.channels)];
        writer.node(LOGITS, "Flatten", &[&results[classes.node()]], vec![integer("axis", 1)]);
        outputs.push(value(LOGITS, &dims, "one for each class"));
        writer.node(CLASS_PROBABILITY, "Softmax", &[LOGITS], vec![integer("axis", 1)]);
        outputs.push(value(CLASS_PROBABILITY, &dims, "of each class"));
        names.extend([LOGITS, CLASS_PROBABILITY]);
    }
    let channels = network.architecture().in_channels();
    let dims = [None, Some(channels), Some(size), Some(size)];
    let (node, initializer) = writer.finish();
    let graph = GraphProto {
        node,
        name: "htl".into(),
        initializer,
        input: vec![value(IMAGE, &dims, "RGB, values in [0, 1]")],
        output: outputs,
    };
    Ok((graph, names))
}

/// `(image - mean) / std` as predictions compute it: times the reciprocal.
fn normalised(writer: &mut Writer, preprocessing: &Preprocessing) -> String {
    let dims = [preprocessing.mean.len(), 1, 1];
    let scales: Vec<f32> = preprocessing.std.iter().map(|std| 1.0 / std).collect();
    let mean = writer.floats("mean", &dims, &preprocessing.mean);
    let scale = writer.floats("scale", &dims, &scales);
    let centred = writer.node("centred", "Sub", &[IMAGE, &mean], Vec::new());
    writer.node("normalised", "Mul", &[&centred, &scale], Vec::new())
}

/// The last row and column repeated below and on the right, as a forward pass does.
fn padded(writer: &mut Writer, images: &str, rows: usize) -> String {
    if rows == 0 {
        return images.to_owned();
    }
    let rows = rows as i64;
    let pads = writer.integers("pads", &[0, 0, 0, 0, 0, 0, rows, rows]);
    writer.node("padded", "Pad", &[images, &pads], vec![word("mode", "edge")])
}

/// Without what was [`padded`].
fn cropped(writer: &mut Writer, maps: &str, side: usize, size: usize) -> String {
    if side == size {
        return maps.to_owned();
    }
    let size = size as i64;
    let starts = writer.integers("crop/starts", &[0, 0]);
    let ends = writer.integers("crop/ends", &[size, size]);
    let axes = writer.integers("crop/axes", &[2, 3]);
    writer.node("cropped", "Slice", &[maps, &starts, &ends, &axes], Vec::new())
}

/// A tensor of 32-bit numbers that goes in or comes out; a dimension that is not given is the batch.
fn value(name: &str, dims: &[Option<usize>], about: &str) -> ValueInfoProto {
    let dim = |extent: &Option<usize>| Dimension {
        value: Some(match extent {
            Some(extent) => Extent::DimValue(*extent as i64),
            None => Extent::DimParam("batch".into()),
        }),
    };
    let shape = TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float.into(),
                shape: Some(shape),
            }),
        }),
        doc_string: about.to_owned(),
    }
}
