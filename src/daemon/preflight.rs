//! Settings of this machine that would stop the overlay's packets without a word.

use control::EidPrefix;
use dataplane::Backend;

use crate::config::Config;

/// The strictest reverse path filter: a packet must come in where an answer would go out.
const STRICT: u8 = 1;

/// What is wrong with this machine's settings, each with its remedy.
pub fn problems(config: &Config, plane: &Backend) -> Vec<String> {
    let read = |name: &str| linux::sysctl::read(name).ok();
    let mut problems = Vec::new();
    if config.roles.is_xtr {
        let families = [
            (true, "net/ipv4/ip_forward", "IPv4"),
            (false, "net/ipv6/conf/all/forwarding", "IPv6"),
        ];
        for (is_v4, name, family) in families {
            let has_family = has_family(config.eid_prefixes.iter().map(|own| &own.prefix), is_v4);
            if has_family && read(name).as_deref() == Some("0") {
                problems.push(format!(
                    "this machine does not forward {family}: `sysctl -w {}=1`",
                    name.replace('/', ".")
                ));
            }
        }
    }
    problems.extend(strict_filter(config, &read));
    if let Some(kernel) = plane.as_kernel() {
        problems.extend(kernel.strictly_filtered().map(|device| {
            format!("a strict reverse path filter drops what comes from EIDs: {}", remedy(device))
        }));
    }
    problems
}

/// Whether the kernel chooses among lanes by addresses alone, without ports.
pub fn hashes_addresses_alone() -> bool {
    let policy = |family| format!("net/{family}/fib_multipath_hash_policy");
    ["ipv4", "ipv6"]
        .map(policy)
        .iter()
        .any(|name| linux::sysctl::read(name).is_ok_and(|v| v == "0"))
}

/// A strict filter on the interface that tunnels' packets come in by drops them when the way back
/// leads through another uplink. Of an interface's value and that of all, the larger one counts.
fn strict_filter(config: &Config, read: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let value = |device: &str| read(&filter_of(device))?.parse::<u8>().ok();
    let all = value("all").unwrap_or(0);
    let is_strict = |device: &&str| value(device).is_some_and(|own| own.max(all) == STRICT);
    let mut devices = config.uplinks.iter().map(|uplink| uplink.device.as_str());
    let strict = devices.find(is_strict).filter(|_| config.uplinks.len() > 1)?;
    let problem = "a strict reverse path filter drops what comes in by the second uplink";
    Some(format!("{problem}: {}", remedy(strict)))
}

fn filter_of(device: &str) -> String {
    format!("net/ipv4/conf/{device}/rp_filter")
}

/// Slashes, as a device's name may have dots.
fn remedy(device: &str) -> String {
    format!("`sysctl -w {}=2`", filter_of(device))
}

fn has_family<'a>(mut prefixes: impl Iterator<Item = &'a EidPrefix>, is_v4: bool) -> bool {
    prefixes.any(|prefix| prefix.address().is_ipv4() == is_v4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::PeerKey;

    #[test]
    fn a_filter_is_as_strict_as_the_larger_of_its_own_value_and_that_of_all() {
        let uplink = |device: &str| format!("config uplink\n option device '{device}'\n");
        let text = format!(
            "config lispguard 'main'\n option role 'xtr'\n option private_key '{}'\n \
             list eid_space '10.0.0.0/8'\nconfig eid_prefix\n option prefix '10.1.0.0/24'\n\
             config map_server 'ms'\n option public_key '{}'\n option endpoint '192.0.2.1'\n",
            PeerKey([7; 32]),
            PeerKey([9; 32]),
        );
        let one = Config::parse((text.clone() + &uplink("a")).as_bytes(), "test").expect("right");
        let two = text + &uplink("a") + &uplink("eth0.2");
        let two = Config::parse(two.as_bytes(), "test").expect("right");
        let problem = |config: &Config, all: &str, own: &str| {
            strict_filter(config, &|name: &str| {
                Some(if name.contains("/all/") { all } else { own }.to_owned())
            })
        };
        assert_eq!(problem(&one, "1", "1"), None);
        for (all, own) in [("0", "0"), ("2", "1"), ("1", "2"), ("2", "0")] {
            assert_eq!(problem(&two, all, own), None, "{all} {own}");
        }
        for (all, own) in [("1", "0"), ("0", "1"), ("1", "1")] {
            let told = problem(&two, all, own).expect("strict");
            assert!(told.ends_with(": `sysctl -w net/ipv4/conf/a/rp_filter=2`"), "{told}");
        }
    }
}
