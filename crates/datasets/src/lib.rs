//! Lesion images, masks and demographics: reading, checking, splitting, augmenting, sampling, fetching.
//!
//! A [`DataFolder`] is a folder of `images/`, `masks/` and a `metadata.csv`, checked when it is opened; an [`ImageSet`]
//! holds some of its samples decoded at one size; [`Geometry`] and [`Photometry`] change them, [`Sampler`] says which
//! come next; [`LesionAttributes`] measures what no table states (size, contrast, skin tone); a [`Manifest`] says what
//! the files must be. No network library is needed: images are planar `f32`.
//!
//! ```
//! use htl_datasets::{Geometry, GeometryParams, Photometry, PhotometryParams, Sampler, generator};
//!
//! let sampler = Sampler::uniform(100, 7)?;
//! assert_eq!(sampler.batch(3, 8).len(), 8);
//! let mut rng = generator(7, "augmentation", 3);
//! let geometry = Geometry::sample(&mut rng, &GeometryParams::default());
//! let weak = Photometry::sample(&mut rng, &PhotometryParams::weak());
//! let mut image = geometry.apply(&vec![0.5f32; 3 * 64 * 64], 64);
//! weak.apply(&mut image, 64);
//! assert_eq!(image.len(), 3 * 64 * 64);
//! # Ok::<(), htl_datasets::DatasetError>(())
//! ```
mod attributes;
mod boxes;
mod catalogue;
mod checksum;
mod decode;
#[cfg(feature = "dicom")]
mod dicom;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod folder;
mod found_files;
mod geometry;
mod grouping;
mod id_list;
mod image_set;
#[cfg(feature = "import")]
mod import;
mod inspection;
mod lab;
mod likeness;
mod manifest;
mod mask_file;
mod metadata;
mod photometry;
mod plant;
mod prior;
mod random;
mod read;
mod resize;
mod sample;
mod sampler;
mod split;
mod splits_file;
mod stats;
mod subset;

pub use attributes::{LesionAttributes, MEASUREMENTS, Measurement, attributes};
pub use boxes::{box_mask, ellipse_mask};
pub use catalogue::{Access, CatalogueEntry, CatalogueFile, catalogue};
pub use checksum::{sha256_bytes, sha256_file};
pub use decode::image_size;
pub use error::DatasetError;
#[cfg(feature = "fetch")]
pub use fetch::{FetchLimits, Fetched, fetch};
pub use folder::{DataFolder, MadeSplit, OpenOptions};
pub use found_files::{FileKind, FoundFiles, UnusedFile, UnusedReason, find_files, unused_in_words};
pub use geometry::{Border, Geometry, GeometryParams};
pub use grouping::{Group, groups};
/// The box of this crate's interface: rows and columns as [`htl_metrics`] counts them.
pub use htl_metrics::PixelBox;
/// Which images belong together, by any keys.
pub use htl_metrics::linked;
/// Tables of metadata as this crate reads them, and names that they have for our columns.
pub use htl_vocabulary::{ColumnName, MergedSpelling, MetadataTable};
pub use id_list::{read_ids, write_ids};
/// The image types of this crate's interface, so that callers need not name the version of `image`.
pub use image::{GrayImage, RgbImage};
pub use image_set::{ImageSet, MaskUse};
#[cfg(feature = "import")]
pub use import::{Boxes, ImportOptions, Imported, Origin, import};
pub use inspection::{AlikeImages, Inspection};
pub use lab::{delta_e_76, ita_degrees, lab_from_srgb};
pub use likeness::Likeness;
pub use manifest::{Manifest, ManifestFile, Verification};
pub use mask_file::{Inside, convert_mask, read_mask, read_mask_for, read_prediction};
pub use metadata::{COLUMNS, MetadataRow, parse_metadata};
pub use photometry::{Photometry, PhotometryParams};
pub use plant::{GroupRule, MaskNoise, PLANTED, Planting, Side};
pub use prior::{ColourPrior, PriorSource, colour_prior};
pub use random::generator;
pub use read::read_rgb;
pub use resize::{resize_mask, resize_rgb};
pub use sample::{Sample, Split};
pub use sampler::Sampler;
pub use split::{SplitFractions, grouped_split};
pub use stats::{AreaStats, FolderStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
