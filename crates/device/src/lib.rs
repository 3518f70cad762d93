//! The device that networks run on: opened by name, with errors that say what to build or install; its memory; and the time of
//! a step on it.
//!
//! ```
//! use htl_device::{Choice, name};
//!
//! let device = "cpu".parse::<Choice>()?.open()?;
//! assert_eq!(name(&device), "cpu");
//! # Ok::<(), htl_device::DeviceError>(())
//! ```
mod choice;
mod clock;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod memory;

pub use choice::{Choice, name};
pub use clock::{Clock, Spread, StepTimes};
pub use error::DeviceError;
pub use memory::PeakMemory;

/// Keeps candle from adding large gradients on threads of its own, which go on spinning afterwards on the cores that the
/// operations need. `CANDLE_NUM_THREADS`, where it is set, stays.
///
/// # Safety
/// No other thread may be running: call it first in `main`.
pub unsafe fn leave_the_cores_to_operations() {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: the caller's, above.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

/// The README's example, run as a test.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
