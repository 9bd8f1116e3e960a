//! Releases the unused memory of a thread's stack.

use crate::limits::STACK_BYTES;

/// Releases the memory of the calling thread's stack beyond its current depth. Otherwise the pages that a deep call has
/// touched, such as one into the database, would stay allocated while the thread waits.
///
/// The thread MUST have a stack of [`STACK_BYTES`] at least, and be less than half of that deep in it.
#[inline(never)]
pub fn release_stack() {
    const PAGE_BYTES: usize = 4096;
    /// The stack that the call itself may need below this frame.
    const MARGIN_BYTES: usize = 512;
    let here = 0_u8;
    let end = (std::hint::black_box(&raw const here).addr() - MARGIN_BYTES) / PAGE_BYTES * PAGE_BYTES;
    let start = (end - STACK_BYTES / 2) as *mut libc::c_void;
    // SAFETY: the pages are the calling thread's stack, below all frames that are in use: this frame is smaller than
    // the margin, and as the function is never inlined it is the last one. The pages are not read before they are
    // written again, and then they are zeros. If the system refuses, they are unchanged.
    unsafe {
        libc::madvise(start, STACK_BYTES / 2, libc::MADV_DONTNEED);
    }
}
