//! What loading a policy must hold for any text: it ends, without a panic; a policy comes with no
//! errors and a refusal with at least one; every diagnostic can be shown, and points into its
//! line; and every address of a good policy's pools is somebody's.

use ipnet::IpNet;
use lychgate::policy::{Policy, Role, Severity};

/// Panics where the property is broken.
pub fn holds(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let (good, diagnostics) = match Policy::from_toml("policy.toml", &text) {
        Ok((policy, warnings)) => (Some(policy), warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    assert_eq!(good.is_some(), diagnostics.count(Severity::Error) == 0);
    for diagnostic in &diagnostics.0 {
        assert!(!diagnostic.message.is_empty() && !diagnostic.remedy.is_empty());
        for place in diagnostic.place.iter().chain(&diagnostic.related) {
            assert!(place.line >= 1 && place.column >= 1);
            assert!(place.text.get(place.span.clone()).is_some());
        }
    }
    assert_eq!(
        diagnostics.render(false).is_empty(),
        diagnostics.0.is_empty()
    );
    if let Some(policy) = good {
        policy
            .pools()
            .iter()
            .for_each(|pool| pool_is_known(&policy, pool.prefix));
    }
}

fn pool_is_known(policy: &Policy, prefix: IpNet) {
    for address in [prefix.network(), prefix.broadcast()] {
        match policy.role(address) {
            Role::Subscriber(member) => {
                assert!(usize::from(member.class.0) < policy.classes().len());
                assert_eq!(member.key.trunc(), member.key);
            }
            // Servers stand out of a pool that is everybody.
            Role::Relay | Role::Concentrator => assert_eq!(prefix.prefix_len(), 0),
            Role::Stranger => panic!("{address} is in pool {prefix}"),
        }
    }
}
