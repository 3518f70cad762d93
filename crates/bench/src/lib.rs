//! What htl's speed is measured on: single operations with the least work they take.
//!
//! The program `htl-bench` of this package measures them, and PyTorch beside them; `benches/operations.rs` does in divan's
//! way.
//!
//! ```
//! let operation = htl_bench::find("max-pool2x2-16-at128").expect("an operation of the table");
//! let mut prepared = operation.prepare()?;
//! let output = prepared.forward()?;
//! assert_eq!(output.dims(), [8, 16, 64, 64]);
//! assert!(prepared.backward(&output)?.is_some());
//! # Ok::<(), candle_core::Error>(())
//! ```
mod cases;

pub use cases::{BATCH, Conv, Filter, Kind, OPERATIONS, Operation, Prepared, Work, find};
