//! Work shared among threads without the result depending on their number.
//!
//! Every task writes its own part of the output and reduces in an order fixed by the shapes alone. With one thread the
//! loop runs in the caller: no pool, no synchronisation.

use crate::team;

/// Threads to run on: those of the rayon pool that the caller is in, or of the global one (`RAYON_NUM_THREADS`).
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `task(i)` for every `i < count`.
pub(crate) fn each(count: usize, task: impl Fn(usize) + Sync + Send) {
    let threads = if count <= 1 { 1 } else { threads() };
    if threads == 1 {
        (0..count).for_each(task);
    } else {
        team::run(count, threads, &task);
    }
}

/// Calls `task(i, chunk)` for every chunk of `len` elements of `data`.
pub(crate) fn chunks<T: Send>(data: &mut [T], len: usize, task: impl Fn(usize, &mut [T]) + Sync + Send) {
    let total = data.len();
    let shared = Shared::new(data);
    each(total.div_ceil(len), |i| {
        // SAFETY: chunks do not overlap, each index is visited once, and `data` is borrowed until `each` returns.
        task(i, unsafe { shared.part(i * len, len.min(total - i * len)) });
    });
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
