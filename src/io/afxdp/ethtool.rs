//! What a card's driver tells and can be told: its name, its queues, its offloads (linux/ethtool.h).
//!
//! The ioctls take structs of 32-bit words and, some of them, arrays behind these. Here each is
//! built as a list of words, so that only [`Interface::ethtool`] deals with pointers.

use super::{
    error::{Error, Result},
    netdev::Interface,
};

/// Commands of linux/ethtool.h.
const GDRVINFO: u32 = 0x03;
const GSTRINGS: u32 = 0x1b;
const GSSET_INFO: u32 = 0x37;
const GFEATURES: u32 = 0x3a;
const SFEATURES: u32 = 0x3b;
const GCHANNELS: u32 = 0x3c;

/// `ETH_SS_FEATURES`: the string set of the features' names.
const FEATURE_NAMES: u32 = 4;
/// `ETH_GSTRING_LEN`, in words.
const NAME_WORDS: usize = 32 / 4;

macro_rules! offloads {
    ($($variant:ident $name:literal $option:literal $harm:literal,)+) => {
        /// What cards do to frames on their way in and must not do here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Offload { $(#[doc = concat!("`", $name, "`: ", $harm, ".")] $variant,)+ }

        impl Offload {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The kernel's name for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What `ethtool -K` calls it.
            #[must_use]
            pub const fn option(self) -> &'static str {
                match self { $(Self::$variant => $option,)+ }
            }

            /// What it would do to frames, to follow the offload's name.
            #[must_use]
            pub const fn harm(self) -> &'static str {
                match self { $(Self::$variant => $harm,)+ }
            }
        }
    };
}

offloads! {
    Lro "rx-lro" "lro" "merges segments, which then are longer than any frame that can leave",
    GroHardware "rx-gro-hw" "rx-gro-hw" "merges segments, which then are longer than any frame that can leave",
    VlanStripping "rx-vlan-hw-parse" "rxvlan" "takes VLAN tags off frames before Lychgate sees them, and they cross without",
    ServiceVlanStripping "rx-vlan-stag-hw-parse" "rx-vlan-stag-hw-parse" "takes service VLAN tags off frames before Lychgate sees them, and they cross without",
    VlanFilter "rx-vlan-filter" "rx-vlan-filter" "drops frames of VLANs that this machine is not a member of",
    ServiceVlanFilter "rx-vlan-stag-filter" "rx-vlan-stag-filter" "drops frames of service VLANs that this machine is not a member of",
}

/// An offload of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffloadState {
    /// Which one.
    pub offload: Offload,
    /// Whether it is on.
    pub is_on: bool,
    /// Whether the driver lets it be changed.
    pub is_changeable: bool,
}

/// How many queues an interface uses, and may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Receive queues in use.
    pub receive: u32,
    /// Transmit queues in use.
    pub transmit: u32,
    /// The most that the driver can be told to use of both.
    pub most: u32,
    /// Whether they are set together, as `combined` channels.
    pub are_combined: bool,
}

impl Interface {
    /// The name of its driver; nothing if it has none that tells.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        // Command, then 4 texts of 32 octets, one of 32, 12 octets unused, 5 numbers: 196 octets.
        let mut words = [0; 49];
        words[0] = GDRVINFO;
        self.ethtool("ask for the driver", &mut words).ok()?;
        let name = text(&words[1..=NAME_WORDS]);
        (!name.is_empty()).then_some(name)
    }

    /// How many queues it has; one of each where the driver does not say.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn queue_counts(&self) -> Result<Queues> {
        // Command; at most: receive, transmit, other, combined; then the same in use.
        let mut words = [0; 9];
        words[0] = GCHANNELS;
        let asked = self.ethtool("read the queue count", &mut words);
        let [
            _,
            receive_most,
            transmit_most,
            _,
            combined_most,
            receive,
            transmit,
            _,
            combined,
        ] = words;
        match asked {
            Ok(()) => Ok(Queues {
                receive: (receive + combined).max(1),
                transmit: (transmit + combined).max(1),
                most: combined_most.max(receive_most.min(transmit_most)).max(1),
                are_combined: combined_most > 0,
            }),
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(Queues {
                receive: 1,
                transmit: 1,
                most: 1,
                are_combined: false,
            }),
            Err(error) => Err(error),
        }
    }

    /// How many receive queues it uses; 1 where the driver does not say.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn queues(&self) -> Result<u32> {
        Ok(self.queue_counts()?.receive)
    }

    /// The offloads that change frames on their way in, as far as the kernel knows them.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn offloads(&self) -> Result<Vec<OffloadState>> {
        let names = self.feature_names()?;
        let blocks = self.features(names.len())?;
        let state = |&offload: &Offload| {
            let bit = names.iter().position(|name| name == offload.name())?;
            let block = &blocks[bit / 32];
            let is_set = |word: u32| word >> (bit % 32) & 1 != 0;
            Some(OffloadState {
                offload,
                is_on: is_set(block.active),
                is_changeable: is_set(block.available) && !is_set(block.never_changed),
            })
        };
        Ok(Offload::ALL.iter().filter_map(state).collect())
    }

    /// Switches an offload, and looks whether it was.
    ///
    /// # Errors
    ///
    /// If the kernel does not know it, the driver does not do as told, or without CAP_NET_ADMIN.
    pub fn set_offload(&self, offload: Offload, is_on: bool) -> Result<()> {
        let attempt = format!(
            "switch {} {}",
            offload.name(),
            if is_on { "on" } else { "off" }
        );
        let names = self.feature_names()?;
        let Some(bit) = names.iter().position(|name| name == offload.name()) else {
            return Err(Error::new(self, attempt, "this kernel does not know it"));
        };
        // Command, number of blocks, then each block: which features, to what.
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; 2 + 2 * blocks];
        (words[0], words[1]) = (SFEATURES, blocks as u32);
        let block = 2 + 2 * (bit / 32);
        words[block] = 1 << (bit % 32);
        words[block + 1] = u32::from(is_on) << (bit % 32);
        self.ethtool(&attempt, &mut words)?;
        let now = self.offloads()?;
        if now
            .iter()
            .any(|state| state.offload == offload && state.is_on == is_on)
        {
            return Ok(());
        }
        Err(Error::new(self, attempt, "the driver left it as it was"))
    }

    /// The kernel's names of all features, in the order of their bits.
    fn feature_names(&self) -> Result<Vec<String>> {
        let attempt = "read the names of the offloads";
        // Command, nothing, a double word of which sets are asked for, then their sizes.
        let [low, high] = halves(1 << FEATURE_NAMES);
        let mut words = [GSSET_INFO, 0, low, high, 0];
        self.ethtool(attempt, &mut words)?;
        let count = words[4] as usize;
        // Command, string set, number of strings, then the strings.
        let mut words = vec![0; 3 + count * NAME_WORDS];
        (words[0], words[1], words[2]) = (GSTRINGS, FEATURE_NAMES, count as u32);
        self.ethtool(attempt, &mut words)?;
        Ok(words[3..].chunks(NAME_WORDS).map(text).collect())
    }

    /// The state of `count` features.
    fn features(&self, count: usize) -> Result<Vec<Block>> {
        let blocks = count.div_ceil(32);
        // Command, number of blocks, then each block: available, requested, active, never changed.
        let mut words = vec![0; 2 + 4 * blocks];
        (words[0], words[1]) = (GFEATURES, blocks as u32);
        self.ethtool("read the offloads", &mut words)?;
        let block = |&[available, _, active, never_changed]: &[u32; 4]| Block {
            available,
            active,
            never_changed,
        };
        Ok(words[2..].as_chunks().0.iter().map(block).collect())
    }
}

/// The state of 32 features.
struct Block {
    available: u32,
    active: u32,
    never_changed: u32,
}

/// A double word as it lies in memory.
const fn halves(double: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = double.to_ne_bytes();
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    ]
}

/// The text in words that the kernel filled with octets, up to its first 0.
fn text(words: &[u32]) -> String {
    let octets: Vec<u8> = words
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .take_while(|&octet| octet != 0)
        .collect();
    String::from_utf8_lossy(&octets).into_owned()
}
