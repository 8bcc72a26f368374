//! Memory that is taken whole at start and then hit at random: huge pages and prefetches.
//!
//! A random access to a table of 100 MB on 4 KiB pages misses the TLB nearly always, and in a
//! virtual machine each miss walks two page tables. Measured with 256 MB (docs/performance.md):
//! 38 ns a load on small pages, 18 ns on huge ones.
//!
//! A load that misses keeps its place in the processor's reorder buffer until the line is there, and
//! a few hundred instructions later everything waits for it. A prefetch retires at once, so the
//! batch's misses overlap with the work on its other frames.
//!
//! No safe crate offers either, so this is the one place outside `io::afxdp` with unsafe code.

#![allow(unsafe_code)]

/// `count` default values, on huge pages where the kernel grants them (with
/// `transparent_hugepage=always` or `madvise`; elsewhere on ordinary pages).
///
/// Everything is touched once, so that no page fault comes later.
#[must_use]
pub fn huge_array<T: Default>(count: usize) -> Box<[T]> {
    let mut array = Vec::with_capacity(count);
    advise_huge(&mut array);
    array.resize_with(count, T::default);
    array.into_boxed_slice()
}

#[cfg(all(target_os = "linux", not(any(miri, loom))))]
fn advise_huge<T>(array: &mut Vec<T>) {
    const PAGE: usize = 4096;
    let bytes = array.spare_capacity_mut();
    let start = bytes.as_mut_ptr().addr().next_multiple_of(PAGE);
    let end = (bytes.as_mut_ptr().addr() + size_of_val(bytes)) / PAGE * PAGE;
    if start >= end {
        return;
    }
    let first = bytes
        .as_mut_ptr()
        .cast::<std::ffi::c_void>()
        .map_addr(|_| start);
    // SAFETY: madvise(2) asks that the range be mapped and its start be page-aligned. It lies
    // within the vector's own allocation, which is borrowed mutably here. MADV_HUGEPAGE changes
    // neither contents nor protection, only how the kernel backs the range.
    let advised =
        unsafe { rustix::mm::madvise(first, end - start, rustix::mm::Advice::LinuxHugepage) };
    // A kernel without huge pages refuses; the array works all the same, only slower.
    let _slower = advised.is_err();
}

#[cfg(any(not(target_os = "linux"), miri, loom))]
fn advise_huge<T>(_: &mut Vec<T>) {}

/// Asks for the cache line that `value` begins on, and does not wait for it.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: PREFETCHT0 is part of SSE, which every x86-64 processor has; it is a hint that
        // neither faults nor changes anything the program can see, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_whole_whatever_its_size() {
        for count in [0, 1, 7, 5000, 300_000] {
            let array = huge_array::<u64>(count);
            assert_eq!(array.len(), count);
            assert!(array.iter().all(|&value| value == 0));
        }
    }
}
