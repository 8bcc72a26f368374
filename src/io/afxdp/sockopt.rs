//! Socket options of AF_XDP sockets that xsk-rs does not know.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

/// Not in libc yet (asm-generic/socket.h).
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

/// Preferred busy polling (kernel 5.11 on): the worker drives the card's queue from its own system
/// calls, and the card's interrupts stay off while it does.
///
/// It takes effect only while the interface defers its interrupts
/// ([`Deferral`](super::Deferral)), and only with drivers that give their sockets a NAPI (veth does
/// not).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long one system call may poll.
    pub time: Duration,
    /// How many frames one system call may process.
    pub budget: u16,
    /// How many empty polls keep the card's interrupts off.
    pub defer_irqs: u32,
    /// How long they stay off at most.
    pub flush_timeout: Duration,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            time: Duration::from_micros(20),
            budget: 64,
            defer_irqs: 2,
            flush_timeout: Duration::from_micros(200),
        }
    }
}

impl BusyPoll {
    /// Switches it on for a socket.
    pub(super) fn apply(self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let microseconds = libc::c_int::try_from(self.time.as_micros()).unwrap_or(libc::c_int::MAX);
        set(socket, SO_PREFER_BUSY_POLL, 1)?;
        set(socket, libc::SO_BUSY_POLL, microseconds)?;
        set(socket, SO_BUSY_POLL_BUDGET, libc::c_int::from(self.budget))
    }
}

/// What a socket got, whatever was asked for: read back from the kernel. Its rings are as long as
/// asked for, or it would not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketObtained {
    /// Whether frames get into memory and out of it without copying.
    pub zero_copy: bool,
    /// How long a system call polls the card, if busy polling is preferred.
    pub busy_poll: Option<Duration>,
}

impl SocketObtained {
    pub(super) fn read(socket: BorrowedFd<'_>) -> io::Result<Self> {
        // `struct xdp_options` is one integer of flags.
        let flags = get(socket, libc::SOL_XDP, libc::XDP_OPTIONS)?;
        let preferred = get(socket, libc::SOL_SOCKET, SO_PREFER_BUSY_POLL)? != 0;
        let time = get(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL)?;
        let time = Duration::from_micros(u64::try_from(time).unwrap_or(0));
        Ok(Self {
            zero_copy: flags & libc::XDP_OPTIONS_ZEROCOPY as libc::c_int != 0,
            busy_poll: preferred.then_some(time),
        })
    }
}

/// Reads an integer option.
fn get(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is writable and `length` long, and both outlive the call.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value)
}

/// Sets an integer option of the socket level.
fn set(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: `value` is an integer of the length given, and outlives the call.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
