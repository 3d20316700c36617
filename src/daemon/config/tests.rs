//! Each mistake with the exact line it prints, and the shipped files against the schema.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use super::schema::SECTIONS;
use super::*;

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const OTHER: &str = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";
const DEFAULT: &str = include_str!("../../../uci/lispguard");
const REFERENCE: &str = include_str!("../../../uci/README.md");

/// The public key of [`KEY`].
fn own_key() -> String {
    PrivateKey::decode(KEY).unwrap().public_key().to_string()
}

/// A right xTR configuration in the lines 1 to 8.
fn xtr() -> String {
    format!(
        "config lispguard 'main'\n list role 'xtr'\n option private_key '{KEY}'\n \
         list eid_space '10.0.0.0/8'\nconfig eid_prefix 'lan'\n option prefix '10.1.0.0/24'\n\
         config map_server 'east'\n option public_key '{OTHER}'\n option endpoint 'ms.example'\n"
    )
}

/// A right Map-Server configuration in the lines 1 to 6.
fn map_server() -> String {
    format!(
        "config lispguard 'main'\n option role 'map_server'\n option private_key '{KEY}'\n\
         config site 'home'\n option public_key '{OTHER}'\n list eid_prefix '10.1.0.0/24'\n"
    )
}

fn errors(text: &str) -> String {
    match Config::parse(text.as_bytes(), "f") {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_short_configuration_has_the_documented_defaults() {
    let config = Config::parse(xtr().as_bytes(), "f").unwrap();
    assert!(config.roles.is_xtr && config.roles.has_database() && !config.roles.is_map_server);
    assert_eq!(config.private_key.public_key().to_string(), own_key());
    assert_eq!(config.ports, Ports { control: 51821, data: 51820, lisp: 4342 });
    assert_eq!((config.on_miss, config.mtu), (OnMiss::Drop, None));
    let rules = Rules::Auto;
    let hashes_ports = false;
    let routing = Routing { fwmark: 0x4c47, table: 4342, rule_priority: 5090, rules, hashes_ports };
    assert_eq!(config.routing, routing);
    let max_sites = if cfg!(feature = "full") { 1000 } else { 64 };
    let limits =
        Limits { map_cache_size: 1024, waiting_per_eid: 16, waiting_total: 256, max_sites };
    assert_eq!(config.limits, limits);
    assert_eq!(config.control_socket, PathBuf::from("/var/run/lispguard/control.sock"));
    assert_eq!(config.eid_prefixes[0].record_ttl, Duration::from_secs(3600));
    assert_eq!(config.eid_prefixes[0].prefix.to_string(), "10.1.0.0/24");
    let east = &config.map_servers[0];
    assert_eq!(east.endpoint.as_ref().unwrap().to_string(), "ms.example:51821");
    assert!(!east.is_myself() && east.authentication_key.is_none());
    assert!(Config::parse(map_server().as_bytes(), "f").unwrap().sites[0].accepts_more_specifics);
}

#[test]
fn a_router_may_be_its_own_map_server() {
    let own = own_key();
    let text = xtr()
        .replace("list role 'xtr'", "list role 'xtr'; list role 'map_server'")
        .replace(OTHER, &own)
        .replace(" option endpoint 'ms.example'\n", "");
    let text = text
        + &format!("config site 'me'\n option public_key '{own}'\n list eid_prefix '10.1.0.0/24'");
    let config = Config::parse(text.as_bytes(), "f").unwrap();
    assert!(config.map_servers[0].is_myself() && config.sites[0].name == "me");
}

#[test]
fn a_mobile_node_has_single_addresses_of_its_instance() {
    let text = xtr()
        .replace("'xtr'", "'mobile_node'\n option instance_id 7")
        .replace("10.1.0.0/24", "10.1.0.9/32");
    let config = Config::parse(text.as_bytes(), "f").unwrap();
    assert!(config.roles.is_mobile_node);
    assert_eq!(config.eid_prefixes[0].prefix.to_string(), "[7]10.1.0.9/32");
    let outside = text.replace("10.1.0.9", "11.1.0.9");
    let expected = "f:7: option 'prefix' in section 'lan': it is outside the EID-space; add \
                    `list eid_space '11.1.0.9/32'`";
    assert_eq!(errors(&outside), expected);
    let text = text.replace("/32", "/24");
    let expected = "f:7: option 'prefix' in section 'lan': a mobile node's prefix is one address; \
                    write ADDRESS/32";
    assert_eq!(errors(&text), expected);
}

#[test]
fn parts_compare_so_that_a_reload_finds_what_changed() {
    let parse = |text: &str| Config::parse(text.as_bytes(), "f").unwrap();
    let (one, same) = (parse(&xtr()), parse(&("# c\n".to_owned() + &xtr())));
    assert_eq!(one, same);
    let other = parse(&xtr().replace(KEY, OTHER));
    assert_ne!(one.private_key, other.private_key);
    assert_eq!(one.eid_prefixes, other.eid_prefixes);
    assert!(!format!("{one:?}").contains(KEY), "a private key is never shown");
}

/// Replaces a part of the right xTR configuration and compares all that is printed.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    let text = xtr();
    assert!(text.contains(from), "nothing to replace: {from}");
    assert_eq!(errors(&text.replacen(from, to, 1)), expected, "{to}");
}

#[test]
fn wrong_sections_are_told() {
    check(
        "config lispguard 'main'\n",
        "config lispguard\n",
        "f:1: the nameless section of type 'lispguard': there is one main section; call it \
         `config lispguard 'main'`",
    );
    check(
        "config eid_prefix 'lan'",
        "config eid-prefix 'lan'",
        "f:1: section 'main': this role needs a section of type 'eid_prefix'; add one\n\
         f:5: section 'lan': unknown section type 'eid-prefix'; did you mean 'eid_prefix'?",
    );
    check(
        "config eid_prefix",
        "config interface 'x'\nconfig eid_prefix",
        "f:5: section 'x': unknown section type 'interface'; write 'lispguard', 'eid_prefix', \
         'map_server', 'site' or 'uplink'",
    );
    check(
        "map_server 'east'",
        "map_server",
        "f:7: the nameless section of type 'map_server': it needs a name; write one after the type",
    );
    check(
        "config map_server",
        "config eid_prefix lan\nconfig map_server",
        "f:5: section 'lan': line 7 opens a section of this name again; rename or join them",
    );
    check(
        "config map_server",
        "config uplink lan\nconfig map_server",
        "f:7: an earlier section of another type has this name; choose another",
    );
    check(
        "config map_server",
        "config site s\n option public_key x\nconfig map_server",
        "f:7: section 's': only a Map-Server uses it; add `list role 'map_server'` or delete it\n\
         f:7: option 'eid_prefix' in section 's': it is missing; add `list eid_prefix \
         'ADDRESS/LENGTH'`\n\
         f:8: option 'public_key' in section 's': a key has 44 characters of base64, this has 1; \
         copy the key again",
    );
    assert_eq!(errors(""), "f: the main section is missing; add `config lispguard 'main'`");
    let many: String =
        (0..33).map(|n| format!("config eid_prefix\n option prefix '10.2.{n}.0/24'\n")).collect();
    assert_eq!(
        errors(&(xtr() + &many)),
        "f:72: the nameless section of type 'eid_prefix': at most 32 sections of this type are \
         possible; delete some"
    );
    let two = map_server()
        + &format!("config site b\n option public_key '{KEY}'\n list eid_prefix 10.2.0.0/24\n");
    assert_eq!(
        errors(&two.replacen("\nconfig site", "\n option max_sites 1\nconfig site", 1)),
        "f:8: section 'b': there are more than 1 sites; raise `option max_sites`"
    );
}

#[test]
fn a_map_server_has_so_many_sites_at_most() {
    let most = if cfg!(feature = "full") { 2000 } else { 64 };
    let full_house: String = (0..=most)
        .map(|n| {
            let key = control::PeerKey(
                [1 + (n % 250) as u8, (n / 250) as u8 + 1]
                    .repeat(16)
                    .try_into()
                    .expect("32 octets"),
            );
            format!(
                "config site s{n}\n option public_key '{key}'\n list eid_prefix 10.{}.{}.0/24\n",
                1 + n / 200,
                n % 200
            )
        })
        .collect();
    let one = map_server();
    let main = one.split("\nconfig site").next().expect("a main section");
    let told = errors(&format!("{main}\n option max_sites {most}\n{full_house}"));
    let way_out = match most {
        64 => "install lispguard-full",
        _ => "give some to another Map-Server",
    };
    assert!(told.ends_with(&format!("there are more than {most} sites; {way_out}")), "{told}");
}

/// Lines of the main section and what is wrong with the option in them.
const MAIN_MISTAKES: [(&str, &str); 23] = [
    ("option eidspace x", "unknown option; did you mean 'eid_space'?"),
    ("option nonsense x", "unknown option; delete it"),
    ("option weight 1", "it belongs into a section of type 'uplink'; move it there"),
    ("option mtu 1400 ;option mtu 1300", "line 5 sets it again; delete one of the two"),
    ("list mtu 1400", "it has one value only; write `option`, and once"),
    ("option silence 20", "'20' is not a number from 50 to 60000; write one"),
    ("option mtu ''", "it has no value; add one or delete the line"),
    ("option max_sites 7", "only a Map-Server uses it; add `list role 'map_server'` or delete it"),
    (
        "option log_level 'info\n# '",
        "the value goes on in the next line; is a closing quote missing?",
    ),
    ("option private_key_file /x", "'private_key' is there too; delete one of the two"),
    ("option instance_id 16777216", "'16777216' is not a number from 0 to 16777215; write one"),
    ("option data_port 51821", "control tunnels use port 51821 too; choose another"),
    (
        "option table 249",
        "table 249, or one of the 5 after it, is the kernel's own; choose another, as 4342",
    ),
    ("option control_device lg-data2", "another interface of ours has this name; choose another"),
    ("option waiting_total 15", "it is less than 'waiting_per_eid'; raise it"),
    ("option on_miss natife", "unknown value 'natife'; did you mean 'native'?"),
    ("option rules yes", "unknown value 'yes'; write 'auto' or 'none'"),
    (
        "option log_level verbose",
        "unknown value 'verbose'; write 'error', 'warn', 'info', 'debug' or 'trace'",
    ),
    (
        "option control_address fe80::1",
        "this is not an IPv6 address inside fd00::/8; write one or delete the line",
    ),
    (
        "option data_device 'lg data0'",
        "this is not a network device; write 1 to 15 characters without blank, '/' and ':'",
    ),
    ("option run_dir run", "this is not an absolute path; start it with '/'"),
    (
        "option control_socket \
         /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
         xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "a socket's path has at most 107 octets; shorten it",
    ),
    ("list eid_space '10.0.0.1/8'", "bits are set after the prefix length; write 10.0.0.0/8"),
];

#[test]
fn wrong_options_of_the_main_section_are_told() {
    for (line, what) in MAIN_MISTAKES {
        let text = xtr();
        let text = text.replacen("\nconfig", &format!("\n {line}\nconfig"), 1);
        let name = line.split(' ').nth(1).unwrap();
        let expected = format!("f:5: option '{name}' in section 'main': {what}");
        assert_eq!(errors(&text), expected, "{line}");
    }
}

#[test]
fn numbers_out_of_range_are_told() {
    for (option, range) in [
        ("control_port", "1 to 65535"),
        ("data_port", "1 to 65535"),
        ("lisp_port", "1 to 65535"),
        ("record_ttl", "1 to 10080"),
        ("register_interval", "1 to 3600"),
        ("mtu", "1280 to 9000"),
        ("fwmark", "1 to 4294967292"),
        ("table", "1 to 4294967290"),
        ("rule_priority", "1 to 32759"),
        ("map_cache_size", "1 to 65536"),
        ("waiting_per_eid", "1 to 1024"),
        ("waiting_total", "1 to 65536"),
    ] {
        for value in ["0", "-1", "+1", "x", "1.5", "4294967296", "0x", "0x+1"] {
            let line = format!("\n option {option} '{value}'\nconfig");
            let what = format!("'{value}' is not a number from {range}; write one");
            let expected = format!("f:5: option '{option}' in section 'main': {what}");
            assert_eq!(errors(&xtr().replacen("\nconfig", &line, 1)), expected);
        }
    }
}

#[test]
fn in_the_main_table_there_are_no_rules_and_no_other_tables() {
    let text = xtr().replacen("\nconfig", "\n option table 'main'\nconfig", 1);
    let routing = Config::parse(text.as_bytes(), "f").expect("a right one").routing;
    assert!(routing.is_main() && routing.rules == Rules::None);
    assert_eq!(routing.resolved_table(), routing.table);
    let told = errors(&format!("{text}\nconfig uplink\n option device wan\n"));
    assert!(told.contains("`config uplink` needs routing rules and a table of our own"), "{told}");
    let text = text.replacen("list eid_space '10.0.0.0/8'", "list eid_space '0.0.0.0/0'", 1);
    let what = "an EID-space of everything needs routing rules and a table of our own";
    assert!(errors(&text).contains(what), "{}", errors(&text));
}

#[test]
fn who_makes_the_rules_may_go_without_marks() {
    let lines = "\n option rules 'none'\n option fwmark '0'\nconfig";
    let text = xtr().replacen("\nconfig", lines, 1);
    let routing = Config::parse(text.as_bytes(), "f").expect("a right one").routing;
    assert_eq!((routing.rules, routing.lane_mark(0), routing.lane_mark(3)), (Rules::None, 0, 0));
    assert_eq!(Routing { fwmark: 5, ..routing }.lane_mark(3), 8);
}

/// What is replaced in the right xTR configuration, with what, and what is printed then.
const MISTAKES: [(&str, &str, &str); 24] = [
    (
        "'xtr'",
        "'xtr' ; list role mobile_node",
        "2: option 'role' in section 'main': a mobile node is an xTR for itself; delete one of \
         the two roles",
    ),
    (
        "'xtr'",
        "'XTR'",
        "2: option 'role' in section 'main': unknown value 'XTR'; did you mean 'xtr'?",
    ),
    (
        "'xtr'",
        "'xtr'\n list role 'xtr'",
        "3: option 'role' in section 'main': line 2 has the same; delete one of the two",
    ),
    (
        " list role 'xtr'\n",
        "",
        "1: option 'role' in section 'main': it is missing; add `list role 'xtr'` or another role",
    ),
    (
        " list eid_space '10.0.0.0/8'\n",
        "",
        "1: option 'eid_space' in section 'main': it is missing; add \
         `list eid_space 'ADDRESS/LENGTH'`",
    ),
    (
        "'10.0.0.0/8'",
        "'10.0.0.0/8'\n list eid_space 10.0.0.0/8",
        "5: option 'eid_space' in section 'main': line 4 has the same; delete one of the two",
    ),
    (
        " option private_key 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='\n",
        "",
        "1: option 'private_key_file' in section 'main': it is missing; run `umask 077; \
         lispguard genkey > FILE` and add `option private_key_file 'FILE'`",
    ),
    (
        "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
        "x",
        "3: option 'private_key' in section 'main': a key has 44 characters of base64, this has \
         1; copy the key again",
    ),
    (
        "3fBmk=",
        "3fBmkA",
        "3: option 'private_key' in section 'main': this is not base64 as `lispguard genkey` \
         prints it; copy the key again",
    ),
    ("'xtr'", "'xtr", "2: the closing ' is missing"),
    (
        " option prefix '10.1.0.0/24'\n",
        "",
        "5: option 'prefix' in section 'lan': it is missing; add `option prefix 'ADDRESS/LENGTH'`",
    ),
    (
        "10.1.0.0/24",
        "10.1.0.7/24",
        "6: option 'prefix' in section 'lan': bits are set after the prefix length; write \
         10.1.0.0/24",
    ),
    (
        "10.1.0.0/24",
        "10.1.0.0/33",
        "6: option 'prefix' in section 'lan': the length is too large; write at most 32 for \
         IPv4, 128 for IPv6",
    ),
    (
        "10.1.0.0/24",
        "10.1.0.0",
        "6: option 'prefix' in section 'lan': this is not a prefix; write ADDRESS/LENGTH, as \
         10.1.0.0/24",
    ),
    (
        "10.1.0.0/24",
        "11.1.0.0/24",
        "6: option 'prefix' in section 'lan': it is outside the EID-space; add \
         `list eid_space '11.1.0.0/24'`",
    ),
    (
        "10.1.0.0/24",
        "224.0.0.0/4",
        "6: option 'prefix' in section 'lan': 224.0.0.0/4 is loopback, link-local or multicast; \
         choose another",
    ),
    (
        "10.1.0.0/24'",
        "10.1.0.0/24'\nconfig eid_prefix\n option prefix 10.1.0.0/24",
        "8: option 'prefix' in the nameless section of type 'eid_prefix': section 'lan' in line \
         6 has the same; delete one of the two",
    ),
    (
        " option public_key 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0='\n",
        "",
        "7: option 'public_key' in section 'east': it is missing; add `option public_key 'KEY'` \
         as `lispguard pubkey` prints it there",
    ),
    (
        " option endpoint 'ms.example'\n",
        "",
        "7: option 'endpoint' in section 'east': it is missing; add `option endpoint \
         'HOST:51821'`",
    ),
    (
        "'ms.example'",
        "2001:db8::1",
        "9: option 'endpoint' in section 'east': an IPv6 address needs brackets; write \
         [2001:db8::1]:51821",
    ),
    (
        "'ms.example'",
        "ms.example:0",
        "9: option 'endpoint' in section 'east': the port is not a number from 1 to 65535; write \
         51821",
    ),
    (
        "'ms.example'",
        "ms_example",
        "9: option 'endpoint' in section 'east': this is neither an address nor a host name; \
         write HOST:PORT, 192.0.2.1:PORT or [2001:db8::1]:PORT",
    ),
    (
        "'ms.example'\n",
        "x\nconfig map_server west\n option endpoint x\n option public_key \
         TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
        "12: option 'public_key' in section 'west': section 'east' in line 8 has the same; \
         delete one of the two",
    ),
    (
        "'ms.example'\n",
        "x\nconfig uplink\n option device eth0\nconfig uplink\n option device eth0\n",
        "13: option 'device' in the nameless section of type 'uplink': line 11 has the same; \
         delete one of the two",
    ),
];

#[test]
fn mistakes_are_told_with_line_option_and_remedy() {
    for (from, to, expected) in MISTAKES {
        check(from, to, &format!("f:{expected}"));
    }
}

#[test]
fn our_own_key_is_no_map_servers() {
    check(
        OTHER,
        &own_key(),
        "f:8: option 'public_key' in section 'east': this is our own key; copy the Map-Server's, \
         or add `list role 'map_server'`",
    );
}

#[test]
fn prefixes_of_different_sites_do_not_contain_one_another() {
    let nested = map_server()
        + &format!(
            "config site 'b'\n option public_key '{}'\n list eid_prefix '10.0.0.0/8'\n list \
             eid_prefix '10.0.0.0/9'",
            own_key()
        );
    assert_eq!(
        errors(&nested),
        "f:6: option 'eid_prefix' in section 'home': it lies inside 10.0.0.0/9 of section 'b' in \
         line 10: who holds the wider one would not ask for this one; give the sites prefixes \
         that do not contain one another"
    );
}

#[test]
fn sites_must_differ() {
    let twice = map_server()
        + &format!(
            "config site 'b'\n option public_key '{OTHER}'\n list eid_prefix '10.1.0.0/24'\n list \
             eid_prefix '10.7.0.0/25'\n list eid_prefix '10.7.0.0/25'\n option \
             accept_more_specifics yes"
        );
    assert_eq!(
        errors(&twice),
        "f:8: option 'public_key' in section 'b': section 'home' in line 5 has the same; delete \
         one of the two\n\
         f:9: option 'eid_prefix' in section 'b': section 'home' in line 6 has the same; delete \
         one of the two\n\
         f:11: option 'eid_prefix' in section 'b': line 10 has the same; delete one of the two\n\
         f:12: option 'accept_more_specifics' in section 'b': unknown value 'yes'; write '1' or '0'"
    );
    let own = map_server()
        + &format!(
            "config map_server 'm'\n option public_key '{}'\n option endpoint x\n",
            own_key()
        );
    assert_eq!(
        errors(&own),
        "f:7: section 'm': only an xTR or mobile node uses it; add `list role 'xtr'` or delete it\n\
         f:9: option 'endpoint' in section 'm': this Map-Server is the node itself; delete the \
         endpoint"
    );
}

#[test]
fn a_wrong_key_or_role_hides_no_other_error_and_adds_none() {
    let text =
        xtr().replace(KEY, "x").replace("'xtr'", "'router'").replace("10.1.0.0/24", "10.1.0.0/99");
    let errors = Config::parse(text.as_bytes(), "f").unwrap_err();
    assert_eq!(
        errors.errors.iter().map(|error| error.line).collect::<Vec<_>>(),
        [Some(2), Some(3), Some(6)]
    );
}

#[test]
fn twenty_errors_are_told_and_the_others_counted() {
    let text = xtr() + &"config uplink\n option devise x\n".repeat(20);
    let errors = &Config::parse(text.as_bytes(), "f").unwrap_err();
    assert_eq!(errors.into_iter().count(), MAX_ERRORS + 1);
    assert!(errors.to_string().ends_with("\nf: 21 more errors; correct these first"));
}

/// A directory of its own that vanishes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path =
            std::env::temp_dir().join(format!("lispguard-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, octets: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, octets).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_with_secrets_are_closed_to_others() {
    let directory = Directory::new("modes");
    let path = directory.write("c", xtr(), 0o600);
    assert_eq!(Config::load(&path), Config::parse(xtr().as_bytes(), "f"));
    let path = directory.write("c", xtr(), 0o644);
    let shown = path.display();
    assert_eq!(
        Config::load(&path).unwrap_err().to_string(),
        format!(
            "{shown}:3: option 'private_key' in section 'main': others may use this secret, as \
             {shown} has mode 0644; run `chmod 600 {shown}`"
        )
    );

    let text = |path: &PathBuf| {
        xtr().replace(
            &format!("private_key '{KEY}'"),
            &format!("private_key_file '{}'", path.display()),
        )
    };
    let key = directory.write("key", format!("{KEY}\n"), 0o600);
    let path = directory.write("c", text(&key), 0o644);
    assert_eq!(Config::load(&path), Config::parse(xtr().as_bytes(), "f"));
    directory.write("key", KEY, 0o620);
    let shown = key.display();
    assert_eq!(
        errors(&text(&key)),
        format!(
            "f:3: option 'private_key_file' in section 'main': others may use this secret, as \
             {shown} has mode 0620; run `chmod 600 {shown}`"
        )
    );
    directory.write("key", format!("{KEY}\nmore\n"), 0o600);
    assert_eq!(
        errors(&text(&key)),
        format!(
            "f:3: option 'private_key_file' in section 'main': {shown} holds more than a key; \
             make it with `lispguard genkey`"
        )
    );
    directory.write("key", "short", 0o600);
    assert_eq!(
        errors(&text(&key)),
        "f:3: option 'private_key_file' in section 'main': a key has 44 characters of base64, \
         this has 5; copy the key again"
    );
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let directory = Directory::new("files");
    let error = |path: &PathBuf| Config::load(path).unwrap_err().to_string();
    let missing = directory.0.join("missing");
    let shown = missing.display();
    assert_eq!(
        error(&missing),
        format!("{shown}: there is no file {shown}; create it or name another")
    );
    let shown = directory.0.display();
    assert_eq!(error(&directory.0), format!("{shown}: {shown} is not a file; name a file"));
    assert_eq!(error(&"/dev/zero".into()), "/dev/zero: /dev/zero is not a file; name a file");
    let looped = directory.0.join("loop");
    symlink(&looped, &looped).unwrap();
    assert!(error(&looped).contains("cannot be read"));
    let shown = directory.0.join("c");
    let shown = shown.display();
    let large = directory.write("c", " ".repeat(uci::limits::MAX_FILE + 1), 0o600);
    assert_eq!(error(&large), format!("{shown}:1: more than 262144 octets"));
    let binary = directory.write("c", b"config a\n\xff", 0o600);
    assert_eq!(
        error(&binary),
        format!("{shown}:2: this is not UTF-8 text; save the file as UTF-8")
    );
}

#[test]
fn the_default_file_is_valid_and_tells_what_to_do_first() {
    let uci = uci::parse(DEFAULT.as_bytes()).unwrap();
    assert_eq!((uci.sections.len(), uci.sections[0].options.len()), (1, 0));
    assert_eq!(errors(DEFAULT).lines().count(), 2, "role and key: {}", errors(DEFAULT));
}

/// The default file with every example in force.
fn uncommented() -> String {
    let mut text = String::new();
    for line in DEFAULT.lines() {
        let example = line.trim_start().strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        text += example.unwrap_or(line);
        text += "\n";
    }
    if cfg!(not(feature = "full")) {
        text = text.replace("max_sites '1000'", "max_sites '64'");
    }
    text.replace("private_key_file '/etc/lispguard/private_key'", &format!("private_key '{KEY}'"))
}

#[test]
fn the_examples_of_the_default_file_are_valid_and_show_the_defaults() {
    let text = uncommented();
    let config = Config::parse(text.as_bytes(), "uci/lispguard").unwrap_or_else(|e| panic!("{e}"));
    let plain = Config::parse(xtr().as_bytes(), "f").unwrap();
    let expected = Config {
        roles: config.roles,
        control_address: config.control_address,
        eid_space: config.eid_space.clone(),
        eid_prefixes: config.eid_prefixes.clone(),
        map_servers: config.map_servers.clone(),
        sites: config.sites.clone(),
        uplinks: config.uplinks.clone(),
        ..plain
    };
    assert_eq!(config, expected);
    assert_eq!(config.eid_prefixes[0].record_ttl, config.record_ttl);
    assert!(config.sites[0].accepts_more_specifics);
    assert_eq!((config.uplinks[0].priority, config.uplinks[0].weight), (1, 100));
}

#[test]
fn every_option_is_in_the_default_file_and_in_the_reference() {
    let document = uci::parse(uncommented().as_bytes()).unwrap();
    for rule in SECTIONS {
        let section_type = rule.section_type;
        let section = document.sections.iter().find(|section| section.section_type == section_type);
        let section = section.unwrap_or_else(|| panic!("no example of {section_type}"));
        let chapter = REFERENCE
            .split("\n## ")
            .find(|part| part.starts_with(&format!("config {section_type} ")));
        let chapter = chapter.unwrap_or_else(|| panic!("no chapter about {section_type}"));
        for option in rule.options {
            let name = option.name;
            let example =
                section.option(name).map(|option| matches!(option.value, uci::Value::List(_)));
            if name != "private_key_file" {
                assert_eq!(example, Some(option.is_list), "{section_type}.{name}");
            }
            assert!(chapter.contains(&format!("\n#### `{name}`\n")), "{section_type}.{name}");
        }
        let described = chapter.matches("\n#### ").count();
        assert_eq!(described, rule.options.len(), "{section_type} describes what does not exist");
    }
    assert!(DEFAULT.contains("#option private_key_file "));
}

#[test]
fn mutated_configurations_never_panic() {
    let mut state: u32 = 0x5eed;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % bound
    };
    let lines: Vec<String> = uncommented().lines().map(str::to_owned).collect();
    let mut wrong = 0;
    for _ in 0..500 {
        let mut lines = lines.clone();
        for _ in 0..=below(3) {
            let (one, other) = (below(lines.len()), below(lines.len()));
            match below(5) {
                0 => drop(lines.remove(one)),
                1 => lines.swap(one, other),
                2 => lines[one] = lines[other].clone(),
                3 => lines[one] = lines[one].replace(char::is_numeric, "9"),
                _ => {
                    let piece = ["'", "0", "/", ":", "\\", "ü", " x", "::1"][below(8)];
                    let place = below(lines[one].chars().count() + 1);
                    let place = lines[one].char_indices().nth(place).map(|(place, _)| place);
                    lines[one].insert_str(place.unwrap_or(0), piece);
                }
            }
        }
        if let Err(errors) = Config::parse(lines.join("\n").as_bytes(), "f") {
            wrong += 1;
            assert!(errors.into_iter().all(|error| !error.to_string().is_empty()));
        }
    }
    assert!(wrong > 200, "most mutations are mistakes: {wrong}");
}
