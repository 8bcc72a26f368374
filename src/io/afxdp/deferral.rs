//! Interrupts of a card that is busy-polled: kept off while the worker polls.
//!
//! The interface's `napi_defer_hard_irqs` and `gro_flush_timeout` say how. Both are in sysfs only,
//! and what `/sys` shows is the network namespace that it was mounted in, which need not be ours:
//! so a sysfs of our own is mounted, on no path, for as long as the files are needed.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

use super::{
    BusyPoll,
    error::{Error, Result, usual_remedy},
    netdev::Interface,
};

/// How many empty polls keep interrupts off.
const POLLS: &str = "napi_defer_hard_irqs";
/// For how many nanoseconds at most.
const TIMEOUT: &str = "gro_flush_timeout";

/// Deferred interrupts of one interface, until this is dropped: then its settings are again what
/// they were, unless somebody else has changed them meanwhile. A process that is killed leaves
/// them.
#[derive(Debug)]
pub struct Deferral {
    polls: Setting,
    timeout: Setting,
}

/// One of the two files.
#[derive(Debug)]
struct Setting {
    file: File,
    before: u64,
    ours: u64,
}

impl Deferral {
    /// Defers an interface's interrupts as busy polling wants it.
    ///
    /// # Errors
    ///
    /// If sysfs or the kernel refuses.
    pub fn begin(interface: &Interface, busy_poll: &BusyPoll) -> Result<Self> {
        let failed = |name: &str, cause: io::Error| {
            let remedy = usual_remedy(&cause).unwrap_or("leave out busy polling");
            Error::new(interface, format!("set {name}"), cause).remedy(remedy)
        };
        let set = |name: &str, value: u64| {
            Setting::begin(interface, name, value).map_err(|cause| failed(name, cause))
        };
        let timeout = u64::try_from(busy_poll.flush_timeout.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            polls: set(POLLS, busy_poll.defer_irqs.into())?,
            timeout: set(TIMEOUT, timeout)?,
        })
    }

    /// What the interface has: how many empty polls keep interrupts off, and how long at most.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn obtained(&mut self) -> io::Result<(u64, Duration)> {
        let (polls, timeout) = (self.polls.read()?, self.timeout.read()?);
        Ok((polls, Duration::from_nanos(timeout)))
    }
}

impl Setting {
    fn begin(interface: &Interface, name: &str, value: u64) -> io::Result<Self> {
        let path = format!("class/net/{}/{name}", interface.name());
        let sysfs = sysfs(interface)?;
        let file = openat(sysfs, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut setting = Self {
            file: File::from(file),
            before: 0,
            ours: value,
        };
        setting.before = setting.read()?;
        setting.write(value)?;
        Ok(setting)
    }

    fn read(&mut self) -> io::Result<u64> {
        let mut text = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut text)?;
        text.trim().parse().map_err(io::Error::other)
    }

    fn write(&mut self, value: u64) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(value.to_string().as_bytes())
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if self.read().is_ok_and(|now| now == self.ours) {
            // Fails only if the interface is gone, and its settings with it.
            let _ = self.write(self.before);
        }
    }
}

/// The root of a sysfs that shows our network namespace.
fn sysfs(interface: &Interface) -> io::Result<OwnedFd> {
    match mounted() {
        // Mounting takes more rights than writing: without them, /sys must do.
        Err(Errno::PERM | Errno::NOSYS) => the_usual(interface),
        mounted => Ok(mounted?),
    }
}

/// A new one, on no path.
fn mounted() -> rustix::io::Result<OwnedFd> {
    let system = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(system.as_fd())?;
    let (flags, attributes) = (FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    fsmount(system.as_fd(), flags, attributes)
}

/// The one at /sys, if it shows this interface.
fn the_usual(interface: &Interface) -> io::Result<OwnedFd> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{}/ifindex", interface.name()))?;
    if index.trim().parse() != Ok(interface.index()) {
        let cause = "/sys shows another network namespace, and CAP_SYS_ADMIN is missing";
        return Err(io::Error::other(cause));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, "/sys", flags, Mode::empty())?)
}
