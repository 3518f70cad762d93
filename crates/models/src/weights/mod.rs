//! Weights of other programs, both ways: files of PyTorch and of safetensors, the names of timm, torchvision and
//! segmentation_models_pytorch.
//!
//! ```
//! use candle_core::Device;
//! use htl_models::{Architecture, Network, Part, weights};
//! use htl_models::weights::{Naming, Scope};
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("weights.safetensors");
//! let architecture = Architecture::classifier(Part::new("mobilenet-v2"), 2)?;
//! let trained = Network::build(&architecture, 1, &Device::Cpu)?;
//! weights::write(&file, &trained.state_dict(Naming::Htl)?)?;
//!
//! let network = Network::build(&architecture, 2, &Device::Cpu)?;
//! let adopted = network.adopt(&weights::read(&file)?, Scope::Encoder)?;
//! assert!(adopted.missed.is_empty() && adopted.left == ["head.bias", "head.weight"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod adopt;
mod identify;
mod locate;
mod names;
mod pickle;
mod published;
mod read;
#[cfg(test)]
mod reference;
mod storages;
mod torch;
mod write;

pub use adopt::{Adopted, Misshapen, Scope};
pub use identify::{Identified, identify};
pub use locate::locate;
pub use published::{Member, PUBLISHED, Published, published};
pub use read::{member, read};
pub use write::{Naming, write};
