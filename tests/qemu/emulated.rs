//! A node whose program is another machine's.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use daemon::demo::net::{Node, World};

/// The overlay's tables, by default: what is not resolved, what is, and each lane's.
const TABLES: [u32; 2 + control::MAX_LANES] = [4342, 4343, 4344, 4345, 4346, 4347];

/// What a TUN device has at first: the emulator passes on no other.
const MTU: u32 = 1500;

/// Another kind of machine.
#[derive(Debug)]
pub struct Machine {
    /// The environment variable that names its program.
    variable: &'static str,
    /// What runs that here.
    pub emulator: &'static str,
    /// Its processor, as the emulator calls it.
    pub processor: &'static str,
    /// `EI_DATA` and `e_machine` of its programs.
    elf: (u8, u16),
}

/// Big-endian, as in a WNDR3800.
pub const MIPS: Machine = Machine {
    variable: "LISPGUARD_TEST_MIPS",
    emulator: "qemu-mips-static",
    processor: "24Kc",
    elf: (2, 8),
};

/// As in a WRT1200AC.
pub const ARM: Machine = Machine {
    variable: "LISPGUARD_TEST_ARM",
    emulator: "qemu-arm-static",
    processor: "cortex-a9",
    elf: (1, 40),
};

/// As MIPS, but little-endian.
pub const MIPSEL: Machine = Machine {
    variable: "LISPGUARD_TEST_MIPSEL",
    emulator: "qemu-mipsel-static",
    processor: "24Kc",
    elf: (1, 8),
};

/// Of 64 bits.
pub const AARCH64: Machine = Machine {
    variable: "LISPGUARD_TEST_AARCH64",
    emulator: "qemu-aarch64-static",
    processor: "cortex-a53",
    elf: (1, 183),
};

impl Machine {
    /// Its `lispguard`.
    ///
    /// # Panics
    /// When there is none, or it is another machine's.
    pub fn program(&self) -> PathBuf {
        let path = std::env::var_os(self.variable);
        let path = PathBuf::from(path.unwrap_or_else(|| panic!("{} names none", self.variable)));
        let octets = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (data, machine) = (octets[5], [octets[18], octets[19]]);
        let machine =
            if data == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
        assert_eq!((data, machine), self.elf, "{} is another machine's", path.display());
        path
    }

    /// Has `node` be of this kind from its next start on. The emulator passes on neither rules nor
    /// marks nor an MTU: somebody else makes the rules, and the underlay carries longer packets.
    pub fn emulate(&self, node: &mut Node) -> io::Result<()> {
        self.emulate_with(node, "")
    }

    /// As `emulate`, with further words for the emulator.
    pub fn emulate_with(&self, node: &mut Node, words: &str) -> io::Result<()> {
        let script = node.directory().join("emulated");
        let (emulator, processor) = (self.emulator, self.processor);
        let program = self.program();
        let line = format!("exec {emulator} -cpu {processor} {words} '{}'", program.display());
        fs::write(&script, format!("#!/bin/sh\n{line} \"$@\"\n"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        node.set_program(&script);
        node.config.set_option("dataplane", "userspace");
        node.config.set_option("rules", "none");
        node.config.set_option("fwmark", "0");
        node.config.set_option("mtu", &MTU.to_string());
        make_rules(node)
    }

    /// Whether that is what runs as `node`.
    pub fn is_running(&self, node: &Node) -> bool {
        let process = node.process_id().map(|id| format!("/proc/{id}/exe"));
        let program = process.and_then(|path| fs::read_link(path).ok());
        program.is_some_and(|path| path.file_name() == Path::new(self.emulator).file_name())
    }
}

/// Has the underlay carry what the tunnels make of their longest packets.
pub fn lengthen_links(world: &World) -> io::Result<()> {
    let machines = [&world.map_server, &world.home, &world.office];
    let ends = machines.map(|node| (node.name(), node.place(), "wan"));
    let phone = world.phone.place();
    for (there, place, device) in
        ends.into_iter().chain([("ap1", phone, "ap1"), ("ap2", phone, "ap2")])
    {
        world.internet.set_mtu(there, MTU + 100)?;
        place.set_mtu(device, MTU + 100)?;
    }
    Ok(())
}

/// What `option rules 'auto'` makes, but for marks: connected networks first, all else by the
/// overlay's table.
fn make_rules(node: &Node) -> io::Result<()> {
    let ip = |family, words: &[&str]| {
        let words: Vec<_> = [family].iter().chain(words).copied().collect();
        node.place().run("ip", &words).map(drop)
    };
    for (family, nowhere) in [("-4", "192.0.2.255/32"), ("-6", "2001:db8::/128")] {
        for words in [
            &["pref", "5090", "lookup", "main", "suppress_prefixlength", "0"][..],
            &["pref", "5094", "lookup", &TABLES[0].to_string()],
        ] {
            ip(family, &[&["rule", "add"], words].concat())?;
        }
        // The emulator garbles what the kernel says of a table that it does not know.
        for table in TABLES {
            let table = table.to_string();
            for verb in ["add", "del"] {
                ip(family, &["route", verb, "unreachable", nowhere, "table", &table])?;
            }
        }
    }
    Ok(())
}
