use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    str::FromStr,
};

use candle_core::Device;

use crate::DeviceError;

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// CUDA where it was built in and a device is there, else Metal likewise, else the CPU.
    Auto,
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of this number.
    Cuda(usize),
    /// The Apple GPU.
    Metal,
}

impl FromStr for Choice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
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
        known.ok_or_else(|| DeviceError::Unknown { name: text.into() })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl Choice {
    /// Opens the device.
    ///
    /// # Errors
    /// For CUDA and Metal: what to build or install, with the driver's own words. [`Choice::Auto`] never fails.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Auto => Ok(best()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => cuda(ordinal),
            Self::Metal => metal(),
        }
    }

    /// Refuses GPUs for what measures the CPU only; `what` names the command.
    ///
    /// # Errors
    /// [`DeviceError::CpuOnly`].
    pub fn need_cpu(self, what: &'static str) -> Result<(), DeviceError> {
        match self {
            Self::Auto | Self::Cpu => Ok(()),
            Self::Cuda(_) | Self::Metal => Err(DeviceError::CpuOnly { what }),
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

fn cuda(ordinal: usize) -> Result<Device, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::WithoutCuda);
    }
    // A stream of its own, and one alone: candle's default is a stream per thread, and what one thread uploads would have
    // no order against what another computes.
    let device =
        opened(|| Device::new_cuda_with_stream(ordinal)).map_err(|said| DeviceError::Cuda { ordinal, said })?;
    #[cfg(feature = "cuda")]
    if let Ok(device) = device.as_cuda_device() {
        crate::cuda::prepare(device);
    }
    Ok(device)
}

fn metal() -> Result<Device, DeviceError> {
    if !cfg!(feature = "metal") {
        return Err(DeviceError::WithoutMetal);
    }
    opened(|| Device::new_metal(0)).map_err(|said| DeviceError::Metal { said })
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
#[must_use]
pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_their_words() {
        for (word, choice) in [
            ("auto", Choice::Auto),
            ("cpu", Choice::Cpu),
            ("cuda", Choice::Cuda(0)),
            ("cuda:3", Choice::Cuda(3)),
            ("metal", Choice::Metal),
        ] {
            assert_eq!(word.parse::<Choice>().unwrap(), choice);
            assert_eq!(choice.to_string(), word);
        }
        for bad in ["tpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            let said = bad.parse::<Choice>().unwrap_err().to_string();
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
        let said = Choice::Cuda(0).need_cpu("htl-bench floor").unwrap_err().to_string();
        assert!(
            said.contains("htl-bench floor") && said.contains("--device cpu"),
            "{said}"
        );
        assert!(Choice::Metal.need_cpu("it").is_err());
    }
}
