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
/// It takes effect only together with the interface's `napi_defer_hard_irqs` and
/// `gro_flush_timeout` (sysfs), and only with drivers that give their sockets a NAPI (veth does
/// not).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long one system call may poll.
    pub time: Duration,
    /// How many frames one system call may process.
    pub budget: u16,
}

impl Default for BusyPoll {
    fn default() -> Self {
        Self {
            time: Duration::from_micros(20),
            budget: 64,
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

/// Whether the kernel runs the socket without copying, whatever was asked for.
pub(super) fn is_zero_copy(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut options = libc::xdp_options { flags: 0 };
    let mut length = size_of::<libc::xdp_options>() as libc::socklen_t;
    // SAFETY: `options` is writable and `length` long, and both outlive the call.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_OPTIONS,
            (&raw mut options).cast(),
            &raw mut length,
        )
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
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
