//! The choice of device.

use std::str::FromStr;

use anyhow::bail;
use candle_core::Device;

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The best that this version can use: the CPU.
    Auto,
    Cpu,
    Cuda,
    Metal,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "metal" => Ok(Self::Metal),
            _ => Err(format!("unknown device `{text}`: choose auto, cpu, cuda or metal")),
        }
    }
}

impl Choice {
    /// Opens the device.
    ///
    /// # Errors
    /// For CUDA and Metal: the operations of this version run on the CPU.
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => bail!("--device cuda: this version runs on the CPU only; use --device cpu"),
            Self::Metal => bail!("--device metal: this version runs on the CPU only; use --device cpu"),
        }
    }
}

/// The word for a device in results: `cpu`, `cuda` or `metal`.
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}
