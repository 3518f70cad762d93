//! Work shared among threads without the result depending on their number.
//!
//! Every task writes its own part of the output and reduces in an order fixed by the shapes alone. With one thread the
//! loop runs in the caller: no pool, no synchronisation.

use rayon::prelude::*;

/// Threads to run on.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// True if there is only one thread to run on.
pub(crate) fn single() -> bool {
    threads() == 1
}

/// Calls `task(i)` for every `i < count`.
pub(crate) fn each(count: usize, task: impl Fn(usize) + Sync + Send) {
    if count <= 1 || single() {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Calls `task(i, chunk)` for every chunk of `len` elements of `data`.
pub(crate) fn chunks<T: Send>(data: &mut [T], len: usize, task: impl Fn(usize, &mut [T]) + Sync + Send) {
    if data.len() <= len || single() {
        data.chunks_mut(len).enumerate().for_each(|(i, chunk)| task(i, chunk));
    } else {
        data.par_chunks_mut(len)
            .enumerate()
            .for_each(|(i, chunk)| task(i, chunk));
    }
}

/// A pointer that several tasks write through, each to elements of its own.
pub(crate) struct Shared<T> {
    pointer: *mut T,
    len: usize,
}

// SAFETY: `Shared` only hands out parts through `Shared::part`, whose caller promises that parts do not overlap.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(data: &mut [T]) -> Self {
        Self {
            pointer: data.as_mut_ptr(),
            len: data.len(),
        }
    }

    /// Elements `from .. from + len`.
    ///
    /// # Safety
    /// The slice given to `new` is still borrowed, and no two parts alive at the same time overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &mut [T] {
        assert!(
            from.checked_add(len).is_some_and(|end| end <= self.len),
            "part outside of the buffer"
        );
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(from), len) }
    }
}
