//! A packet socket (AF_PACKET): whole frames out of an interface, past its queueing discipline.

use std::{
    io,
    ops::Range,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{
    error::{Error, Result, usual_remedy},
    netdev::Interface,
};

/// The most frames that one call sends.
const BURST_MAX: usize = 64;
/// Room for frames on their way, in octets.
const SEND_BUFFER: libc::c_int = 8 << 20;

/// Sends whole frames out of an interface. It receives none.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

impl PacketSocket {
    /// A socket that sends out of this interface.
    ///
    /// # Errors
    ///
    /// Without CAP_NET_RAW, or if the interface is gone.
    pub fn open(interface: &Interface) -> Result<Self> {
        let failed = |cause: io::Error| {
            let remedy = usual_remedy(&cause);
            let error = Error::new(interface, "open a packet socket", cause);
            match remedy {
                Some(remedy) => error.remedy(remedy),
                None => error,
            }
        };
        let family = AddressFamily::PACKET;
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|error| failed(error.into()))?;
        let socket = Self { socket };
        socket.bind(interface).map_err(failed)?;
        socket
            .set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1_i32)
            .map_err(failed)?;
        // Without the right to force it, the usual room must do.
        let _ = socket.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER);
        Ok(socket)
    }

    /// Has the interface take frames for anybody, until the socket is dropped.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn be_promiscuous(&self, interface: &Interface) -> io::Result<()> {
        let membership = libc::packet_mreq {
            mr_ifindex: interface.index() as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }

    /// Sends frames, in order, that lie in `bytes` at these places: at most 64. Says how many the
    /// interface took; none if it is busy.
    ///
    /// # Errors
    ///
    /// If the interface is down or gone, or a frame is longer than it may be.
    ///
    /// # Panics
    ///
    /// If a place is not within `bytes`.
    pub fn send(&self, bytes: &[u8], places: &[Range<usize>]) -> io::Result<usize> {
        let count = places.len().min(BURST_MAX);
        let mut vectors = [const {
            libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            }
        }; BURST_MAX];
        // SAFETY: `mmsghdr` is integers and pointers, for which all zeros is a value.
        let mut messages: [libc::mmsghdr; BURST_MAX] = unsafe { std::mem::zeroed() };
        for ((vector, message), place) in vectors.iter_mut().zip(&mut messages).zip(places) {
            let frame = &bytes[place.clone()];
            // The kernel only reads through it.
            vector.iov_base = frame.as_ptr().cast_mut().cast();
            vector.iov_len = frame.len();
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        let flags = libc::MSG_DONTWAIT as _;
        // SAFETY: the first `count` messages point to vectors, and these to frames, all of which
        // outlive the call and are as long as they say.
        let sent = unsafe {
            let messages = messages.as_mut_ptr();
            libc::sendmmsg(self.socket.as_raw_fd(), messages, count as u32, flags)
        };
        if sent >= 0 {
            return Ok(sent as usize);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR) => Ok(0),
            _ => Err(error),
        }
    }

    fn bind(&self, interface: &Interface) -> io::Result<()> {
        // SAFETY: `sockaddr_ll` is plain integers, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = interface.index() as i32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is `length` octets long and outlives the call.
        let code =
            unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) };
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        let pointer = ptr::from_ref(value).cast();
        // SAFETY: `value` is `length` octets long and outlives the call.
        let code =
            unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, option, pointer, length) };
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}
