//! A temporary directory that goes away with its process, at the latest at the next start.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

const PREFIX: &str = "lispguard-demo-";
/// How often a directory that is being filled is tried to remove.
const ATTEMPTS: usize = 5;
/// Whether this process removes its directories for good; held while one is made.
static IS_ENDING: Mutex<bool> = Mutex::new(false);

/// A directory that only this user enters; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `lispguard-demo-PID` in the temporary directory (with a number behind it from the second
    /// on) and removes those of processes that are gone.
    ///
    /// # Errors
    /// When the temporary directory cannot be written, or this process is ending.
    pub fn new() -> io::Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = std::env::temp_dir();
        remove_stale(&parent, PREFIX, Path::new("/proc"));
        let pid = std::process::id();
        let name = match COUNT.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{PREFIX}{pid}"),
            count => format!("{PREFIX}{pid}-{count}"),
        };
        let path = parent.join(name);
        let is_ending = IS_ENDING.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_ending {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it, unless it is there.
    ///
    /// # Errors
    /// As the file system says, also when this was removed meanwhile.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        make_directory(&path)?;
        Ok(path)
    }
}

/// Makes a directory that only this user enters, unless it is there. What it is to be in is not
/// made: an interrupt may have removed that.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what killed processes left, named by a prefix and their number; what another user owns
/// stays.
pub(crate) fn remove_stale(parent: &Path, prefix: &str, proc: &Path) {
    remove(parent, prefix, |pid| !proc.join(pid.to_string()).exists());
}

/// Removes the directories of this process, which makes no more of them.
pub(crate) fn remove_own() {
    *IS_ENDING.lock().unwrap_or_else(PoisonError::into_inner) = true;
    remove(&std::env::temp_dir(), PREFIX, |pid| pid == std::process::id());
}

fn remove(parent: &Path, prefix: &str, is_unwanted: impl Fn(u32) -> bool) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(owner);
        if owner.is_some_and(&is_unwanted) {
            let path = entry.path();
            // Again where another thread was making a file there.
            let is_gone = || fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).is_ok();
            let _ = (0..ATTEMPTS).any(|_| is_gone());
        }
    }
}

/// The process that `PID` or `PID-COUNT` belongs to.
fn owner(name: &str) -> Option<u32> {
    name.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_dead_processes_go_and_others_stay() {
        let scratch = Scratch::new().unwrap();
        let (parent, proc) =
            (scratch.directory("tmp").unwrap(), scratch.directory("proc").unwrap());
        fs::create_dir(proc.join("7")).unwrap();
        for name in ["7", "8", "8-1", "x"] {
            fs::create_dir_all(parent.join(format!("{PREFIX}{name}/home"))).unwrap();
        }
        fs::create_dir(parent.join("8")).unwrap();
        fs::write(parent.join(format!("{PREFIX}9-socket")), "").unwrap();
        remove_stale(&parent, PREFIX, &proc);
        let mut left: Vec<_> =
            fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["8", "lispguard-demo-7", "lispguard-demo-x"]);
    }

    #[test]
    fn a_scratch_directory_is_private_and_goes_when_dropped() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_path_buf();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert!(!path.exists());
    }
}
