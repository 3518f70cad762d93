use std::collections::BTreeSet;

use crate::parameters::Shapes;

/// What programs put in front of a network's names.
const WRAPPERS: [&str; 6] = ["module.", "_orig_mod.", "model.", "network.", "net.", "backbone."];

/// What stands in front of an encoder's names, and what may follow (`encoder.model.` for timm's encoders in
/// segmentation_models_pytorch, `backbone.body.` in torchvision's detectors).
const ENCODERS: [&str; 2] = ["encoder.", "backbone."];
const INNER: [&str; 3] = ["model.", "module.", "body."];

/// From the names of timm, torchvision, segmentation_models_pytorch and the EfficientNet-PyTorch family to those of one network.
pub(super) struct Names {
    /// The network's inverted residual blocks in order, without `encoder.`, and whether each widens first.
    blocks: Vec<(String, Widens)>,
    /// How torchvision's MobileNetV2 has its blocks.
    layout: Layout,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Widens {
    First,
    Not,
}

/// Blocks of torchvision's MobileNetV2: a list of layers, or since 0.4 one of convolutions with their normalisation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Flat,
    Nested,
}

impl Names {
    /// For a network with `own` variables and a file with these names.
    pub fn new<'a>(own: &Shapes, mut theirs: impl Iterator<Item = &'a String>) -> Self {
        let block = |name: &str| {
            let mut parts = name.strip_prefix("encoder.blocks.")?.split('.');
            Some((
                parts.next()?.parse::<usize>().ok()?,
                parts.next()?.parse::<usize>().ok()?,
            ))
        };
        let blocks: BTreeSet<(usize, usize)> = own.keys().filter_map(|name| block(name)).collect();
        let blocks = blocks.into_iter().map(|(stage, at)| {
            let name = format!("blocks.{stage}.{at}");
            let widens = match own.contains_key(&format!("encoder.{name}.conv_pwl.weight")) {
                true => Widens::First,
                false => Widens::Not,
            };
            (name, widens)
        });
        Self {
            blocks: blocks.collect(),
            layout: match theirs.any(|name| name.contains("features.1.conv.0.0.")) {
                true => Layout::Nested,
                false => Layout::Flat,
            },
        }
    }

    /// What the network here calls the tensor, if it has it.
    pub fn ours(&self, theirs: &str) -> String {
        let mut name = theirs;
        loop {
            if let Some(part) = ENCODERS.iter().find_map(|prefix| name.strip_prefix(prefix)) {
                return self.encoder(without(part, &INNER));
            }
            match WRAPPERS.iter().find_map(|prefix| name.strip_prefix(prefix)) {
                Some(rest) => name = rest,
                None => break,
            }
        }
        if let Some(rest) = name.strip_prefix("decoder.") {
            return format!("decoder.{}", decoder(rest));
        }
        if let Some(rest) = name.strip_prefix("segmentation_head.0.") {
            return format!("head.{rest}");
        }
        if let Some(rest) = name.strip_prefix("classification_head.3.") {
            return format!("classification_head.{rest}");
        }
        if name.starts_with("head.") || name.starts_with("classification_head.") {
            return name.to_owned();
        }
        self.encoder(name)
    }

    fn encoder(&self, name: &str) -> String {
        let timm = self.efficientnet(name).or_else(|| self.mobilenet(name));
        format!("encoder.{}", timm.as_deref().unwrap_or(name))
    }

    /// `_blocks.3._expand_conv.weight`, as EfficientNet-PyTorch has it.
    fn efficientnet(&self, name: &str) -> Option<String> {
        if let Some(rest) = name.strip_prefix("_conv_stem.") {
            return Some(format!("conv_stem.{rest}"));
        }
        if let Some(rest) = name.strip_prefix("_bn0.") {
            return Some(format!("bn1.{rest}"));
        }
        let (at, rest) = name.strip_prefix("_blocks.")?.split_once('.')?;
        let (block, widens) = self.blocks.get(at.parse::<usize>().ok()?)?;
        let (layer, rest) = rest.split_once('.')?;
        let layer = match (layer, widens) {
            ("_expand_conv", Widens::First) => "conv_pw",
            ("_bn0", Widens::First) => "bn1",
            ("_depthwise_conv", _) => "conv_dw",
            ("_bn1", Widens::First) => "bn2",
            ("_bn1", Widens::Not) => "bn1",
            ("_project_conv", Widens::First) => "conv_pwl",
            ("_project_conv", Widens::Not) => "conv_pw",
            ("_bn2", Widens::First) => "bn3",
            ("_bn2", Widens::Not) => "bn2",
            _ => return None,
        };
        Some(format!("{block}.{layer}.{rest}"))
    }

    /// `features.3.conv.0.0.weight`, as torchvision's MobileNetV2 has it.
    fn mobilenet(&self, name: &str) -> Option<String> {
        let (at, rest) = name.strip_prefix("features.")?.split_once('.')?;
        let at = at.parse::<usize>().ok()?;
        let Some(before) = at.checked_sub(1) else {
            let stem = rest.strip_prefix("0.").map(|rest| format!("conv_stem.{rest}"));
            return stem.or_else(|| rest.strip_prefix("1.").map(|rest| format!("bn1.{rest}")));
        };
        let (block, widens) = self.blocks.get(before)?;
        let rest = rest.strip_prefix("conv.")?;
        let wide: [(&str, &str); 6] = match self.layout {
            Layout::Nested => [
                ("0.0.", "conv_pw."),
                ("0.1.", "bn1."),
                ("1.0.", "conv_dw."),
                ("1.1.", "bn2."),
                ("2.", "conv_pwl."),
                ("3.", "bn3."),
            ],
            Layout::Flat => [
                ("0.", "conv_pw."),
                ("1.", "bn1."),
                ("3.", "conv_dw."),
                ("4.", "bn2."),
                ("6.", "conv_pwl."),
                ("7.", "bn3."),
            ],
        };
        let narrow: [(&str, &str); 4] = match self.layout {
            Layout::Nested => [
                ("0.0.", "conv_dw."),
                ("0.1.", "bn1."),
                ("1.", "conv_pw."),
                ("2.", "bn2."),
            ],
            Layout::Flat => [("0.", "conv_dw."), ("1.", "bn1."), ("3.", "conv_pw."), ("4.", "bn2.")],
        };
        let layers = match widens {
            Widens::First => &wide[..],
            Widens::Not => &narrow[..],
        };
        let of = |(theirs, ours): &(&str, &str)| Some(format!("{block}.{ours}{}", rest.strip_prefix(theirs)?));
        layers.iter().find_map(of)
    }
}

fn without<'a>(name: &'a str, prefixes: &[&str]) -> &'a str {
    prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// `blocks.2.conv1.0.weight` of segmentation_models_pytorch's U-Net is `2.0.weight` here; other decoders have the same names.
fn decoder(name: &str) -> String {
    let block = || {
        let (at, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
        let (conv, rest) = rest.split_once('.')?;
        let (layer, rest) = rest.split_once('.')?;
        let layer = match (conv, layer) {
            ("conv1", "0") => 0,
            ("conv1", "1") => 1,
            ("conv2", "0") => 3,
            ("conv2", "1") => 4,
            _ => return None,
        };
        Some(format!("{at}.{layer}.{rest}"))
    };
    block().unwrap_or_else(|| name.to_owned())
}

/// What segmentation_models_pytorch calls a tensor of the decoder `unet`.
pub(super) fn smp_unet_decoder(name: &str) -> Option<String> {
    let (at, rest) = name.strip_prefix("decoder.")?.split_once('.')?;
    let (layer, rest) = rest.split_once('.')?;
    let (conv, layer) = match layer {
        "0" => (1, 0),
        "1" => (1, 1),
        "3" => (2, 0),
        "4" => (2, 1),
        _ => return None,
    };
    Some(format!("decoder.blocks.{at}.conv{conv}.{layer}.{rest}"))
}
