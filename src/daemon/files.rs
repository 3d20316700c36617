//! Files that are replaced as a whole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::process;

/// Writes beside the file and renames: a crash leaves the old or the new one. The new one has mode
/// and owner of the file `like`, else it is this user's alone.
///
/// # Errors
/// When the directory or the file cannot be written; the file is as it was then.
pub fn replace(path: &Path, octets: &[u8], like: Option<&Path>) -> io::Result<()> {
    let (directory, name) = split(path);
    let mut beside = directory.to_owned();
    beside.extend_from_slice(b".");
    beside.extend_from_slice(name);
    beside.extend_from_slice(format!(".{}", process::id()).as_bytes());
    let beside = Path::new(OsStr::from_bytes(&beside));
    let like = like.map(fs::metadata).transpose()?;
    // What is there is of a process that had our number.
    let _ = fs::remove_file(beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let written = like
        .map_or(Ok(()), |like| {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
            file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))
        })
        .and_then(|()| file.write_all(octets))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(beside, path));
    if written.is_err() {
        let _ = fs::remove_file(beside);
    } else {
        let directory = if directory.is_empty() { b"." } else { directory };
        // The new file is in place: only a power cut could still bring the old one back.
        let _ = File::open(OsStr::from_bytes(directory)).and_then(|directory| directory.sync_all());
    }
    written
}

/// The directory, with the slash at its end, and the name of a file.
fn split(path: &Path) -> (&[u8], &[u8]) {
    let octets = path.as_os_str().as_bytes();
    let end = octets.iter().rposition(|octet| *octet == b'/').map_or(0, |place| place + 1);
    octets.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let scratch = std::env::temp_dir().join(format!("lispguard-files-{}", process::id()));
        fs::create_dir(&scratch).expect("a directory");
        let file = scratch.join("file");
        for text in ["one", "two"] {
            replace(&file, text.as_bytes(), None).expect("replaced");
            assert_eq!(fs::read_to_string(&file).expect("a file"), text);
        }
        assert_eq!(fs::metadata(&file).expect("a file").mode() & 0o7777, 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("a mode");
        replace(&file, b"three", Some(&file)).expect("replaced");
        assert_eq!(fs::metadata(&file).expect("a file").mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(&scratch).expect("a directory").count(), 1);
        fs::remove_dir_all(&scratch).expect("removed");
        assert!(replace(Path::new("/proc/nowhere/file"), b"", None).is_err());
    }
}
