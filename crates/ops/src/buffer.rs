//! Buffers that are reused: fresh memory costs a page fault for every 4 KiB touched, each training step anew.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::real::Real;

/// A free list of vectors.
pub struct Pool<T: 'static> {
    free: Mutex<Vec<Vec<T>>>,
}

/// The list keeps at most this many buffers, the largest going first.
const MOST_BUFFERS: usize = 192;

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self {
            free: Mutex::new(Vec::new()),
        }
    }
}

impl<T: Real> Pool<T> {
    fn take(&self, len: usize) -> Vec<T> {
        let Ok(mut free) = self.free.lock() else {
            return Vec::new();
        };
        let mut best: Option<(usize, usize)> = None;
        for (index, vec) in free.iter().enumerate() {
            let held = vec.len();
            // Not more than twice the need, so that small requests do not hold large buffers.
            if held >= len && held <= 2 * len + 1024 && best.is_none_or(|(_, h)| held < h) {
                best = Some((index, held));
            }
        }
        match best {
            Some((index, _)) => free.swap_remove(index),
            None => Vec::new(),
        }
    }

    fn give(&self, vec: Vec<T>) {
        if vec.is_empty() {
            return;
        }
        if let Ok(mut free) = self.free.lock() {
            if free.len() >= MOST_BUFFERS
                && let Some(largest) = (0..free.len()).max_by_key(|&i| free[i].len())
            {
                free.swap_remove(largest);
            }
            free.push(vec);
        }
    }

    fn clear(&self) {
        if let Ok(mut free) = self.free.lock() {
            free.clear();
        }
    }
}

/// Frees the memory that operations keep for reuse between calls.
pub fn release_buffers() {
    f32::pool().clear();
    f64::pool().clear();
}

/// Tells the C library's allocator to keep freed memory instead of handing it back to the system; true if it could.
///
/// Training frees and allocates the same large tensors every step, and each fresh page costs a fault: without this call
/// about a quarter of a training step's time goes there. Call it once at the start of a program that trains. It does
/// nothing (and returns false) elsewhere than on Linux with glibc. The price is that memory once used stays with the
/// process.
pub fn keep_freed_memory() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        const M_TRIM_THRESHOLD: i32 = -1;
        const M_MMAP_MAX: i32 = -4;
        // SAFETY: `mallopt` is glibc's, takes two integers, and may be called at any time.
        unsafe { mallopt(M_TRIM_THRESHOLD, i32::MAX) == 1 && mallopt(M_MMAP_MAX, 0) == 1 }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// A vector from the free list; returns there when dropped.
pub(crate) struct Buffer<T: Real> {
    /// Never shortened: growing again would write zeros.
    data: Vec<T>,
    len: usize,
}

impl<T: Real> Buffer<T> {
    /// `len` elements with unspecified (old) contents.
    pub(crate) fn stale(len: usize) -> Self {
        let mut data = T::pool().take(len);
        if data.len() < len {
            data = vec![T::default(); len];
        }
        Self { data, len }
    }

    /// The elements as a vector that does not return to the free list.
    pub(crate) fn into_vec(mut self) -> Vec<T> {
        let mut data = std::mem::take(&mut self.data);
        data.truncate(self.len);
        data
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(T::default());
        buffer
    }
}

impl<T: Real> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[..self.len]
    }
}

impl<T: Real> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[..self.len]
    }
}

impl<T: Real> Drop for Buffer<T> {
    fn drop(&mut self) {
        T::pool().give(std::mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let address = {
            let buffer = Buffer::<f64>::zeros(77_777);
            buffer.as_ptr()
        };
        let again = Buffer::<f64>::stale(77_777);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(again.len(), 77_777);
        assert_eq!(Buffer::<f64>::zeros(10).len(), 10);
    }
}
