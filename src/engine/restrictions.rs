//! Who is quarantined: a snapshot beside the policy, swapped whole.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use ipnet::IpNet;

use crate::policy::steps::Scope;

/// Accounting keys with what is taken away from each.
type Snapshot = HashMap<IpNet, Scope, RandomState>;

/// Who is quarantined. Clones are handles of the same; engines look at it once a batch.
#[derive(Clone, Debug, Default)]
pub struct Restrictions(Arc<ArcSwapOption<Snapshot>>);

impl Restrictions {
    /// From the next batch on, these accounting keys are restricted and no others.
    pub fn set(&self, restricted: impl IntoIterator<Item = (IpNet, Scope)>) {
        let snapshot: Snapshot = restricted.into_iter().collect();
        let is_empty = snapshot.is_empty();
        self.0.store((!is_empty).then(|| Arc::new(snapshot)));
    }

    /// How many are restricted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.load().as_ref().map_or(0, |snapshot| snapshot.len())
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.load().is_none()
    }
}

/// One worker's view of it, which stays the same for a batch.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    of: Restrictions,
    snapshot: Option<Arc<Snapshot>>,
}

impl Pinned {
    pub fn new(of: Restrictions) -> Self {
        let snapshot = None;
        Self { of, snapshot }
    }

    /// Takes what is there now. Where nothing changed, no shared counter is touched.
    #[inline]
    pub fn renew(&mut self) {
        let now = self.of.0.load();
        let is_same = match (&*now, &self.snapshot) {
            (None, None) => true,
            (Some(now), Some(pinned)) => Arc::ptr_eq(now, pinned),
            _ => false,
        };
        if !is_same {
            self.snapshot.clone_from(&now);
        }
    }

    /// What is taken away from a subscriber.
    #[inline(always)]
    pub fn scope(&self, key: IpNet) -> Option<Scope> {
        look_up(self.snapshot.as_ref()?, key)
    }
}

#[inline(never)]
fn look_up(snapshot: &Snapshot, key: IpNet) -> Option<Scope> {
    snapshot.get(&key).copied()
}
