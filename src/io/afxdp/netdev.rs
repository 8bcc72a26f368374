//! A network interface, as far as a port needs it: name and index, MTU, flags, XDP.
//!
//! Everything is asked by ioctl on a socket of the calling thread's network namespace; sysfs would
//! show the namespace that it was mounted in.

use std::{
    fmt, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use libbpf_rs::libbpf_sys;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::error::{Error, Result, until_let_go, usual_remedy};

/// Octets of an interface's name with its terminating 0 (linux/if.h).
const IFNAMSIZ: usize = libc::IFNAMSIZ;

/// linux/netdev.h: the driver runs XDP programs itself.
const FEATURE_BASIC: u64 = 1;
/// linux/netdev.h: and redirects frames for them.
const FEATURE_REDIRECT: u64 = 1 << 1;
/// linux/netdev.h: the interface takes frames that an XDP program redirects to it.
const FEATURE_NDO_XMIT: u64 = 1 << 2;
/// linux/netdev.h: the driver can let AF_XDP have its buffers (zero-copy).
const FEATURE_ZERO_COPY: u64 = 1 << 3;

/// One network interface of the calling thread's network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    name: String,
    index: u32,
}

impl fmt::Display for Interface {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "interface {}", self.name)
    }
}

/// What the driver says of XDP (kernel 6.3 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures {
    /// It runs the kernel program itself, before there is an skb.
    pub native: bool,
    /// It takes frames that a program on another port redirects to it: without this, bypass
    /// towards it loses them.
    pub takes_redirects: bool,
    /// AF_XDP may run without copying.
    pub zero_copy: bool,
}

impl Interface {
    /// The interface of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn by_name(name: &str) -> Result<Self> {
        let subject = format!("interface {name}");
        let socket = any_socket().map_err(|cause| Error::new(&subject, "open a socket", cause))?;
        rustix::net::netdevice::name_to_index(&socket, name)
            .map(|index| Self {
                name: name.to_owned(),
                index,
            })
            .map_err(|cause| {
                Error::new(&subject, "find it", io::Error::from(cause))
                    .remedy("`ip link` lists the interfaces of this network namespace")
            })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its index: stays when it is renamed, and is not used again when it is gone.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its MTU: the longest packet behind the Ethernet header, in octets.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn mtu(&self) -> Result<usize> {
        let request = self.ioctl("read the MTU", libc::SIOCGIFMTU, |_| {})?;
        // SAFETY: SIOCGIFMTU fills this member of the union; any octets are an integer.
        Ok(unsafe { request.ifr_ifru.ifru_mtu } as usize)
    }

    /// The same interface by the name that it has now; nothing if it is gone.
    #[must_use]
    pub fn today(&self) -> Option<Self> {
        let socket = any_socket().ok()?;
        let name = rustix::net::netdevice::index_to_name(&socket, self.index).ok()?;
        Some(Self {
            name,
            index: self.index,
        })
    }

    /// Whether somebody has set it up, carrier or not.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn is_up(&self) -> Result<bool> {
        Ok(self.flags()? & libc::IFF_UP != 0)
    }

    /// Whether it is up and has a carrier.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn is_running(&self) -> Result<bool> {
        let both = libc::IFF_UP | libc::IFF_RUNNING;
        Ok(self.flags()? & both == both)
    }

    /// Whether promiscuous mode was asked for by ioctl or `ip link set promisc on`.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn is_promiscuous(&self) -> Result<bool> {
        Ok(self.flags()? & libc::IFF_PROMISC != 0)
    }

    /// Switches promiscuous mode. It outlives the process: bypass needs it as much as the worker.
    ///
    /// # Errors
    ///
    /// If the interface is gone, or without CAP_NET_ADMIN.
    pub fn set_promiscuous(&self, on: bool) -> Result<()> {
        let others = self.flags()? & !libc::IFF_PROMISC;
        let flags = others | if on { libc::IFF_PROMISC } else { 0 };
        let attempt = "set promiscuous mode";
        self.ioctl(attempt, libc::SIOCSIFFLAGS, |request| {
            request.ifr_ifru.ifru_flags = flags as libc::c_short;
        })
        .map(drop)
    }

    /// What the driver says of XDP; `None` where it says nothing: on kernels before 6.3, and where
    /// there is no XDP but the generic one.
    #[must_use]
    pub fn xdp_features(&self) -> Option<XdpFeatures> {
        let flags = self.xdp_query().ok()?.feature_flags;
        (flags != 0).then_some(XdpFeatures {
            native: flags & FEATURE_BASIC != 0 && flags & FEATURE_REDIRECT != 0,
            takes_redirects: flags & FEATURE_NDO_XMIT != 0,
            zero_copy: flags & FEATURE_ZERO_COPY != 0,
        })
    }

    /// Which XDP program is attached, and what the driver can do.
    pub(super) fn xdp_query(&self) -> io::Result<libbpf_sys::bpf_xdp_query_opts> {
        let mut answer = libbpf_sys::bpf_xdp_query_opts {
            sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as libbpf_sys::size_t,
            ..Default::default()
        };
        // SAFETY: `answer` is a valid, writable struct of the size that its `sz` tells.
        let code = unsafe { libbpf_sys::bpf_xdp_query(self.index as i32, 0, &mut answer) };
        errno(code).map(|_| answer)
    }

    /// Claims the interface for this process, until the claim is dropped or the process ends.
    ///
    /// The claim is a name in the abstract socket namespace, which belongs to the network
    /// namespace and which the kernel frees whatever happens to the process.
    ///
    /// # Errors
    ///
    /// If another process has it.
    pub fn claim(&self) -> Result<Claim> {
        until_let_go(|| {
            self.claim_address()
                .and_then(|address| UnixDatagram::bind_addr(&address))
                .map(Claim)
                .map_err(|cause| {
                    Error::new(self, "claim it", cause)
                        .remedy("another Lychgate runs on this interface: stop that one first")
                })
        })
    }

    /// Whether a running Lychgate has claimed it.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        let tried = self
            .claim_address()
            .and_then(|name| UnixDatagram::bind_addr(&name));
        tried.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }

    fn claim_address(&self) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(format!("lychgate:{}", self.name))
    }

    /// One ethtool ioctl: `words` is the struct that its command (the first word) wants, and as
    /// long as the kernel may write for that command and what the other words ask for.
    pub(super) fn ethtool(&self, attempt: &str, words: &mut [u32]) -> Result<()> {
        let pointer = words.as_mut_ptr();
        self.ioctl(attempt, libc::SIOCETHTOOL, |request| {
            request.ifr_ifru.ifru_data = pointer.cast();
        })
        .map(drop)
    }

    fn flags(&self) -> Result<libc::c_int> {
        let request = self.ioctl("read the flags", libc::SIOCGIFFLAGS, |_| {})?;
        // SAFETY: SIOCGIFFLAGS fills this member of the union; any octets are an integer.
        Ok(libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags }))
    }

    /// One interface ioctl; `fill` completes the request.
    fn ioctl(
        &self,
        attempt: &str,
        operation: libc::Ioctl,
        fill: impl FnOnce(&mut libc::ifreq),
    ) -> Result<libc::ifreq> {
        let failed = |cause: io::Error| {
            let remedy = usual_remedy(&cause);
            let error = Error::new(self, attempt, cause);
            match remedy {
                Some(remedy) => error.remedy(remedy),
                None => error,
            }
        };
        let socket = any_socket().map_err(failed)?;
        // SAFETY: `ifreq` is plain octets and integers, for which all zeros is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let name = self.name.bytes().take(IFNAMSIZ - 1);
        for (place, octet) in request.ifr_name.iter_mut().zip(name) {
            *place = octet as libc::c_char;
        }
        fill(&mut request);
        // SAFETY: the operations that this module passes read and write one `ifreq`; where it
        // holds a pointer (SIOCETHTOOL), that is to a struct as long as its command wants, which
        // the caller keeps alive.
        let code = unsafe { libc::ioctl(socket.as_raw_fd(), operation, &mut request) };
        if code < 0 {
            return Err(failed(io::Error::last_os_error()));
        }
        Ok(request)
    }
}

/// Keeps other processes off an interface; see [`Interface::claim`].
#[derive(Debug)]
#[must_use = "a claim that is dropped claims nothing"]
pub struct Claim(#[expect(dead_code, reason = "held for its lifetime")] UnixDatagram);

/// The `Result` of a libbpf call: a value, or a negated error number.
pub(super) fn errno(code: i32) -> io::Result<i32> {
    if code < 0 {
        Err(io::Error::from_raw_os_error(-code))
    } else {
        Ok(code)
    }
}

fn any_socket() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
}
