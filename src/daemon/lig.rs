//! The answer to `lispguard lig`: a mapping in words, or as JSON.

use std::fmt::Write;

use control::{Eid, Mapping};

use crate::told::{self, Told, told};

told! {
    /// The mapping system's answer for a program.
    pub struct Answer {
        eid: String,
        answered: bool,
        eid_prefix: Option<String>,
        ttl_s: u64,
        action: Option<String>,
        locators: Vec<Locator>,
    }
}

told! {
    struct Locator {
        rloc: String,
        priority: u8,
        weight: u8,
        reachable: bool,
        key: Option<String>,
        port: Option<u16>,
    }
}

/// The exit code and the text: 0 for a mapping, 1 for none.
pub fn answer(eid: Eid, mapping: Option<&Mapping>, is_json: bool) -> (u8, String) {
    let code = u8::from(mapping.is_none_or(|mapping| mapping.locators.is_empty()));
    let text = match is_json {
        true => told::json(Answer::of(eid, mapping).told()),
        false => as_text(eid, mapping),
    };
    (code, text)
}

fn as_text(eid: Eid, mapping: Option<&Mapping>) -> String {
    let Some(mapping) = mapping else {
        return format!("{eid}: no answer; are we registered? See `lispguard status`.\n");
    };
    let minutes = mapping.record_ttl.as_secs() / 60;
    let mut text = format!("{eid} is in {}, for {minutes} min\n", mapping.eid_prefix);
    if mapping.locators.is_empty() {
        let _ = writeln!(text, "  nobody registered it ({})", mapping.action);
    }
    for locator in &mapping.locators {
        let nat = if locator.is_reachable { "" } else { ", behind NAT" };
        let _ = writeln!(text, "  at {locator}{nat}");
        if let Some(key) = locator.data_key {
            let _ = writeln!(text, "    key {} port {}", key.key, key.port);
        }
    }
    text
}

impl Answer {
    /// The answer for an EID.
    pub fn of(eid: Eid, mapping: Option<&Mapping>) -> Answer {
        let mut answer = Answer {
            eid: eid.to_string(),
            answered: mapping.is_some(),
            eid_prefix: None,
            ttl_s: 0,
            action: None,
            locators: Vec::new(),
        };
        let Some(mapping) = mapping else { return answer };
        answer.eid_prefix = Some(mapping.eid_prefix.to_string());
        answer.ttl_s = mapping.record_ttl.as_secs();
        if mapping.locators.is_empty() {
            answer.action = Some(mapping.action.to_string());
        }
        for locator in &mapping.locators {
            answer.locators.push(Locator {
                rloc: locator.rloc.to_string(),
                priority: locator.priority,
                weight: locator.weight,
                reachable: locator.is_reachable,
                key: locator.data_key.map(|key| key.key.to_string()),
                port: locator.data_key.map(|key| key.port),
            });
        }
        answer
    }
}
