//! `lispguard export`: the line that makes this node known to another one.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use control::{EidPrefix, InstanceId};

use crate::commands;
use crate::config::{Config, Endpoint, EndpointError, Host};
use crate::join_line::{JoinLine, is_name_octet};

/// A Map-Server without an EID-space of its own names the prefixes of its sites, unless there are
/// more than this.
const MAX_SPACE: usize = 32;

/// Prints a line for each side of the node: as a site, and as a Map-Server that sites reach at
/// `host`. Exit 2 when the configuration or `host` is wrong.
pub fn export(path: &Path, name: &str, host: Option<&str>) -> ExitCode {
    let config = match Config::load_unjoined(path, name) {
        Ok((config, _)) => config,
        Err(errors) => return commands::refuse(&errors),
    };
    let host_name = linux::sysctl::read("kernel/hostname").unwrap_or_default();
    match lines(&config, host, &site_name(&host_name)) {
        Ok(lines) => {
            for line in &lines {
                let printed = commands::print(&format!("{line}\n"));
                if printed != ExitCode::SUCCESS {
                    return printed;
                }
                eprintln!("{}", hint(line));
            }
            ExitCode::SUCCESS
        }
        Err(problem) => commands::fail(2, &problem),
    }
}

/// The lines of a node, whose name as a site is `name`.
fn lines(config: &Config, host: Option<&str>, name: &str) -> Result<Vec<JoinLine>, String> {
    let public_key = config.private_key.public_key();
    let mut lines = Vec::new();
    if config.roles.has_database() {
        let eid_prefixes = as_written(&config.database());
        lines.push(JoinLine::Site { name: name.to_owned(), public_key, eid_prefixes });
    }
    match (config.roles.is_map_server, host) {
        (false, None) => {}
        (false, Some(_)) => return Err("--host is for a Map-Server, which this is not".into()),
        (true, None) => {
            return Err("say by which address or name sites reach this Map-Server, as in \
                        `lispguard export --host ms.example.net`"
                .into());
        }
        (true, Some(host)) => {
            let endpoint =
                endpoint(host, config.ports.control).map_err(|error| format!("--host: {error}"))?;
            let eid_space = eid_space(config);
            lines.push(JoinLine::MapServer { public_key, endpoint, eid_space });
        }
    }
    Ok(lines)
}

/// The endpoint of a host, which may bring a port of its own where a router forwards another one.
fn endpoint(host: &str, port: u16) -> Result<Endpoint, EndpointError> {
    if let Ok(address @ IpAddr::V6(_)) = host.parse() {
        return format!("[{address}]:{port}").parse();
    }
    let has_port = host.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let endpoint: Endpoint = host.parse()?;
    Ok(if has_port { endpoint } else { Endpoint { port, ..endpoint } })
}

fn eid_space(config: &Config) -> Vec<EidPrefix> {
    if !config.eid_space.is_empty() {
        return as_written(&config.eid_space);
    }
    let mut prefixes = Vec::new();
    for site in &config.sites {
        prefixes.append(&mut as_written(&site.eid_prefixes));
    }
    if prefixes.len() > MAX_SPACE { Vec::new() } else { prefixes }
}

/// The prefixes as files have them, without their instance-ID.
fn as_written(prefixes: &[EidPrefix]) -> Vec<EidPrefix> {
    prefixes.iter().map(|prefix| prefix.with_instance_id(InstanceId(0))).collect()
}

/// What a Map-Server may call a site on a host of this name: a name of UCI.
fn site_name(host: &str) -> String {
    let first = host.trim_ascii().split('.').next().unwrap_or_default();
    let plain = |octet| if is_name_octet(octet) { char::from(octet) } else { '_' };
    let name: String = first.bytes().map(plain).take(32).collect();
    if name.is_empty() { "site".into() } else { name }
}

fn hint(line: &JoinLine) -> &'static str {
    match line {
        JoinLine::Site { .. } => {
            "Give this line to `lispguard join` on the Map-Server; the second word after \
             `lispguard` is the name that it uses there."
        }
        JoinLine::MapServer { endpoint: Endpoint { host: Host::Address(address), .. }, .. }
            if is_private(*address) =>
        {
            "Give this line to `lispguard join` at each site that can reach this private address."
        }
        JoinLine::MapServer { .. } => "Give this line to `lispguard join` at each site.",
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    const OTHER: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";

    fn exported(roles: &str, rest: &str, host: Option<&str>) -> Result<String, String> {
        let text = format!("config lispguard 'main'\n option private_key '{KEY}'\n{roles}{rest}");
        let config = Config::parse(text.as_bytes(), "f").unwrap();
        let own = config.private_key.public_key().to_string();
        let lines: Vec<_> = lines(&config, host, "home")?.iter().map(JoinLine::to_string).collect();
        Ok(lines.join("\n").replace(&own, "OWN"))
    }

    fn xtr() -> String {
        format!(
            " list eid_space '10.0.0.0/8'\n option instance_id '7'\n\
             config eid_prefix\n option prefix '10.1.0.0/24'\n\
             config map_server 'ms'\n option public_key '{OTHER}'\n option endpoint 'ms.example'\n"
        )
    }

    #[test]
    fn a_site_names_its_prefixes_and_a_map_server_the_space() {
        let line = exported(" list role 'xtr'\n", &xtr(), None).unwrap();
        assert_eq!(line, "lispguard site home OWN 10.1.0.0/24");
        assert!(exported(" list role 'xtr'\n", &xtr(), Some("a")).is_err());
        let sites = format!(
            " option control_port '7'\nconfig site 'a'\n option public_key '{OTHER}'\n \
             list eid_prefix '10.2.0.0/24'\n"
        );
        let role = " list role 'map_server'\n";
        assert!(exported(role, &sites, None).unwrap_err().contains("--host"));
        assert!(exported(role, &sites, Some("a b")).is_err());
        let line = exported(role, &sites, Some("ms.example")).unwrap();
        assert_eq!(line, "lispguard map-server OWN ms.example:7 10.2.0.0/24");
        let both = exported(" list role 'xtr'\n list role 'map_server'\n", &xtr(), Some("::1"));
        assert_eq!(
            both.unwrap(),
            "lispguard site home OWN 10.1.0.0/24\n\
             lispguard map-server OWN [::1]:51821 10.0.0.0/8"
        );
    }

    #[test]
    fn a_host_may_have_a_port() {
        for (host, shown) in [
            ("192.0.2.1", "192.0.2.1:7"),
            ("192.0.2.1:8", "192.0.2.1:8"),
            ("2001:db8::1", "[2001:db8::1]:7"),
            ("[2001:db8::1]", "[2001:db8::1]:7"),
            ("[2001:db8::1]:8", "[2001:db8::1]:8"),
            ("ms.example", "ms.example:7"),
        ] {
            assert_eq!(endpoint(host, 7).unwrap().to_string(), shown);
        }
        assert_eq!(endpoint("::", 7), Err(EndpointError::Address("::".parse().unwrap())));
    }

    #[test]
    fn the_name_of_a_host_becomes_a_name_of_uci() {
        assert_eq!(site_name("alpha-1.example\n"), "alpha_1");
        assert_eq!(site_name(""), "site");
        assert_eq!(site_name(&"a".repeat(64)).len(), 32);
    }
}
