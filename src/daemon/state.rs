//! The few things a node remembers across restarts: a boot counter, and where its sites were.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use control::PeerKey;

use crate::config::key;
use crate::{files, input};

/// Bounds what is read back: a file of ours is a few octets to a few kilobytes.
const MAX_FILE: usize = 1 << 20;

/// Reads the boot counter, adds one and writes it back; the upper half of nonces that must
/// increase across restarts.
///
/// The wall clock's seconds lift it, so that a node whose file was lost, or went back to an older
/// one, is not taken for a replay. An unreadable number counts as none.
///
/// # Errors
/// When the directory cannot be written: the counter of this start is then `Err`'s companion
/// from the clock, which the caller may use after telling the user.
pub fn next_boot_counter(directory: &Path) -> Result<u32, (u32, io::Error)> {
    let path = directory.join("boot_counter");
    let last = read_bounded(&path).ok().and_then(|text| text.trim_ascii().parse::<u32>().ok());
    let next = last.map_or(0, |last| last.saturating_add(1)).max(wall_seconds());
    fs::create_dir_all(directory)
        .and_then(|()| files::replace(&path, format!("{next}\n").as_bytes(), None))
        .map(|()| next)
        .map_err(|error| (next, error))
}

/// Where the sites of a Map-Server were last heard; no secret is in it.
#[derive(Debug, Default)]
pub struct Endpoints {
    path: PathBuf,
    known: Vec<(PeerKey, SocketAddr)>,
    is_dirty: bool,
}

impl Endpoints {
    /// Reads what an earlier run left; lines that are not a key and an endpoint are skipped.
    pub fn load(directory: &Path) -> Endpoints {
        let path = directory.join("endpoints");
        let text = read_bounded(&path).unwrap_or_default();
        let mut known = Vec::new();
        for line in text.lines() {
            known.extend(parse_line(line));
        }
        Endpoints { path, known, is_dirty: false }
    }

    /// Where this site was last heard.
    pub fn of(&self, site: PeerKey) -> Option<SocketAddr> {
        self.known.iter().find(|(key, _)| *key == site).map(|(_, endpoint)| *endpoint)
    }

    /// Notes where a site is heard now.
    pub fn learn(&mut self, site: PeerKey, endpoint: SocketAddr) {
        match self.known.iter_mut().find(|(key, _)| *key == site) {
            Some((_, known)) if *known == endpoint => return,
            Some((_, known)) => *known = endpoint,
            None => self.known.push((site, endpoint)),
        }
        self.is_dirty = true;
    }

    /// Whether something was learnt since the last `save`.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Writes the file anew, keeping the sites that `is_configured` says are still there.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn save(&mut self, is_configured: impl Fn(PeerKey) -> bool) -> io::Result<()> {
        self.is_dirty = false;
        self.known.retain(|(key, _)| is_configured(*key));
        let text: String =
            self.known.iter().map(|(key, endpoint)| format!("{key} {endpoint}\n")).collect();
        files::replace(&self.path, text.as_bytes(), None)
    }
}

fn parse_line(line: &str) -> Option<(PeerKey, SocketAddr)> {
    let (key, endpoint) = line.split_once(' ')?;
    Some((PeerKey(*key::decode(key).ok()?), endpoint.parse().ok()?))
}

fn read_bounded(path: &Path) -> io::Result<String> {
    input::text(&mut File::open(path)?, MAX_FILE)
}

fn wall_seconds() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own for each test, removed when it ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path =
                std::env::temp_dir().join(format!("lispguard-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_boot_counter_increases_with_each_start() {
        let scratch = Scratch::new("boot");
        let first = next_boot_counter(&scratch.0).unwrap();
        assert!(next_boot_counter(&scratch.0).unwrap() > first);
        let ahead = first + 1_000_000;
        fs::write(scratch.0.join("boot_counter"), format!("{ahead}\n")).unwrap();
        assert_eq!(next_boot_counter(&scratch.0).unwrap(), ahead + 1);
        fs::write(scratch.0.join("boot_counter"), "41\n").unwrap();
        assert!(next_boot_counter(&scratch.0).unwrap() >= first);
        fs::write(scratch.0.join("boot_counter"), "rubbish").unwrap();
        assert!(next_boot_counter(&scratch.0).unwrap() >= first);
    }

    #[test]
    fn a_directory_that_cannot_be_written_still_gives_a_counter() {
        let (counter, _) = next_boot_counter(Path::new("/proc/nowhere")).unwrap_err();
        assert!(counter > 0);
        let scratch = Scratch::new("outer");
        let file = scratch.0.join("file");
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        let (_, error) = next_boot_counter(&file.join("a")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "what is in the way is told");
    }

    #[test]
    fn endpoints_survive_a_restart_and_lose_removed_sites() {
        let scratch = Scratch::new("endpoints");
        let mut endpoints = Endpoints::load(&scratch.0);
        let (one, two) = (PeerKey([1; 32]), PeerKey([2; 32]));
        endpoints.learn(one, "192.0.2.1:51821".parse().unwrap());
        endpoints.learn(two, "[2001:db8::1]:51821".parse().unwrap());
        endpoints.save(|key| key != two).unwrap();
        let again = Endpoints::load(&scratch.0);
        assert_eq!(again.of(one), Some("192.0.2.1:51821".parse().unwrap()));
        assert_eq!(again.of(two), None);
        fs::write(scratch.0.join("endpoints"), "x y\n\0\n").unwrap();
        assert_eq!(Endpoints::load(&scratch.0).of(one), None);
    }
}
