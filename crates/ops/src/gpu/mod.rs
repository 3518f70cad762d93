//! Features on a device with kernels of its own: maps `[batch, height, width, channels]` in f32 or bfloat16.
//!
//! The operations are written against an [`Engine`]: CUDA, or in tests a stand-in that runs the same kernels, compiled by
//! the host's compiler, on the CPU. `kernels/` holds their source.

mod block;
mod conv;
#[cfg(test)]
mod emulated;
mod engine;
mod join;
mod map;
mod pool;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use engine::Engine;
pub(crate) use map::Map;
