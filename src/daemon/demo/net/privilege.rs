//! Who may make network namespaces.

use std::io;

/// Whether this process may make network namespaces as it is: whether it has `CAP_SYS_ADMIN`.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn has_privilege() -> io::Result<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    Ok(capabilities.unwrap_or(0) >> CAP_SYS_ADMIN & 1 == 1)
}
