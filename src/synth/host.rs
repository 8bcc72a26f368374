//! A machine on the network: its random stream, its next port, whom it calls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    conversation::{Call, Outcome},
    network::{Customer, Network},
};
use crate::engine::Nanos;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1000 * MILLISECOND;

/// A machine. Streams of one seed are independent of each other.
#[derive(Debug)]
pub struct Host {
    pub random: ChaCha8Rng,
    /// The last port that was called from.
    port: u16,
}

impl Host {
    /// The machine with this stream of the seed's.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        let port = random.random_range(32_768..61_000);
        Self { random, port }
    }

    /// A call from a customer's own address and the next port.
    pub fn call<'a>(
        &mut self,
        network: &'a Network,
        customer: Customer,
        remote: (IpAddr, u16),
    ) -> Call<'a> {
        self.port = if self.port >= 60_999 {
            32_768
        } else {
            self.port + 1
        };
        let own = network.address(customer, remote.0.is_ipv6());
        Call {
            network,
            customer,
            local: (own, self.port),
            remote,
            inbound: false,
            round_trip: self.random.random_range(8 * MILLISECOND..120 * MILLISECOND),
            sequence: self.random.next_u32(),
        }
    }

    /// Some server on the internet.
    pub fn server(&mut self, ipv6: bool) -> IpAddr {
        server(self.random.next_u32(), ipv6)
    }

    /// Of a hundred attempts, `failing` fail: most are silent, some refused, some unreachable.
    pub fn outcome(&mut self, failing: u32) -> Outcome {
        if self.random.random_range(0..100) >= failing {
            return Outcome::Established;
        }
        match self.random.random_range(0..10) {
            0..7 => Outcome::Silent,
            7..9 => Outcome::Refused,
            _ => Outcome::Unreachable,
        }
    }

    /// Exponentially distributed around a mean: arrivals without memory.
    pub fn pause(&mut self, mean: Nanos) -> Nanos {
        let share: f64 = self.random.random_range(f64::EPSILON..1.0);
        (-share.ln() * mean as f64) as Nanos + 1
    }
}

/// The server with this number on the internet.
pub fn server(number: u32, ipv6: bool) -> IpAddr {
    if ipv6 {
        IpAddr::V6(Ipv6Addr::from_bits(
            0x2001_0002_u128 << 96 | u128::from(number),
        ))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 | number & 0x1_ffff))
    }
}
