//! How the kernel program hangs on a port, and stays: BPF links, pinned in the BPF file system.
//!
//! | pin, under the root and the interface's name | what it is |
//! |---|---|
//! | `link` | the link itself: while it is there, the program is attached |
//! | `promiscuous/` | a mark: promiscuous mode was ours to set and is ours to clear |
//!
//! A pinned link outlives the process. The next one puts its program into it in one step, so that
//! there is never no program; [`detach`] ends it.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    ptr,
};

use libbpf_rs::libbpf_sys;
use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
};

use super::{
    error::{Error, Result, usual_remedy},
    netdev::{Claim, Interface, errno},
    program::Steering,
};
use crate::io::Side;

/// Where Linux mounts the BPF file system.
const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// Where the links are pinned unless the caller says otherwise.
pub const PIN_ROOT: &str = "/sys/fs/bpf/lychgate";

/// How the program runs on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the kernel's generic receive path, after an skb was made: slow. The driver has no XDP,
    /// or not in the interface's present state.
    Generic,
}

/// A port with the program on it.
#[derive(Debug)]
pub struct Attachment {
    /// How it runs.
    pub mode: AttachMode,
    /// Why it does not run natively, where it does not.
    pub why_generic: Option<String>,
    /// Whether a link was there already, left by an earlier process.
    pub taken_over: bool,
    _link: OwnedFd,
    _claim: Claim,
}

/// Hangs the program on one port, or takes over the link that an earlier process left; switches
/// promiscuous mode on. All of that stays when the process ends; see [`detach`].
///
/// # Errors
///
/// If another process or another program has the interface, or the kernel refuses.
pub fn attach(
    steering: &Steering,
    side: Side,
    interface: &Interface,
    root: &Path,
) -> Result<Attachment> {
    let claim = interface.claim()?;
    let program = steering.program(side)?;
    let pins = Pins::new(root, interface);
    pins.prepare()?;
    let inherited = pins.inherit(interface, program.as_fd())?;
    let taken_over = inherited.is_some();
    let (link, why_generic) = match inherited {
        Some(link) => (link, None),
        None => pins.create(interface, program.as_fd())?,
    };
    let mode = match interface
        .xdp_query()
        .map(|query| u32::from(query.attach_mode))
    {
        Ok(libbpf_sys::XDP_ATTACHED_SKB) => AttachMode::Generic,
        _ => AttachMode::Native,
    };
    pins.make_promiscuous(interface)?;
    Ok(Attachment {
        mode,
        why_generic,
        taken_over,
        _link: link,
        _claim: claim,
    })
}

/// Takes the program off a port and removes everything that [`attach`] left. Says whether there
/// was anything.
///
/// # Errors
///
/// If another process is running on the port, or the kernel refuses.
pub fn detach(interface: &Interface, root: &Path) -> Result<bool> {
    let _claim = interface.claim()?;
    let pins = Pins::new(root, interface);
    let link = pins.open()?;
    if let Some(link) = &link {
        // SAFETY: a system call on a descriptor that we hold open.
        let detached = errno(unsafe { libbpf_sys::bpf_link_detach(link.as_raw_fd()) });
        // ENOLINK: its interface is gone already, and the program with it.
        if let Err(cause) = detached
            && cause.raw_os_error() != Some(libc::ENOLINK)
        {
            return Err(Error::new(interface, "detach the kernel program", cause));
        }
    }
    if pins.promiscuous().exists() {
        interface.set_promiscuous(false)?;
    }
    pins.remove()?;
    Ok(link.is_some())
}

/// What is pinned for one interface.
struct Pins {
    root: PathBuf,
    directory: PathBuf,
}

impl Pins {
    fn new(root: &Path, interface: &Interface) -> Self {
        Self {
            root: root.to_owned(),
            directory: root.join(interface.name()),
        }
    }

    fn link(&self) -> PathBuf {
        self.directory.join("link")
    }

    fn promiscuous(&self) -> PathBuf {
        self.directory.join("promiscuous")
    }

    /// Makes the directory, in a BPF file system; mounts that at its usual place if it is not
    /// there (it is on every system that systemd runs).
    fn prepare(&self) -> Result<()> {
        if self.root.starts_with(BPF_FILE_SYSTEM) && !is_bpf_file_system(BPF_FILE_SYSTEM.as_ref()) {
            mount("bpf", BPF_FILE_SYSTEM, "bpf", MountFlags::empty(), None).map_err(|cause| {
                Error::new(
                    BPF_FILE_SYSTEM,
                    "mount the BPF file system",
                    io::Error::from(cause),
                )
                .remedy("mount -t bpf bpf /sys/fs/bpf")
            })?;
        }
        fs::create_dir_all(&self.directory)
            .map_err(|cause| self.error("make the directory for pins", cause))?;
        if is_bpf_file_system(&self.directory) {
            return Ok(());
        }
        let cause = "it is not in a BPF file system";
        Err(
            Error::new(self.directory.display(), "pin links here", cause)
                .remedy(format!("choose a directory under {BPF_FILE_SYSTEM}")),
        )
    }

    /// The pinned link, if there is one.
    fn open(&self) -> Result<Option<OwnedFd>> {
        let path = c_path(&self.link())?;
        // SAFETY: the path is a C string that outlives the call.
        match errno(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) }) {
            // SAFETY: the call returned a new descriptor, which nobody else owns.
            Ok(link) => Ok(Some(unsafe { OwnedFd::from_raw_fd(link) })),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.error("open the pinned link", cause)),
        }
    }

    /// Puts the program into the link that an earlier process left on this interface, if it did.
    fn inherit(&self, interface: &Interface, program: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
        let Some(link) = self.open()? else {
            return Ok(None);
        };
        let ifindex =
            link_ifindex(link.as_fd()).map_err(|cause| self.error("read the link", cause))?;
        if ifindex == interface.index() {
            let (link_fd, program_fd) = (link.as_raw_fd(), program.as_raw_fd());
            // SAFETY: a system call on descriptors that we hold open; null means no options.
            let code = unsafe { libbpf_sys::bpf_link_update(link_fd, program_fd, ptr::null()) };
            return match errno(code) {
                Ok(_) => Ok(Some(link)),
                Err(cause) => Err(self.error("replace the kernel program", cause)),
            };
        }
        // The interface it was on is gone (the kernel says 0), or has another name now. In the
        // second case the old link is still alive: it goes when the pin does.
        self.remove_link()?;
        fs::remove_dir(self.promiscuous())
            .or_else(not_found_is_fine)
            .map_err(|cause| self.error("remove a stale mark", cause))?;
        Ok(None)
    }

    /// Makes a link, natively if possible, and pins it. Says why, where not natively.
    fn create(
        &self,
        interface: &Interface,
        program: BorrowedFd<'_>,
    ) -> Result<(OwnedFd, Option<String>)> {
        let refuse = |cause: io::Error| {
            let is_taken = matches!(cause.raw_os_error(), Some(libc::EBUSY | libc::EEXIST));
            let remedy = if is_taken {
                Some(format!(
                    "another XDP program ({}) is attached: detach it with `ip link set dev {} \
                     xdp off`, or stop whoever attached it",
                    attached_program(interface),
                    interface.name()
                ))
            } else {
                usual_remedy(&cause).map(str::to_owned)
            };
            let error = Error::new(interface, "attach the kernel program", cause);
            match remedy {
                Some(remedy) => error.remedy(remedy),
                None => error,
            }
        };
        let (link, why_generic) =
            match create_link(program, interface, libbpf_sys::XDP_FLAGS_DRV_MODE) {
                Ok(link) => (link, None),
                Err(native) => match native.raw_os_error() {
                    Some(libc::EBUSY | libc::EEXIST | libc::EPERM | libc::ENODEV) => {
                        return Err(refuse(native));
                    }
                    _ => {
                        let flags = libbpf_sys::XDP_FLAGS_SKB_MODE;
                        let link = create_link(program, interface, flags).map_err(refuse)?;
                        (link, Some(native.to_string()))
                    }
                },
            };
        let path = c_path(&self.link())?;
        // SAFETY: a system call on a descriptor that we hold open, and a C string.
        errno(unsafe { libbpf_sys::bpf_obj_pin(link.as_raw_fd(), path.as_ptr()) })
            .map_err(|cause| self.error("pin the link", cause))?;
        Ok((link, why_generic))
    }

    /// Sees to promiscuous mode, and marks it as ours unless it was on before.
    fn make_promiscuous(&self, interface: &Interface) -> Result<()> {
        if interface.is_promiscuous()? {
            return Ok(());
        }
        // The mark first: a mark too many clears a flag that is clear, one too few leaves it set.
        fs::create_dir_all(self.promiscuous())
            .map_err(|cause| self.error("leave a mark", cause))?;
        interface.set_promiscuous(true)
    }

    fn remove(&self) -> Result<()> {
        self.remove_link()?;
        for directory in [&self.promiscuous(), &self.directory] {
            fs::remove_dir(directory)
                .or_else(not_found_is_fine)
                .map_err(|cause| self.error("remove the pins", cause))?;
        }
        // Succeeds for the last port only.
        let _ = fs::remove_dir(&self.root);
        Ok(())
    }

    fn remove_link(&self) -> Result<()> {
        fs::remove_file(self.link())
            .or_else(not_found_is_fine)
            .map_err(|cause| self.error("unpin the link", cause))
    }

    fn error(&self, attempt: &str, cause: io::Error) -> Error {
        Error::new(self.directory.display(), attempt, cause)
    }
}

pub(super) fn create_link(
    program: BorrowedFd<'_>,
    interface: &Interface,
    flags: u32,
) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags,
        ..Default::default()
    };
    // SAFETY: a system call on a descriptor that we hold open, with a valid options struct.
    let code = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            interface.index() as i32,
            libbpf_sys::BPF_XDP,
            &options,
        )
    };
    // SAFETY: the call returned a new descriptor, which nobody else owns.
    errno(code).map(|link| unsafe { OwnedFd::from_raw_fd(link) })
}

/// The index of the interface that an XDP link is on; 0 if that is gone.
fn link_ifindex(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut length = size_of_val(&info) as u32;
    // SAFETY: `info` is writable and `length` long.
    let code =
        unsafe { libbpf_sys::bpf_link_get_info_by_fd(link.as_raw_fd(), &mut info, &mut length) };
    errno(code)?;
    if info.type_ != libbpf_sys::BPF_LINK_TYPE_XDP {
        return Err(io::Error::other("it is no XDP link"));
    }
    // SAFETY: this is the union's member for links of this type; any octets are an integer.
    Ok(unsafe { info.__bindgen_anon_1.xdp.ifindex })
}

/// The id and name of whatever XDP program is attached.
fn attached_program(interface: &Interface) -> String {
    let id = interface.xdp_query().map_or(0, |query| {
        // With one mode in use, its id stands in `prog_id`; else the driver's comes first.
        [
            query.prog_id,
            query.drv_prog_id,
            query.skb_prog_id,
            query.hw_prog_id,
        ]
        .into_iter()
        .find(|&id| id != 0)
        .unwrap_or(0)
    });
    let name = libbpf_rs::query::ProgInfoIter::default()
        .find(|program| program.id == id)
        .map(|program| program.name.to_string_lossy().into_owned());
    match name {
        Some(name) => format!("id {id}, {name}"),
        None => format!("id {id}"),
    }
}

fn is_bpf_file_system(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.f_type as u32 == BPF_FS_MAGIC)
}

fn not_found_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|cause| Error::new(path.display(), "use this path", cause))
}
