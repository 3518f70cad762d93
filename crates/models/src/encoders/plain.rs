use super::{EncoderRow, setting};
use crate::architecture::{Allowed, Setting, Settings};
use crate::error::ModelError;
use crate::graph::{GraphBuilder, Value};
use crate::layers::ConvShape;

/// How often the images are halved.
const HALVINGS: usize = 3;

const WIDTH: Setting = Setting {
    name: "width",
    about: "channels at full size, doubled with every halving",
    default: 16,
    allowed: Allowed::Between(1, 1024),
};

/// After Ronneberger et al. 2015, with batch normalisation; names `encoder.{level}.{0,1,3,4}`.
pub(super) const ROW: EncoderRow = EncoderRow {
    name: "plain",
    about: "four blocks of two 3x3 convolutions, 2x2 max pooling between them",
    settings: &[WIDTH],
    pretrained: None,
    build,
};

fn build(graph: &mut GraphBuilder<'_>, images: Value, settings: &Settings) -> Result<Vec<Value>, ModelError> {
    let width = setting(settings, WIDTH);
    let mut levels = Vec::new();
    let mut maps = images;
    for level in 0..=HALVINGS {
        if level > 0 {
            maps = graph.max_pool(maps, 2, 2, 0);
        }
        for layer in [0, 3] {
            let names = [layer, layer + 1].map(|index| format!("encoder.{level}.{index}"));
            let names = names.each_ref().map(String::as_str);
            maps = graph.conv_norm(names, maps, width << level, ConvShape::default())?;
        }
        levels.push(maps);
    }
    Ok(levels)
}
