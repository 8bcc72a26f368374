//! SPF (RFC 7208): who may send mail in a domain's name, as the policy sees it.
//!
//! [`designated`] tells which addresses a policy lets send mail without limit, [`write()`] makes the
//! records that say so, and [`compare()`] tells what a given record lacks or allows beyond. Nothing
//! here asks the DNS: what a record says by `include`, `a`, `mx` and the like is named as not
//! judged.

mod addresses;
mod compare;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use addresses::Addresses;
pub use compare::{Comparison, Lack, compare};
pub use read::{Mechanism, Mistake, Outcome, Record, Term, read};
pub use write::{Part, SpfError, Unlisted, write};

use crate::policy::{Policy, Role, Rule};

/// Look-ups that a receiver makes for one record at most (RFC 7208 §4.6.4).
pub const LOOKUPS_MAX: usize = 10;
/// Octets of a record and its name together that fit every DNS answer (RFC 7208 §3.4).
pub const OCTETS_ADVISED: usize = 450;
/// Octets of one string of a TXT record (RFC 1035 §3.3).
pub const STRING_MAX: usize = 255;

/// The addresses that may send mail without limit: the relays, and unless `relays_only` the
/// subscribers whose class says `smtp = "allow"`.
#[must_use]
pub fn designated(policy: &Policy, relays_only: bool) -> Addresses {
    let mut prefixes = Vec::new();
    policy.each_prefix(&mut |prefix, role| {
        let designated = match role {
            Role::Relay => true,
            Role::Subscriber(member) => {
                !relays_only && policy.class(member.class).smtp == Rule::Allow
            }
            Role::Concentrator | Role::Stranger => false,
        };
        if designated {
            prefixes.push(prefix);
        }
    });
    prefixes.into_iter().collect()
}
