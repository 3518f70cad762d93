//! Compiles the CUDA kernels, if the feature `cuda` is on: `src/gpu/kernels/all.cu` to PTX, which the driver finishes for
//! the device it finds.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The oldest architecture whose instructions the kernels use (bfloat16 conversion); newer devices gain nothing from theirs.
const OLDEST: &str = "80";

fn main() {
    println!("cargo:rerun-if-changed=src/gpu/kernels");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let home = ["CUDA_HOME", "CUDA_PATH"]
        .iter()
        .find_map(env::var_os)
        .map(PathBuf::from);
    let nvcc = match (env::var_os("NVCC"), home) {
        (Some(nvcc), _) => PathBuf::from(nvcc),
        (None, Some(home)) => home.join("bin/nvcc"),
        (None, None) => PathBuf::from("nvcc"),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
    let output = Command::new(&nvcc)
        .args(["--ptx", "-O3", "-std=c++17", "-arch"])
        .arg(format!("compute_{OLDEST}"))
        .arg("src/gpu/kernels/all.cu")
        .arg("-o")
        .arg(&out)
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{} could not compile the kernels:\n{}",
            nvcc.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!(
            "the feature `cuda` needs NVIDIA's compiler, but {} does not start ({error}); install the CUDA toolkit 13 and set \
             CUDA_HOME, or NVCC",
            nvcc.display()
        ),
    }
}
