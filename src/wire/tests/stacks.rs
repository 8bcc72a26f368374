//! Random stacks of every layer in every order that networks have, with the answer predicted from
//! what was put together and never from the bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{build::*, *};

/// What a frame begins with.
#[derive(Clone, Debug)]
enum Base {
    Ethernet,
    Snap,
    Ip,
    Sll,
    Sll2,
    Loopback { big_endian: bool },
    Ppp { framing: bool },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Nobody,
    Source,
    Destination,
}

/// A tunnel around the packet, and which of its ends is a concentrator.
#[derive(Clone, Debug)]
struct Outer {
    v6: bool,
    concentrator: End,
}

/// How the packet is fragmented; `kept` counts octets behind the (fragment) header.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    Whole,
    Atomic,
    First { kept: usize },
    Later { offset: u16 },
}

#[derive(Clone, Debug)]
enum Upper {
    Tcp {
        ports: (u16, u16),
        flags: u16,
        words: u8,
        data: usize,
    },
    Udp {
        ports: (u16, u16),
        data: usize,
    },
    Other {
        protocol: u8,
        data: usize,
    },
}

/// A frame as a recipe.
#[derive(Clone, Debug)]
pub struct Stack {
    base: Base,
    tags: Vec<(u16, u16)>,
    pppoe: Option<bool>,
    labels: usize,
    outer: Option<Outer>,
    v6: bool,
    options: Vec<u8>,
    /// Kind and length of each extension header, in front of the fragment header and behind it.
    before: Vec<(u8, usize)>,
    after: Vec<(u8, usize)>,
    pieces: Pieces,
    upper: Upper,
    padding: usize,
}

fn ports() -> impl Strategy<Value = (u16, u16)> {
    let port = select(vec![25, 465, 587, 80, 53, 1023, 4789, 40_000, 0x1900]);
    (port.clone(), port)
}

fn upper() -> impl Strategy<Value = Upper> {
    let tcp =
        (ports(), 0_u16..0x200, 0_u8..=10, 0_usize..40).prop_map(|(ports, flags, words, data)| {
            Upper::Tcp {
                ports,
                flags,
                words,
                data,
            }
        });
    let udp = (ports(), 0_usize..40).prop_map(|(ports, data)| Upper::Udp { ports, data });
    let other = (select(vec![1, 2, 47, 50, 58, 59, 89, 132]), 0_usize..40)
        .prop_map(|(protocol, data)| Upper::Other { protocol, data });
    prop_oneof![6 => tcp, 1 => udp, 1 => other]
}

fn base() -> impl Strategy<Value = Base> {
    prop_oneof![
        4 => Just(Base::Ethernet),
        1 => Just(Base::Snap),
        1 => Just(Base::Ip),
        1 => Just(Base::Sll),
        1 => Just(Base::Sll2),
        1 => any::<bool>().prop_map(|big_endian| Base::Loopback { big_endian }),
        1 => any::<bool>().prop_map(|framing| Base::Ppp { framing }),
    ]
}

fn extensions() -> impl Strategy<Value = Vec<(u8, usize)>> {
    let one = prop_oneof![
        (select(vec![0_u8, 43, 60, 135, 139, 140]), 1_usize..6)
            .prop_map(|(kind, words)| (kind, words * 8)),
        (3_usize..9).prop_map(|words| (51, words * 4)),
    ];
    prop_oneof![5 => Just(Vec::new()), 3 => vec(one.clone(), 1..4), 1 => vec(one, 4..7)]
}

fn pieces() -> impl Strategy<Value = Pieces> {
    prop_oneof![
        4 => Just(Pieces::Whole),
        1 => Just(Pieces::Atomic),
        2 => (0_usize..12).prop_map(|words| Pieces::First { kept: words * 8 }),
        1 => (1_u16..4).prop_map(|offset| Pieces::Later { offset }),
    ]
}

fn outer() -> impl Strategy<Value = Option<Outer>> {
    let concentrator = select(vec![End::Nobody, End::Source, End::Destination]);
    let outer =
        (any::<bool>(), concentrator).prop_map(|(v6, concentrator)| Outer { v6, concentrator });
    option::weighted(0.25, outer)
}

/// Any stack.
pub fn stack() -> impl Strategy<Value = Stack> {
    let tag = (select(vec![0x8100_u16, 0x88a8, 0x9100]), any::<u16>());
    let tags = prop_oneof![4 => vec(tag.clone(), 0..3), 1 => vec(tag, 3..10)];
    let labels = prop_oneof![5 => Just(0), 1 => 1_usize..4, 1 => 7_usize..10];
    let options = prop_oneof![3 => Just(0), 1 => 0_usize..=10].prop_map(|words| vec![1; words * 4]);
    (
        (base(), tags, option::weighted(0.25, any::<bool>()), labels),
        (outer(), any::<bool>(), options, extensions(), extensions()),
        (pieces(), upper(), 0_usize..30),
    )
        .prop_map(|(link, network, rest)| {
            let (base, tags, pppoe, labels) = link;
            let (outer, v6, options, before, after) = network;
            let (pieces, upper, padding) = rest;
            Stack {
                base,
                tags,
                pppoe,
                labels,
                outer,
                v6,
                options,
                before,
                after,
                pieces,
                upper,
                padding,
            }
            .feasible()
        })
}

impl Stack {
    /// Takes away what this base or family cannot carry.
    fn feasible(mut self) -> Self {
        if matches!(
            self.base,
            Base::Ip | Base::Loopback { .. } | Base::Ppp { .. }
        ) {
            self.tags.clear();
            self.pppoe = None;
        }
        if matches!(self.base, Base::Ip | Base::Loopback { .. }) {
            self.labels = 0;
        }
        if self.v6 {
            self.options.clear();
        } else {
            self.before.clear();
            self.after.retain(|&(kind, _)| kind == 51);
        }
        if let Pieces::First { kept } = self.pieces {
            self.pieces = Pieces::First {
                kept: kept.min(self.fragmentable().len()),
            };
        }
        self
    }

    pub fn link(&self) -> Link {
        match self.base {
            Base::Ethernet | Base::Snap => Link::Ethernet,
            Base::Ip => Link::Ip,
            Base::Sll => Link::LinuxSll,
            Base::Sll2 => Link::LinuxSll2,
            Base::Loopback { .. } => Link::Loopback,
            Base::Ppp { .. } => Link::Ppp,
        }
    }

    pub fn is_plain_ethernet(&self) -> bool {
        matches!(self.base, Base::Ethernet) && self.pppoe.is_none() && self.labels == 0
    }

    fn upper(&self) -> (u8, Vec<u8>) {
        match self.upper {
            Upper::Tcp {
                ports,
                flags,
                words,
                data,
            } => (TCP, tcp_with(ports, flags, words, data)),
            Upper::Udp { ports, data } => (UDP, udp(ports, data)),
            Upper::Other { protocol, data } => (protocol, vec![0x5a; data]),
        }
    }

    /// Extension headers around `body`: the first one's kind, and all of it.
    fn extended(chain: &[(u8, usize)], inner: u8, body: Vec<u8>) -> (u8, Vec<u8>) {
        chain
            .iter()
            .rev()
            .fold((inner, body), |(next, body), &(kind, length)| {
                (kind, extension(kind, length, next, &body))
            })
    }

    fn fragmentable(&self) -> Vec<u8> {
        let (protocol, body) = self.upper();
        Self::extended(&self.after, protocol, body).1
    }

    /// The innermost IP packet.
    fn packet(&self) -> Vec<u8> {
        let (protocol, body) = self.upper();
        let (protocol, body) = Self::extended(&self.after, protocol, body);
        let (field, more, kept) = match self.pieces {
            Pieces::Whole => (None, false, body.len()),
            Pieces::Atomic => (Some(0), false, body.len()),
            Pieces::First { kept } => (Some(0), true, kept),
            Pieces::Later { offset } => (Some(offset), false, body.len()),
        };
        let body = &body[..kept];
        if !self.v6 {
            let fragment = field.unwrap_or(0) | if more { 0x2000 } else { 0 };
            let options = self.options.clone();
            return V4 {
                protocol,
                fragment,
                options,
                ..V4::default()
            }
            .around(body);
        }
        let (protocol, body) = match field {
            Some(offset) => (44, fragment(offset, more, protocol, body)),
            None => (protocol, body.to_vec()),
        };
        let (protocol, body) = Self::extended(&self.before, protocol, body);
        ipv6(protocol, &body)
    }

    fn outer_addresses(outer: &Outer) -> (IpAddr, IpAddr) {
        let (client, server, own): (IpAddr, IpAddr, IpAddr) = if outer.v6 {
            (CLIENT6.into(), SERVER6.into(), ip(AFTR))
        } else {
            (CLIENT.into(), SERVER.into(), ip(RELAY_6IN4))
        };
        match outer.concentrator {
            End::Nobody => (client, server),
            End::Source => (own, client),
            End::Destination => (client, own),
        }
    }

    /// The outermost IP packet, and whether it is IPv6.
    fn tunnelled(&self) -> (bool, Vec<u8>) {
        let packet = self.packet();
        let Some(outer) = &self.outer else {
            return (self.v6, packet);
        };
        let protocol = if self.v6 { 41 } else { 4 };
        let packet = match Self::outer_addresses(outer) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => V4 {
                source,
                destination,
                protocol,
                ..V4::default()
            }
            .around(&packet),
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ipv6_between(source, destination, protocol, &packet)
            }
            _ => unreachable!("both ends are of one family"),
        };
        (outer.v6, packet)
    }

    /// The outermost IP packet behind its labels, and the ethertype and PPP protocol it has.
    fn labelled(&self) -> (u16, u16, Vec<u8>) {
        let (v6, mut body) = self.tunnelled();
        for level in 0..self.labels {
            body = label(level == 0, &body);
        }
        match (self.labels, v6) {
            (0, false) => (0x0800, 0x0021, body),
            (0, true) => (0x86dd, 0x0057, body),
            _ => (0x8847, 0x0281, body),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (mut ethertype, ppp, mut body) = self.labelled();
        if let Some(compressed) = self.pppoe {
            let field = ppp.to_be_bytes();
            let field = if compressed && ppp < 0x100 {
                &field[1..]
            } else {
                &field
            };
            body = pppoe(&[field, &body].concat());
            ethertype = 0x8864;
        }
        if matches!(self.base, Base::Snap) {
            body = snap(ethertype, &body);
            ethertype = body.len() as u16;
        }
        for &(kind, control) in self.tags.iter().rev() {
            body = tag(control, ethertype, &body);
            ethertype = kind;
        }
        let family = if self.tunnelled().0 { 30_u32 } else { 2 };
        let mut frame = match self.base {
            Base::Ethernet | Base::Snap => ether(ethertype, &body),
            Base::Ip => body,
            Base::Sll => [&[0; 14], &ethertype.to_be_bytes()[..], &body].concat(),
            Base::Sll2 => [&ethertype.to_be_bytes()[..], &[0; 18], &body].concat(),
            Base::Loopback { big_endian: true } => [&family.to_be_bytes()[..], &body].concat(),
            Base::Loopback { big_endian: false } => [&family.to_le_bytes()[..], &body].concat(),
            Base::Ppp { framing } => {
                let framing = if framing { &[0xff, 0x03][..] } else { &[] };
                [framing, &ppp.to_be_bytes(), &body].concat()
            }
        };
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// Where the outermost IP header begins.
    fn network_offset(&self) -> usize {
        let base = match self.base {
            Base::Ethernet => 14,
            Base::Snap => 22,
            Base::Ip => 0,
            Base::Sll => 16,
            Base::Sll2 => 20,
            Base::Loopback { .. } => 4,
            Base::Ppp { framing } => 2 + 2 * usize::from(framing),
        };
        let pppoe = match self.pppoe {
            Some(true) if self.labels == 0 => 7,
            Some(_) => 8,
            None => 0,
        };
        base + 4 * self.tags.len() + pppoe + 4 * self.labels
    }

    /// What the frame is, from the recipe alone.
    pub fn predicted(&self) -> Decoded {
        if self.tags.len() > TAGS_MAX || self.labels > TAGS_MAX {
            return Decoded::Evasion(Evasion {
                fault: Fault::TooManyTags,
                endpoints: None,
            });
        }
        if self
            .outer
            .as_ref()
            .is_some_and(|outer| outer.concentrator == End::Nobody)
        {
            return crosses(Crossing::Tunnel);
        }
        match self.predicted_upper() {
            Ok(segment) => Decoded::Segment(segment),
            Err(Ok(crossing)) => crosses(crossing),
            Err(Err(fault)) => {
                let own = self.addresses();
                let endpoints = Some(self.outer.as_ref().map_or(own, Self::outer_addresses));
                Decoded::Evasion(Evasion { fault, endpoints })
            }
        }
    }

    fn addresses(&self) -> (IpAddr, IpAddr) {
        if self.v6 {
            (CLIENT6.into(), SERVER6.into())
        } else {
            (CLIENT.into(), SERVER.into())
        }
    }

    fn predicted_upper(&self) -> Result<Segment, Result<Crossing, Fault>> {
        let fragment_header = self.v6 && !matches!(self.pieces, Pieces::Whole);
        if self.before.len() + usize::from(fragment_header) > EXTENSIONS_MAX {
            return Err(Err(Fault::TooManyExtensions));
        }
        let protocol = self.upper().0;
        if let Pieces::Later { offset } = self.pieces {
            let rewrites = offset == 1 && self.after.is_empty() && protocol == TCP;
            return Err(if rewrites {
                Err(Fault::FragmentAtOffsetOne)
            } else {
                Ok(Crossing::LaterFragment)
            });
        }
        let chain: usize = self.after.iter().map(|&(_, length)| length).sum();
        let incomplete = if self.v6 {
            Fault::IncompleteHeaderChain
        } else {
            Fault::TinyFragment
        };
        let shown = self.predicted_chain(fragment_header, chain, incomplete)?;
        match self.upper {
            Upper::Other {
                protocol: 47 | 50, ..
            } => Err(Ok(Crossing::Tunnel)),
            Upper::Udp {
                ports: (4789, _) | (_, 4789),
                ..
            } if shown >= 4 => Err(Ok(Crossing::Tunnel)),
            Upper::Other { .. } | Upper::Udp { .. } => Err(Ok(Crossing::NotMail)),
            Upper::Tcp { words, .. } if shown < 20 + 4 * usize::from(words) => Err(Err(incomplete)),
            Upper::Tcp {
                ports,
                flags,
                words,
                ..
            } => {
                let header = 20 + 4 * usize::from(words);
                self.predicted_segment(chain, shown - header, ports, flags)
            }
        }
    }

    /// Octets of the upper layer that show, if the chain in front of it is whole and bounded.
    fn predicted_chain(
        &self,
        fragment_header: bool,
        chain: usize,
        incomplete: Fault,
    ) -> Result<usize, Result<Crossing, Fault>> {
        let kept = match self.pieces {
            Pieces::First { kept } => kept,
            _ => self.fragmentable().len(),
        };
        let room = EXTENSIONS_MAX - self.before.len() - usize::from(fragment_header);
        let bounded: usize = self
            .after
            .iter()
            .take(room)
            .map(|&(_, length)| length)
            .sum();
        if kept < bounded {
            Err(Err(incomplete))
        } else if self.after.len() > room {
            Err(Err(Fault::TooManyExtensions))
        } else {
            Ok(kept - chain)
        }
    }

    fn predicted_segment(
        &self,
        chain: usize,
        payload: usize,
        ports: (u16, u16),
        flags: u16,
    ) -> Result<Segment, Result<Crossing, Fault>> {
        let is_mail = |port| [25, 465, 587].contains(&port);
        if !is_mail(ports.0) && !is_mail(ports.1) {
            return Err(Ok(Crossing::NotMail));
        }
        let flags = TcpFlags(flags);
        let blemish = match flags.0 & 0x17 {
            0x03 | 0x07 => Some(Blemish::SynFin),
            0x06 => Some(Blemish::SynRst),
            _ => None,
        };
        let mut vlans = Vlans::default();
        for &(_, control) in &self.tags {
            vlans.push(control & 0x0fff);
        }
        let outermost = self.network_offset();
        let outer_length = self
            .outer
            .as_ref()
            .map_or(0, |outer| if outer.v6 { 40 } else { 20 });
        let network = outermost + outer_length;
        let fragment_header = self.v6 && !matches!(self.pieces, Pieces::Whole);
        let before: usize = self.before.iter().map(|&(_, length)| length).sum();
        let fixed = if self.v6 { 40 } else { 20 + self.options.len() };
        let (source, destination) = self.addresses();
        Ok(Segment {
            source,
            destination,
            source_port: ports.0,
            destination_port: ports.1,
            sequence: 0x0102_0304,
            acknowledgement: 0x0a0b_0c0d,
            flags,
            vlans,
            network_offset: network as u16,
            tcp_offset: (network + fixed + before + 8 * usize::from(fragment_header) + chain)
                as u16,
            payload_length: payload as u16,
            softwire: self.outer.as_ref().map(|outer| {
                let (source, destination) = Self::outer_addresses(outer);
                Softwire {
                    source,
                    destination,
                    network_offset: outermost as u16,
                }
            }),
            blemish,
        })
    }
}

/// The addresses are those that the recipes use: were they concentrators, predictions would lie.
#[test]
fn clients_and_servers_of_the_recipes_are_no_concentrators() {
    let others: [IpAddr; 4] = [CLIENT.into(), SERVER.into(), CLIENT6.into(), SERVER6.into()];
    assert!(others.iter().all(|&address| !is_concentrator(address)));
    assert!(AFTR.parse::<Ipv6Addr>().is_ok() && RELAY_6IN4.parse::<Ipv4Addr>().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_stack_of_layers_is_what_it_was_built_to_be(stack in stack()) {
        prop_assert_eq!(whole(stack.link(), &stack.bytes()), stack.predicted());
    }
}
