//! Frames made inside the kernel, as fast as an interface takes them (src/bpf/blast.bpf.c).

use std::io;

use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder, ProgramInput, libbpf_sys};

use super::{
    error::{Error, Result},
    link::create_link,
    netdev::Interface,
    program::{Aligned, map, missing, with_messages},
};

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/blast.bpf.o")));

/// `BPF_F_TEST_XDP_LIVE_FRAMES` of linux/bpf.h.
const LIVE_FRAMES: u32 = 1 << 1;
/// `FRAME_MAX` of blast.bpf.c, with room for a stamp.
const SLOT_OCTETS: usize = 2048 + 32;
/// The buffers that the kernel hands to the program: one with room for any slot and its stamp.
const BUFFER: usize = 2048 + 32;

/// What changes in a slot each time (`struct slot` of blast.bpf.c). Places are octets from the
/// start of the frame, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vary {
    /// Where a 32-bit word of the source lies.
    pub word: u16,
    /// The checksum of the IPv4 header.
    pub network_checksum: u16,
    /// The checksum of TCP or UDP.
    pub transport_checksum: u16,
    /// The TCP sequence number.
    pub sequence: u16,
    /// The word of the source numbered 0.
    pub base: u32,
    /// How far a source's number is shifted.
    pub shift: u32,
    /// Which counter of sources it draws from: 0 or 1.
    pub family: u32,
}

/// A frame to send again and again.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// Its octets, without a stamp: 14 to 2047.
    pub bytes: &'a [u8],
    /// What changes each time.
    pub vary: Option<Vary>,
}

impl Slot<'_> {
    fn to_octets(self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(24 + SLOT_OCTETS);
        octets.extend((self.bytes.len() as u32).to_ne_bytes());
        let none = Vary {
            word: 0,
            network_checksum: 0,
            transport_checksum: 0,
            sequence: 0,
            base: 0,
            shift: 0,
            family: 0,
        };
        let vary = self.vary.unwrap_or(none);
        for place in [
            vary.word,
            vary.network_checksum,
            vary.transport_checksum,
            vary.sequence,
        ] {
            octets.extend(place.to_ne_bytes());
        }
        for number in [vary.base, vary.shift, vary.family] {
            octets.extend(number.to_ne_bytes());
        }
        octets.extend(self.bytes);
        octets.resize(24 + SLOT_OCTETS, 0);
        octets
    }
}

/// A loaded generator for one interface. It sends only when told to.
#[derive(Debug)]
pub struct Flood {
    object: Object,
    interface: Interface,
    context: [u8; 24],
    done: (u64, u64),
    /// A program of ours on the interface, where its driver wants one.
    _pass: Option<std::os::fd::OwnedFd>,
}

impl Flood {
    /// Loads the generator with frames to send in turn. `sources` says how many IPv4 and IPv6
    /// sources they count through; they are stamped if there is a `run`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, a frame is too long or too short, or nothing could take the frames
    /// at the interface.
    pub fn load(
        interface: &Interface,
        slots: &[Slot<'_>],
        sources: [u32; 2],
        run: Option<u32>,
    ) -> Result<Self> {
        let unfit = |slot: &&Slot<'_>| !(14..2048).contains(&slot.bytes.len());
        if let Some(slot) = slots.iter().find(unfit) {
            let cause = "a flood's frames have 14 to 2047 octets";
            let attempt = format!("send a frame of {} octets", slot.bytes.len());
            return Err(Error::new(interface, attempt, cause).remedy("pace them instead"));
        }
        let object = with_messages(|| {
            let mut open = ObjectBuilder::default().open_memory(&OBJECT.0)?;
            for mut map in open.maps_mut() {
                if map.name() == "slots" {
                    map.set_max_entries(slots.len() as u32)?;
                }
            }
            open.load()
        })?;
        let write = |name, key: u32, value: &[u8]| {
            map(&object, name)?
                .update(&key.to_ne_bytes(), value, MapFlags::ANY)
                .map_err(|cause| Error::new(interface, format!("write the map {name}"), cause))
        };
        for (key, slot) in (0..).zip(slots) {
            write("slots", key, &slot.to_octets())?;
        }
        let settings = [
            slots.len() as u32,
            u32::from(run.is_some()),
            run.unwrap_or(0),
            sources[0],
            sources[1],
            BUFFER as u32,
        ];
        write("settings", 0, &settings.map(u32::to_ne_bytes).concat())?;
        let pass = make_ready(interface, &object)?;
        // `struct xdp_md`: data, its end, metadata, interface and queue of arrival, and 0.
        let context = [0, BUFFER as u32, 0, interface.index(), 0, 0];
        Ok(Self {
            context: std::array::from_fn(|at| context[at / 4].to_ne_bytes()[at % 4]),
            object,
            interface: interface.clone(),
            done: (0, 0),
            _pass: pass,
        })
    }

    /// Sends the next `frames` frames; says how many it was, and how many octets: fewer if a
    /// signal came. What the interface had no room for is among them.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn send(&mut self, frames: u32) -> io::Result<(u64, u64)> {
        let data = [0; BUFFER];
        let mut context = self.context;
        let input = ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(&data),
            flags: LIVE_FRAMES,
            repeat: frames,
            ..ProgramInput::default()
        };
        let sent = program(&self.object, "blast")
            .map_err(io::Error::other)?
            .test_run(input);
        if let Err(error) = sent
            && error.kind() != libbpf_rs::ErrorKind::Interrupted
        {
            let error = Error::new(&self.interface, "send frames from inside the kernel", error)
                .remedy("use Linux 5.18 or later, or pace the frames instead");
            return Err(io::Error::other(error));
        }
        let done = self.progress().map_err(io::Error::other)?;
        let sent = (done.0 - self.done.0, done.1 - self.done.1);
        self.done = done;
        Ok(sent)
    }

    /// Runs the generator on a buffer that goes nowhere: the next frame.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn next_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut out = vec![0; BUFFER];
        let data = [0; BUFFER];
        let mut context = self.context;
        let input = ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(&data),
            data_out: Some(&mut out),
            ..ProgramInput::default()
        };
        let length = program(&self.object, "blast")
            .map_err(io::Error::other)?
            .test_run(input)
            .map_err(io::Error::other)?
            .data
            .map_or(0, |data| data.len());
        self.done = self.progress().map_err(io::Error::other)?;
        out.truncate(length);
        Ok(out)
    }

    /// Frames and octets so far.
    fn progress(&self) -> Result<(u64, u64)> {
        let octets = map(&self.object, "progress")?
            .lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|cause| Error::new(&self.interface, "read the generator's count", cause))?
            .unwrap_or_default();
        let number = |at: usize| {
            let octets = octets.get(at..).and_then(|rest| rest.first_chunk());
            u64::from_ne_bytes(*octets.unwrap_or(&[0; 8]))
        };
        Ok((number(0), number(8)))
    }
}

/// Sees to it that the interface takes frames which no socket sent. Most drivers do so only with a
/// program attached; a veth does if its peer has one.
fn make_ready(interface: &Interface, object: &Object) -> Result<Option<std::os::fd::OwnedFd>> {
    let is_ready = || {
        let features = interface.xdp_features();
        features.is_none_or(|features| features.takes_redirects)
    };
    if is_ready() {
        return Ok(None);
    }
    let program = program(object, "pass")?;
    let program = std::os::fd::AsFd::as_fd(&program);
    let link = create_link(program, interface, libbpf_sys::XDP_FLAGS_DRV_MODE);
    if is_ready() {
        return Ok(link.ok());
    }
    let cause = match link {
        Ok(_) => "the driver says that it takes none".to_owned(),
        Err(error) => format!("the driver takes none, and no program: {error}"),
    };
    let error = Error::new(interface, "flood it with frames that no socket sent", cause);
    Err(error.remedy(
        "if it is a veth, give its peer an XDP program (`lychgate sink` is one) or GRO; else pace \
         the frames instead",
    ))
}

fn program<'a>(object: &'a Object, name: &'static str) -> Result<libbpf_rs::ProgramMut<'a>> {
    object
        .progs_mut()
        .find(|program| program.name() == name)
        .ok_or_else(|| missing("program", name))
}
