use super::{DecoderRow, from_coarse};
use crate::architecture::{Allowed, Setting, Settings};
use crate::encoders::setting;
use crate::error::ModelError;
use crate::graph::{GraphBuilder, Value};
use crate::layers::ConvShape;

const WIDTH: Setting = Setting {
    name: "width",
    about: "channels at full size, doubled with every halving",
    default: 16,
    allowed: Allowed::Between(1, 1024),
};

/// After Ronneberger et al. 2015, with batch normalisation and nearest-neighbour upsampling; names `decoder.{block}.{0,1,3,4}`.
/// With a width of 16 it is that of segmentation_models_pytorch's `Unet`.
pub(super) const ROW: DecoderRow = DecoderRow {
    name: "unet",
    about: "blocks of two 3x3 convolutions on doubled maps and the encoder's of that size, up to full size",
    settings: &[WIDTH],
    build,
};

fn build(graph: &mut GraphBuilder<'_>, levels: &[Value], settings: &Settings) -> Result<Value, ModelError> {
    let width = setting(settings, WIDTH);
    let (mut maps, finer) = from_coarse(ROW.name, levels)?;
    let finer: Vec<Value> = finer.collect();
    let mut block = 0;
    while maps.stride > 1 {
        let stride = maps.stride / 2;
        let skip = finer.iter().copied().find(|level| level.stride == stride);
        let outputs = width << stride.ilog2();
        let names = [0, 1, 3, 4].map(|layer| format!("decoder.{block}.{layer}"));
        maps = graph.doubled_conv_norm([&names[0], &names[1]], maps, skip, outputs)?;
        maps = graph.conv_norm([&names[2], &names[3]], maps, outputs, ConvShape::default())?;
        block += 1;
    }
    Ok(maps)
}
