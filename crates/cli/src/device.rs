//! The choice of device.

use std::str::FromStr;

use anyhow::{Context, bail};
use candle_core::Device;

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// CUDA or Metal where this build and machine have it, else the CPU.
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
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if candle_core::utils::cuda_is_available() => Device::new_cuda(0).context("opening CUDA device 0"),
            Self::Auto if candle_core::utils::metal_is_available() => {
                Device::new_metal(0).context("opening Metal device 0")
            }
            Self::Auto => Ok(Device::Cpu),
            Self::Cuda if candle_core::utils::cuda_is_available() => Device::new_cuda(0).context("opening CUDA device 0"),
            Self::Cuda => bail!("this htl was built without CUDA: build it with `--features cuda`, or use --device cpu"),
            Self::Metal if candle_core::utils::metal_is_available() => {
                Device::new_metal(0).context("opening Metal device 0")
            }
            Self::Metal => {
                bail!("this htl was built without Metal: build it with `--features metal`, or use --device cpu")
            }
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
