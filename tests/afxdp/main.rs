//! Live ports, in network namespaces: real interfaces (veth), a real kernel program, real sockets.
//!
//! Each test has a namespace of its own, and in it a box between two stations:
//!
//! ```text
//! station ── lyafxdp-sub │ lyafxdp-acc  (the box)  lyafxdp-upl │ lyafxdp-net ── station
//! ```
//!
//! The stations are Python programs on packet sockets, so that nothing of ours tells us what was
//! on the wire. These tests need root, AF_XDP and iproute2, python3, clang. Without root they say
//! so and pass; as root they fail if any of the rest is missing.
#![cfg(all(feature = "xdp", target_os = "linux"))]

mod bypass;
mod crossing;
mod frames;
mod leases;
mod life;
mod odd;
mod place;
mod stamps;
mod steering;
mod tuning;
mod walls;
