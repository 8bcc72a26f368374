//! What holds for every frame: the contract, over random bytes, mutated frames and prefixes, and
//! etherparse as a second opinion.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    stacks::{Stack, stack},
    *,
};

/// A valid frame with a few octets changed: often lengths, versions, offsets and flags.
fn mutated() -> impl Strategy<Value = (Stack, Vec<u8>)> {
    let change = (any::<Index>(), any::<u8>());
    (stack(), vec(change, 1..4)).prop_map(|(stack, changes)| {
        let mut frame = stack.bytes();
        // Headers are where it matters.
        let reach = frame.len().min(120);
        for (index, value) in changes {
            frame[index.index(reach)] = value;
        }
        (stack, frame)
    })
}

/// Whether etherparse, where it understands a frame whole, sees the same addresses and ports.
fn second_opinion(frame: &[u8]) -> Result<(), TestCaseError> {
    let Ok(lax) = LaxSlicedPacket::from_ethernet(frame) else {
        return Ok(());
    };
    let (None, Some(net), Some(TransportSlice::Tcp(tcp))) =
        (&lax.stop_err, &lax.net, &lax.transport)
    else {
        return Ok(());
    };
    let addresses: (IpAddr, IpAddr) = match net {
        LaxNetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        LaxNetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        _ => return Ok(()),
    };
    let ports = (tcp.source_port(), tcp.destination_port());
    let is_mail = Service::of_port(ports.0).is_some() || Service::of_port(ports.1).is_some();
    match ethernet(frame) {
        Decoded::Segment(found) => {
            prop_assert_eq!((found.source, found.destination), addresses);
            prop_assert_eq!((found.source_port, found.destination_port), ports);
            prop_assert_eq!(found.sequence, tcp.sequence_number());
            prop_assert_eq!(found.flags.has(TcpFlags::SYN), tcp.syn());
            prop_assert_eq!(found.flags.has(TcpFlags::ACK), tcp.ack());
        }
        Decoded::Crosses(Crossing::NotMail) => prop_assert!(!is_mail, "{:?}", ports),
        Decoded::Evasion(found) => {
            prop_assert!(found.endpoints.is_none_or(|seen| seen == addresses));
        }
        other => prop_assert!(!is_mail, "{:?} for {:?}", other, ports),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_contract_holds_for_any_bytes(data in vec(any::<u8>(), 0..200)) {
        check_contract(&data);
    }

    #[test]
    fn the_contract_holds_for_any_stack_whatever_was_cut_off(stack in stack(), cut in 0_u8..32) {
        check_contract(&case(stack.link(), cut, &stack.bytes()));
    }

    #[test]
    fn the_contract_holds_for_mutated_frames(mutant in mutated(), cut in prop_oneof![Just(0_u8), 0_u8..32]) {
        let (stack, frame) = mutant;
        check_contract(&case(stack.link(), cut, &frame));
    }

    #[test]
    fn etherparse_sees_the_same_addresses_and_ports(mutant in mutated()) {
        let (stack, frame) = mutant;
        if stack.is_plain_ethernet() {
            second_opinion(&stack.bytes())?;
            second_opinion(&frame)?;
        }
    }
}

proptest! {
    #[test]
    fn every_prefix_that_a_capture_keeps_is_judged_as_the_whole_or_unreadable(stack in stack()) {
        let (link, frame) = (stack.link(), stack.bytes());
        let judged = whole(link, &frame);
        let mut readable = false;
        for kept in 0..=frame.len() {
            let decoded = cut(link, &frame[..kept], frame.len());
            let is_readable = decoded != Decoded::Unreadable;
            prop_assert!(is_readable || !readable, "unreadable again at {}", kept);
            readable = is_readable;
            // UDP ports that are not there cannot tell a tunnel.
            let tunnel_unseen = judged == crosses(Crossing::Tunnel)
                && decoded == crosses(Crossing::NotMail);
            prop_assert!(!is_readable || tunnel_unseen || decoded == judged, "{:?}", decoded);
        }
    }

    #[test]
    fn no_prefix_of_a_mail_frame_passes_for_harmless(stack in stack()) {
        let (link, frame) = (stack.link(), stack.bytes());
        if matches!(whole(link, &frame), Decoded::Segment(_)) {
            for kept in 0..frame.len() {
                let decoded = whole(link, &frame[..kept]);
                let judged = matches!(decoded, Decoded::Segment(_) | Decoded::Evasion(_));
                prop_assert!(judged, "{} octets: {:?}", kept, decoded);
            }
        }
    }
}
