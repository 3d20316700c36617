//! Which sections and options exist; what is not here is an error.

/// A section type.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct SectionRule {
    pub(super) section_type: &'static str,
    /// Who may have it.
    pub(super) user: User,
    pub(super) options: &'static [OptionRule],
}

/// An option of a section type.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct OptionRule {
    pub(super) name: &'static str,
    /// Who may have it.
    pub(super) user: User,
    /// Whether it may have several values.
    pub(super) is_list: bool,
}

/// The roles that a section or option means something to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum User {
    /// Every role.
    Any,
    /// xTR and mobile node.
    Database,
    /// Map-Server.
    MapServer,
}

const fn any(name: &'static str) -> OptionRule {
    OptionRule { name, user: User::Any, is_list: false }
}

const fn database(name: &'static str) -> OptionRule {
    OptionRule { name, user: User::Database, is_list: false }
}

const fn map_server(name: &'static str) -> OptionRule {
    OptionRule { name, user: User::MapServer, is_list: false }
}

const fn list(name: &'static str, user: User) -> OptionRule {
    OptionRule { name, user, is_list: true }
}

/// Every section type, the main one first.
pub(super) const SECTIONS: &[SectionRule] = &[
    SectionRule { section_type: "lispguard", user: User::Any, options: MAIN },
    SectionRule {
        section_type: "eid_prefix",
        user: User::Database,
        options: &[any("prefix"), any("record_ttl")],
    },
    SectionRule {
        section_type: "map_server",
        user: User::Database,
        options: &[
            any("endpoint"),
            any("public_key"),
            any("authentication_key"),
            any("persistent_keepalive"),
        ],
    },
    SectionRule {
        section_type: "site",
        user: User::MapServer,
        options: &[
            any("public_key"),
            list("eid_prefix", User::Any),
            any("endpoint"),
            any("authentication_key"),
            any("accept_more_specifics"),
        ],
    },
    SectionRule {
        section_type: "uplink",
        user: User::Database,
        options: &[any("device"), any("priority"), any("weight")],
    },
];

const MAIN: &[OptionRule] = &[
    list("role", User::Any),
    any("private_key"),
    any("private_key_file"),
    list("eid_space", User::Database),
    database("on_miss"),
    any("instance_id"),
    any("control_port"),
    database("data_port"),
    any("lisp_port"),
    any("control_address"),
    database("record_ttl"),
    database("register_interval"),
    map_server("registration_timeout"),
    any("dataplane"),
    database("data_device"),
    any("control_device"),
    database("miss_device"),
    any("mtu"),
    any("fwmark"),
    database("table"),
    database("rule_priority"),
    database("rules"),
    database("multipath_l4"),
    database("silence"),
    any("handover_hold"),
    any("ubus_socket"),
    database("map_cache_size"),
    database("waiting_per_eid"),
    database("waiting_total"),
    map_server("max_sites"),
    any("log_level"),
    any("run_dir"),
    any("state_dir"),
    any("control_socket"),
];

impl SectionRule {
    /// The rule of a section type.
    pub(super) fn of(section_type: &str) -> Option<&'static SectionRule> {
        SECTIONS.iter().find(|rule| rule.section_type == section_type)
    }

    /// The names of its options.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.options.iter().map(|option| option.name).collect()
    }

    /// The rule of an option.
    pub(super) fn option(&self, name: &str) -> Option<&'static OptionRule> {
        self.options.iter().find(|rule| rule.name == name)
    }
}

/// The section types.
pub(super) fn types() -> Vec<&'static str> {
    SECTIONS.iter().map(|rule| rule.section_type).collect()
}

/// The candidate that is meant, when the text is a likely misspelling of one.
pub(super) fn nearest(text: &str, candidates: &[&'static str]) -> Option<&'static str> {
    // Longer texts are no misspelling of anything here, and would cost time.
    if text.len() > 40 {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let mut best = None;
    for candidate in candidates {
        let distance = distance(&text, candidate);
        let is_near = distance <= (candidate.len() / 3).max(1);
        if is_near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, *candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The number of characters to insert, delete or replace that make one text the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, character) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (place, &expected) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(character != expected);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits() {
        for (one, other, edits) in
            [("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one, other), edits);
        }
    }

    #[test]
    fn a_misspelling_finds_what_is_meant_and_nonsense_finds_nothing() {
        assert_eq!(nearest("map-server", &types()), Some("map_server"));
        assert_eq!(nearest("Uplinks", &types()), Some("uplink"));
        assert_eq!(nearest("interface", &types()), None);
        assert_eq!(nearest(&"x".repeat(1000), &types()), None);
    }
}
