//! What becomes of the ports under way: links, MTUs, queues.

use std::fmt;

use crate::io::Side;

/// A port at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortState {
    /// Its name.
    pub name: String,
    /// Whether it is set up and has a carrier.
    pub is_running: bool,
    /// Its MTU.
    pub mtu: usize,
    /// Its receive queues.
    pub queues: u32,
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortChange {
    /// The link went down.
    Down,
    /// The link came up.
    Up,
    /// Somebody set another MTU.
    Mtu {
        /// What it was.
        was: usize,
        /// What it is.
        now: usize,
        /// The most that a frame's place holds.
        mtu_max: usize,
    },
    /// Somebody set another number of queues.
    Queues {
        /// How many there were.
        was: u32,
        /// How many there are.
        now: u32,
    },
    /// Somebody gave it another name.
    Renamed {
        /// What it is called now.
        now: String,
    },
    /// It is not there any more.
    Gone,
}

impl PortChange {
    /// What has changed on a port, from what it was to what it is; nothing means gone.
    #[must_use]
    pub fn between(was: &PortState, now: Option<&PortState>, mtu_max: usize) -> Vec<Self> {
        let Some(now) = now else {
            return vec![Self::Gone];
        };
        let mut changes = Vec::new();
        if now.name != was.name {
            let now = now.name.clone();
            changes.push(Self::Renamed { now });
        }
        if now.is_running != was.is_running {
            changes.push(if now.is_running { Self::Up } else { Self::Down });
        }
        if now.mtu != was.mtu {
            let (was, now) = (was.mtu, now.mtu);
            changes.push(Self::Mtu { was, now, mtu_max });
        }
        if now.queues != was.queues {
            let (was, now) = (was.queues, now.queues);
            changes.push(Self::Queues { was, now });
        }
        changes
    }

    /// Whether frames are lost or unjudged because of it, until somebody acts.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        match self {
            Self::Down | Self::Up | Self::Renamed { .. } => false,
            Self::Mtu { now, mtu_max, .. } => *now > *mtu_max,
            Self::Queues { .. } | Self::Gone => true,
        }
    }
}

/// A change, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortEvent {
    /// Which port.
    pub side: Side,
    /// The interface's name when it changed.
    pub interface: String,
    /// What has changed.
    pub change: PortChange,
}

impl fmt::Display for PortEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, name) = (self.side, &self.interface);
        write!(out, "{side} {name}: ")?;
        match &self.change {
            PortChange::Down => out.write_str("the link is down; waiting for it to come up"),
            PortChange::Up => out.write_str("the link is up"),
            PortChange::Mtu { was, now, mtu_max } if now > mtu_max => write!(
                out,
                "the MTU is {now} now (it was {was}), and frames hold at most {mtu_max}: longer packets are lost\nremedy: ip link set dev {name} mtu {mtu_max}, on both ports; or start again with a larger --frame-size"
            ),
            PortChange::Mtu { was, now, .. } => write!(
                out,
                "the MTU is {now} now (it was {was}); both ports must have the same, or longer packets are lost"
            ),
            PortChange::Queues { was, now } if now > was => write!(
                out,
                "{now} queues now (there were {was}): frames of the new ones bypass the policy\nremedy: set {was} again with ethtool -L, or start again with {now} on both ports"
            ),
            PortChange::Queues { was, now } => write!(
                out,
                "{now} queues now (there were {was}): some workers have nothing to do\nremedy: set {was} again with ethtool -L, or start again with {now} on both ports"
            ),
            PortChange::Renamed { now } => write!(
                out,
                "is called {now} now; its pins keep the old name until `lychgate detach`, which then needs it back"
            ),
            PortChange::Gone => out.write_str(
                "the interface is gone: nothing crosses\nremedy: bring it back, and start again",
            ),
        }
    }
}

/// How often a port changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// The link went down.
    pub downs: u64,
    /// The link came up.
    pub ups: u64,
    /// Anything else.
    pub others: u64,
}

impl PortCounts {
    /// Counts one change.
    pub const fn count(&mut self, change: &PortChange) {
        match change {
            PortChange::Down => self.downs += 1,
            PortChange::Up => self.ups += 1,
            _ => self.others += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> PortState {
        PortState {
            name: "eth1".to_owned(),
            is_running: true,
            mtu: 1500,
            queues: 2,
        }
    }

    fn text(change: PortChange) -> String {
        PortEvent {
            side: Side::Access,
            interface: "eth1".to_owned(),
            change,
        }
        .to_string()
    }

    #[test]
    fn whatever_changes_is_told_and_nothing_else() {
        let was = state();
        let changes = |now: Option<PortState>| PortChange::between(&was, now.as_ref(), 1770);
        assert_eq!(changes(Some(state())), []);
        let down = PortState {
            is_running: false,
            mtu: 9000,
            queues: 1,
            name: "eth9".to_owned(),
        };
        let all = changes(Some(down.clone()));
        let mtu = PortChange::Mtu {
            was: 1500,
            now: 9000,
            mtu_max: 1770,
        };
        assert_eq!(
            all,
            [
                PortChange::Renamed {
                    now: "eth9".to_owned()
                },
                PortChange::Down,
                mtu,
                PortChange::Queues { was: 2, now: 1 },
            ]
        );
        assert_eq!(changes(None), [PortChange::Gone]);
        let up = PortChange::between(&down, Some(&state()), 1770);
        assert!(up.contains(&PortChange::Up));
    }

    #[test]
    fn what_costs_frames_is_an_alarm_with_its_remedy() {
        let mtu = |now| PortChange::Mtu {
            was: 1500,
            now,
            mtu_max: 1770,
        };
        assert!(mtu(1771).is_alarming() && !mtu(1770).is_alarming());
        assert!(text(mtu(1771)).ends_with(
            "remedy: ip link set dev eth1 mtu 1770, on both ports; or start again with a larger --frame-size"
        ));
        let more = PortChange::Queues { was: 1, now: 2 };
        assert!(more.is_alarming());
        assert!(text(more).contains("frames of the new ones bypass the policy"));
        assert!(PortChange::Gone.is_alarming());
        assert!(!PortChange::Down.is_alarming() && !PortChange::Up.is_alarming());
    }
}
