//! Walls: of whom the engine would stop or redirect anything, the kernel program keeps nothing that
//! it would; and it goes on keeping everybody else's.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use ipnet::{IpNet, Ipv4Net};
use lychgate::{
    engine::{self, Action, Direction, Engine, Frame, Judgements, Restrictions, Verdict},
    io::{
        Side,
        afxdp::{Fate, Steering, WALLS_MAX, Wall},
    },
    policy::{Policy, Role, steps::Scope},
    source::SourceTable,
    wire::{Link, endpoints},
};

use super::{
    frames::{golden, odd, web},
    steering::steering,
};

/// Everybody is a subscriber, and one has several prefixes.
const POLICY: &str = r#"
[notice]
url = "http://notice.example/"
addresses = ["192.0.2.80"]
redirect = "always"

[class.residential]
smtp = { limit = { connections = 3, window = "1s" } }

[[pool]]
prefix = "0.0.0.0/0"
class = "residential"

[[pool]]
prefix = "::/0"
class = "residential"

[[subscriber]]
name = "several"
prefixes = ["203.0.113.10", "203.0.113.66/32", "2001:db8:200::/64"]
class = "residential"

[sources]
capacity = 4096
"#;

fn is_kept(steering: &Steering, side: Side, frame: &[u8]) -> bool {
    steering.try_frame(side, frame).unwrap() == Fate::Harmless
}

/// What the box does when restrictions change.
fn wall(steering: &Steering, restrictions: &Restrictions, policy: &Policy) {
    let walls = restrictions.walls(policy).into_iter();
    let walls = walls.map(|(prefix, wall)| match wall {
        engine::Wall::Web => (prefix, Wall::Web),
        engine::Wall::Everything => (prefix, Wall::Everything),
    });
    steering.wall(&walls.collect::<Vec<_>>()).unwrap();
}

fn judge(engine: &mut Engine, frame: &[u8]) -> Verdict {
    let frame = Frame {
        bytes: frame,
        wire_length: frame.len() as u32,
        link: Link::Ethernet,
        direction: Some(Direction::Outbound),
        time: 1,
    };
    let mut judgements = Judgements::default();
    engine.process(&[frame], &mut judgements);
    judgements.verdicts[0]
}

/// Everybody who sends one of the frames.
fn senders(policy: &Policy, frames: &[Vec<u8>]) -> BTreeSet<IpNet> {
    let ends = frames
        .iter()
        .filter_map(|frame| endpoints(frame, Link::Ethernet));
    ends.filter_map(|(source, _)| match policy.role(source) {
        Role::Subscriber(member) => Some(member.key),
        _ => None,
    })
    .collect()
}

#[test]
fn nothing_is_kept_of_whom_the_engine_walls_that_it_would_stop_and_all_of_the_others() {
    let (policy, _) = Policy::from_toml("test.toml", POLICY).expect("a valid policy");
    let policy = Arc::new(policy);
    let frames: Vec<_> = golden().into_iter().chain(odd(600, 22)).collect();
    let senders = senders(&policy, &frames);
    let restrictions = Restrictions::default();
    let sources = Arc::new(SourceTable::new(policy.capacity(), Some(0)));
    let engine = Engine::new(Arc::clone(&policy), sources);
    let mut engine = engine.restricted_by(restrictions.clone());
    steering(|steering| {
        let kept = |frame: &Vec<u8>| is_kept(steering, Side::Access, frame);
        let before: Vec<_> = frames.iter().map(kept).collect();
        // Each is, in turn, in the garden, quarantined, and free.
        for turn in 0..3 {
            let restricted = senders.iter().enumerate().filter_map(|(index, &key)| {
                let scope = [Some(Scope::Garden), Some(Scope::Mail), None][(index + turn) % 3];
                Some((key, scope?))
            });
            restrictions.set(restricted);
            wall(steering, &restrictions, &policy);
            let (mut stopped, mut still) = (0, 0);
            for (frame, &was_kept) in frames.iter().zip(&before) {
                let verdict = judge(&mut engine, frame);
                let kept = is_kept(steering, Side::Access, frame);
                if turn == 0 {
                    let inbound = is_kept(steering, Side::Uplink, frame);
                    assert_eq!(inbound, was_kept, "inbound: {frame:02x?}");
                }
                assert!(was_kept || !kept, "{frame:02x?}");
                if was_kept && verdict.action != Action::Forward {
                    assert!(!kept, "{verdict:?}: {frame:02x?}");
                    stopped += 1;
                }
                still += u32::from(kept);
            }
            assert!(
                stopped > 20 && still > 20,
                "a poor test: {stopped}, {still}"
            );
        }
        restrictions.set::<Scope>([]);
        wall(steering, &restrictions, &policy);
        let after: Vec<_> = frames.iter().map(kept).collect();
        assert_eq!(after, before, "released, all at once");
    });
}

#[test]
fn who_is_only_to_be_told_keeps_everything_but_pages_in_the_clear_in_the_kernel() {
    steering(|steering| {
        let key = "192.0.2.1/32".parse().unwrap();
        let http = {
            let mut frame = web();
            frame[14 + 20 + 2..][..2].copy_from_slice(&80_u16.to_be_bytes());
            frame
        };
        let kept = |frame: &[u8]| is_kept(steering, Side::Access, frame);
        for (wall, web_kept) in [(Wall::Web, true), (Wall::Everything, false)] {
            steering.wall(&[(key, wall)]).unwrap();
            assert_eq!((kept(&web()), kept(&http)), (web_kept, false), "{wall:?}");
        }
        // Of two, the higher one; and no wall is left standing.
        steering
            .wall(&[(key, Wall::Everything), (key, Wall::Web)])
            .unwrap();
        assert!(!kept(&web()));
        steering.wall(&[]).unwrap();
        assert!(kept(&web()) && kept(&http));
    });
}

#[test]
fn more_walls_than_there_is_room_for_bring_everything_to_the_workers() {
    let walls = |count: usize| -> Vec<_> {
        let host = |number| Ipv4Net::new(Ipv4Addr::from_bits(number), 32).unwrap();
        let all = (0..count as u32).map(|number| IpNet::from(host(0x0a00_0000 + number)));
        all.map(|prefix| (prefix, Wall::Web)).collect()
    };
    steering(|steering| {
        let kept = |side| is_kept(steering, side, &web());
        steering.wall(&walls(WALLS_MAX)).unwrap();
        assert!(kept(Side::Access), "there is room");
        steering.wall(&walls(WALLS_MAX + 1)).unwrap();
        assert!(!kept(Side::Access) && kept(Side::Uplink), "there is none");
        steering.wall(&walls(3)).unwrap();
        assert!(kept(Side::Access), "there is again");
    });
}
