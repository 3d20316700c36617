//! Settings of this machine that would stop the overlay's packets without a word.

use control::EidPrefix;

use crate::config::Config;

/// The strictest reverse path filter: a packet must come in where an answer would go out.
const STRICT: &str = "1";

/// What is wrong with this machine's settings, each with its remedy.
pub fn problems(config: &Config) -> Vec<String> {
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
    problems
}

/// A strict filter on the interface that tunnels' packets come in by drops them when the way back
/// leads through another uplink.
fn strict_filter(config: &Config, read: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let has_several = config.uplinks.len() > 1;
    let is_strict = |name: &str| read(name).as_deref() == Some(STRICT);
    let named = config
        .uplinks
        .iter()
        .map(|uplink| format!("net/ipv4/conf/{}/rp_filter", uplink.device))
        .chain(["net/ipv4/conf/all/rp_filter".to_owned()]);
    let strict = named.into_iter().find(|name| has_several && is_strict(name))?;
    Some(format!(
        "a strict reverse path filter drops what comes in by the second uplink: `sysctl -w {}=2`",
        strict.replace('/', ".")
    ))
}

fn has_family<'a>(mut prefixes: impl Iterator<Item = &'a EidPrefix>, is_v4: bool) -> bool {
    prefixes.any(|prefix| prefix.address().is_ipv4() == is_v4)
}
