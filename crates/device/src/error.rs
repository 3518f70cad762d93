/// Why there is no device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device is called so.
    #[error("unknown device `{name}`: choose auto, cpu, cuda, metal, or cuda:N for the GPU of number N")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The program was built without the cargo feature `cuda`.
    #[error(
        "--device cuda: this program was built without CUDA; build it with `--features cuda` where a CUDA 13 toolkit is \
         (`cargo install --path crates/cli --features cuda` for htl), or use --device cpu"
    )]
    WithoutCuda,
    /// The program was built without the cargo feature `metal`.
    #[error(
        "--device metal: this program was built without Metal; on a Mac, build it with `--features metal` (`cargo install \
         --path crates/cli --features metal` for htl), or use --device cpu"
    )]
    WithoutMetal,
    /// The GPU cannot be opened.
    #[error(
        "--device cuda: GPU {ordinal} cannot be opened. It needs an NVIDIA driver 580 or later, the CUDA 13 runtime \
         libraries (with cuBLAS, cuRAND and NVRTC) and cuDNN 9 where the loader finds them (LD_LIBRARY_PATH). The driver \
         says: {said}"
    )]
    Cuda {
        /// The GPU's number.
        ordinal: usize,
        /// The driver's words.
        said: String,
    },
    /// The GPU cannot be opened.
    #[error("--device metal: no GPU can be opened: {said}")]
    Metal {
        /// Candle's words.
        said: String,
    },
    /// What is asked for runs on the CPU only.
    #[error("{what} measures the CPU only: leave --device out, or use --device cpu")]
    CpuOnly {
        /// The command.
        what: &'static str,
    },
}
