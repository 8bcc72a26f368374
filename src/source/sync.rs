//! The atomics of this module: the machine's, or loom's where interleavings are explored.

#[cfg(not(loom))]
pub(super) use portable_atomic::{AtomicU32, AtomicU64, AtomicU128, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(super) use self::model::AtomicU128;
#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// loom has no 128-bit atomic. Every operation of ours on one is a load or a compare-and-swap, so
/// a mutex around the value shows loom the same interleavings.
#[cfg(loom)]
mod model {
    use loom::sync::{Mutex, atomic::Ordering};

    #[derive(Debug, Default)]
    pub struct AtomicU128(Mutex<u128>);

    impl AtomicU128 {
        pub fn load(&self, _: Ordering) -> u128 {
            *self.0.lock().expect("no panic under the lock")
        }

        pub fn compare_exchange(
            &self,
            current: u128,
            new: u128,
            _: Ordering,
            _: Ordering,
        ) -> Result<u128, u128> {
            let mut value = self.0.lock().expect("no panic under the lock");
            if *value == current {
                Ok(std::mem::replace(&mut value, new))
            } else {
                Err(*value)
            }
        }
    }
}
