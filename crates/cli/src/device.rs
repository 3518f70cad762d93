//! The choice of device.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    str::FromStr,
};

use anyhow::{anyhow, bail};
use candle_core::Device;

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// CUDA where it was built in and a device is there, else Metal likewise, else the CPU.
    Auto,
    Cpu,
    /// The NVIDIA GPU of this number.
    Cuda(usize),
    Metal,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            "metal" => Some(Self::Metal),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda),
        };
        known.ok_or_else(|| {
            format!("unknown device `{text}`: choose auto, cpu, cuda, metal, or cuda:N for the GPU of number N")
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl Choice {
    /// Opens the device.
    ///
    /// # Errors
    /// For CUDA and Metal: what to build or install, with the driver's own words.
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Auto => Ok(best()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => cuda(ordinal),
            Self::Metal => metal(),
        }
    }

    /// Refuses GPUs for what runs on the CPU only; `what` begins the message.
    pub fn need_cpu(self, what: &str) -> anyhow::Result<()> {
        match self {
            Self::Auto | Self::Cpu => Ok(()),
            Self::Cuda(_) | Self::Metal => {
                bail!("{what} measures the CPU only: leave --device out, or use --device cpu")
            }
        }
    }
}

fn best() -> Device {
    for (name, device) in [("cuda", cuda as fn(usize) -> _), ("metal", |_| metal())] {
        match device(0) {
            Ok(device) => return device,
            Err(error) => tracing::debug!("not on {name}: {error}"),
        }
    }
    Device::Cpu
}

fn cuda(ordinal: usize) -> anyhow::Result<Device> {
    if !cfg!(feature = "cuda") {
        bail!(
            "--device cuda: this htl was built without CUDA; build it with `cargo install --path crates/cli --features \
             cuda` where a CUDA 13 toolkit is (see crates/cli/README.md), or use --device cpu"
        );
    }
    // A stream of its own, and one alone: candle's default is a stream per thread, and what one thread uploads would have
    // no order against what another computes.
    let device = opened(|| Device::new_cuda_with_stream(ordinal)).map_err(|said| {
        anyhow!(
            "--device cuda: GPU {ordinal} cannot be opened. It needs an NVIDIA driver 580 or later, the CUDA 13 runtime \
             libraries (with cuBLAS, cuRAND and NVRTC) and cuDNN 9 where the loader finds them (LD_LIBRARY_PATH). The \
             driver says: {said}"
        )
    })?;
    #[cfg(feature = "cuda")]
    crate::cuda::prepare(device.as_cuda_device()?);
    Ok(device)
}

fn metal() -> anyhow::Result<Device> {
    if !cfg!(feature = "metal") {
        bail!(
            "--device metal: this htl was built without Metal; on a Mac, build it with `cargo install --path crates/cli \
             --features metal` (see crates/cli/README.md), or use --device cpu"
        );
    }
    opened(|| Device::new_metal(0)).map_err(|said| anyhow!("--device metal: no GPU can be opened: {said}"))
}

/// What `open` opens, or what it says; candle panics where there is no Apple GPU.
fn opened(open: impl FnOnce() -> candle_core::Result<Device>) -> Result<Device, String> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(open));
    set_hook(hook);
    match result {
        // Without the backtrace that candle's errors carry where RUST_BACKTRACE asks for one.
        Ok(result) => result.map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(text.unwrap_or_else(|| "nothing".into()))
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

/// The most memory of the device that was in use at one time since it was opened; `None` where nobody counts.
pub fn peak_bytes(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => crate::cuda::peak_bytes(device),
        // Candle keeps Metal's buffers in pools of its own and does not say how large they grew.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_their_words() {
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(Choice::Cuda(3)));
        for word in ["auto", "cpu", "cuda", "cuda:3", "metal"] {
            assert_eq!(word.parse::<Choice>().unwrap().to_string(), word);
        }
        for bad in ["tpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            let said = bad.parse::<Choice>().unwrap_err();
            assert!(said.contains(bad) && said.contains("cpu"), "{said}");
        }
    }

    /// What is not built in says how to build it, and `auto` does without.
    #[test]
    fn what_is_not_built_in_says_how_to_build_it() {
        for (built_in, choice, name) in [
            (cfg!(feature = "cuda"), Choice::Cuda(0), "cuda"),
            (cfg!(feature = "metal"), Choice::Metal, "metal"),
        ] {
            if !built_in {
                let said = choice.open().unwrap_err().to_string();
                assert!(said.contains(&format!("--device {name}")), "{said}");
                assert!(said.contains(&format!("--features {name}")), "{said}");
            }
        }
        if !cfg!(any(feature = "cuda", feature = "metal")) {
            assert!(Choice::Auto.open().unwrap().is_cpu());
        }
    }

    /// Candle's panics and errors alike become the words of an error.
    #[test]
    fn a_panic_while_opening_is_an_error() {
        let library = "libcuda.so";
        let said = opened(|| panic!("cannot load {library}")).unwrap_err();
        assert_eq!(said, "cannot load libcuda.so");
        assert_eq!(opened(|| panic!("no device")).unwrap_err(), "no device");
        assert_eq!(opened(|| candle_core::bail!("too old")).unwrap_err(), "too old");
        assert!(opened(|| Ok(Device::Cpu)).unwrap().is_cpu());
    }

    #[test]
    fn only_gpus_are_refused_by_what_needs_the_cpu() {
        assert!(Choice::Auto.need_cpu("it").is_ok() && Choice::Cpu.need_cpu("it").is_ok());
        let said = Choice::Cuda(0).need_cpu("htl bench floor").unwrap_err().to_string();
        assert!(
            said.contains("htl bench floor") && said.contains("--device cpu"),
            "{said}"
        );
        assert!(Choice::Metal.need_cpu("it").is_err());
    }
}
