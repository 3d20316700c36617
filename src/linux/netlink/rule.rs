//! Routing rules: which packets look up which table.

use core::net::IpAddr;

use super::abi::{
    FIB_RULE_INVERT, FR_ACT_BLACKHOLE, FR_ACT_GOTO, FR_ACT_NOP, FR_ACT_PROHIBIT, FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE, FRA_DST, FRA_FWMARK, FRA_FWMASK, FRA_GOTO, FRA_IIFNAME, FRA_PRIORITY,
    FRA_PROTOCOL, FRA_SRC, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, NLM_F_CREATE, NLM_F_EXCL,
    RT_TABLE_COMPAT, RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE,
};
use super::attribute::Attributes;
use super::error::Error;
use super::link::InterfaceName;
use super::message::Message;
use super::socket::Socket;
use super::{Family, REQUEST_LEN};
use crate::text::Text;

/// Octets of `struct fib_rule_hdr`.
const HEADER_LEN: usize = 12;

/// What a rule does with the packets that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Looks up the rule's table; the next rule decides when that has no route.
    Lookup,
    /// Goes on with the first rule of this priority, which must be higher than the rule's own;
    /// with the next rule while there is none.
    Goto(u32),
    /// Nothing: a place to go to.
    Nop,
    /// Drops in silence.
    Blackhole,
    /// Drops and tells the sender.
    Unreachable,
    /// Drops and tells the sender that this is on purpose.
    Prohibit,
    /// Another action, by its number (`FR_ACT_*`).
    Unknown(u8),
}

impl RuleAction {
    fn number(self) -> u8 {
        match self {
            Self::Lookup => FR_ACT_TO_TBL,
            Self::Goto(_) => FR_ACT_GOTO,
            Self::Nop => FR_ACT_NOP,
            Self::Blackhole => FR_ACT_BLACKHOLE,
            Self::Unreachable => FR_ACT_UNREACHABLE,
            Self::Prohibit => FR_ACT_PROHIBIT,
            Self::Unknown(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            FR_ACT_TO_TBL => Self::Lookup,
            FR_ACT_GOTO => Self::Goto(0),
            FR_ACT_NOP => Self::Nop,
            FR_ACT_BLACKHOLE => Self::Blackhole,
            FR_ACT_UNREACHABLE => Self::Unreachable,
            FR_ACT_PROHIBIT => Self::Prohibit,
            other => Self::Unknown(other),
        }
    }
}

/// A routing rule: what happens to matching packets, by default the lookup of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The family of the packets.
    pub family: Family,
    /// When it is tried: lower first, 0 is the local table's.
    pub priority: u32,
    /// What it does.
    pub action: RuleAction,
    /// The table to look up, 0 with another action.
    pub table: u32,
    /// The firewall mark that a packet carries, all 32 bits.
    pub mark: Option<u32>,
    /// Match the packets that the rest of the rule does *not* match.
    pub is_inverted: bool,
    /// The prefix of the packet's source.
    pub source: Option<(IpAddr, u8)>,
    /// The prefix of the packet's destination.
    pub destination: Option<(IpAddr, u8)>,
    /// The interface that the packet came in by; `lo` for this machine's own.
    pub input: Option<InterfaceName>,
    /// Ignore what the table finds with a prefix of this length or shorter.
    pub suppress_prefix_len: Option<u32>,
    /// Who made it (`RTPROT_*`).
    pub protocol: u8,
}

impl Rule {
    /// A rule that sends every packet of a family to a table, with protocol static.
    #[must_use]
    pub fn new(family: Family, priority: u32, table: u32) -> Self {
        Self {
            family,
            priority,
            action: RuleAction::Lookup,
            table,
            mark: None,
            is_inverted: false,
            source: None,
            destination: None,
            input: None,
            suppress_prefix_len: None,
            protocol: 4,
        }
    }

    /// A rule that does something else than a lookup with every packet of a family, with protocol
    /// static.
    #[must_use]
    pub fn with_action(family: Family, priority: u32, action: RuleAction) -> Self {
        Self { action, ..Self::new(family, priority, 0) }
    }

    /// Reads the payload of an `RTM_NEWRULE` or `RTM_DELRULE`.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let header = payload.first_chunk::<HEADER_LEN>()?;
        let family = Family::from_number(header[0])?;
        let flags = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let mut rule = Self::new(family, 0, u32::from(header[4]));
        rule.action = RuleAction::from_number(header[7]);
        rule.is_inverted = flags & FIB_RULE_INVERT != 0;
        rule.protocol = 0;
        let mut goto = 0;
        for attribute in Attributes::new(&payload[HEADER_LEN..]) {
            match attribute.kind {
                FRA_TABLE => rule.table = attribute.as_u32()?,
                FRA_PRIORITY => rule.priority = attribute.as_u32()?,
                FRA_GOTO => goto = attribute.as_u32()?,
                FRA_FWMARK => rule.mark = attribute.as_u32(),
                FRA_DST => rule.destination = Some((attribute.as_ip()?, header[1])),
                FRA_SRC => rule.source = Some((attribute.as_ip()?, header[2])),
                FRA_IIFNAME => rule.input = attribute.as_text().map(Text::truncated),
                FRA_SUPPRESS_PREFIXLEN => {
                    // The kernel lists -1 when nothing is suppressed.
                    rule.suppress_prefix_len = attribute.as_u32().filter(|&len| len != u32::MAX);
                }
                FRA_PROTOCOL => rule.protocol = attribute.as_u8()?,
                _ => {}
            }
        }
        if let RuleAction::Goto(target) = &mut rule.action {
            *target = goto;
        }
        Some(rule)
    }

    pub(super) fn message<'b>(&self, buffer: &'b mut [u8], kind: u16, flags: u16) -> Message<'b> {
        let rule_flags = if self.is_inverted { FIB_RULE_INVERT } else { 0 };
        let mut header = [0; HEADER_LEN];
        header[0] = self.family.number();
        header[1] = self.destination.map_or(0, |(_, len)| len);
        header[2] = self.source.map_or(0, |(_, len)| len);
        header[4] = u8::try_from(self.table).unwrap_or(RT_TABLE_COMPAT);
        header[7] = self.action.number();
        header[8..].copy_from_slice(&rule_flags.to_ne_bytes());
        let mut message = Message::new(buffer, kind, flags);
        message.put(&header);
        message.attribute_u32(FRA_PRIORITY, self.priority);
        match self.action {
            RuleAction::Lookup => message.attribute_u32(FRA_TABLE, self.table),
            RuleAction::Goto(target) => message.attribute_u32(FRA_GOTO, target),
            _ => &mut message,
        };
        for (kind, prefix) in [(FRA_DST, self.destination), (FRA_SRC, self.source)] {
            if let Some((ip, _)) = prefix {
                message.attribute_ip(kind, ip);
            }
        }
        if let Some(input) = &self.input {
            message.attribute_text(FRA_IIFNAME, input);
        }
        if let Some(mark) = self.mark {
            message.attribute_u32(FRA_FWMARK, mark).attribute_u32(FRA_FWMASK, u32::MAX);
        }
        if let Some(len) = self.suppress_prefix_len {
            message.attribute_u32(FRA_SUPPRESS_PREFIXLEN, len);
        }
        message.attribute_u8(FRA_PROTOCOL, self.protocol);
        message
    }
}

impl Socket {
    /// Adds a rule.
    ///
    /// # Errors
    /// As `request`; `is_existing` when the same rule is there.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.request(rule.message(&mut buffer, RTM_NEWRULE, flags))
    }

    /// Deletes the first rule that has what `rule` has set.
    ///
    /// # Errors
    /// As `request`; `is_missing` when there is none.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        self.request(rule.message(&mut buffer, RTM_DELRULE, 0))
    }

    /// Hands every rule of a family to `each`, in the order in which they are tried.
    ///
    /// # Errors
    /// As `dump`.
    pub fn rules(&mut self, family: Family, mut each: impl FnMut(Rule)) -> Result<(), Error> {
        let mut buffer = [0; REQUEST_LEN];
        let mut message = Message::new(&mut buffer, RTM_GETRULE, 0);
        let mut header = [0; HEADER_LEN];
        header[0] = family.number();
        message.put(&header);
        self.dump(message, |part| {
            if let Some(rule) = Rule::parse(part.payload) {
                each(rule);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::native;
    use super::*;

    #[test]
    fn a_rule_request_has_the_bytes_of_the_protocol() {
        let mut rule = Rule::new(Family::V6, 4342, 1000);
        rule.mark = Some(0x4c49);
        rule.is_inverted = true;
        rule.suppress_prefix_len = Some(0);
        let mut buffer = [0xaa; 128];
        let mut message = rule.message(&mut buffer, RTM_NEWRULE, 0x600);
        let expected = native(
            "0000004c 0020 0605 00000002 00000000 =0a000000 =fc000001 00000002 \
             0008 0006 000010f6 0008 000f 000003e8 0008 000a 00004c49 0008 0010 ffffffff \
             0008 000e 00000000 0005 0015 =04000000",
        );
        assert_eq!(message.finish(5, 2), Ok(&expected[..]));
        assert_eq!(Rule::parse(&expected[16..]), Some(rule));
    }

    #[test]
    fn a_rule_may_do_something_else_than_a_lookup() {
        for (action, number, attributes) in [
            (RuleAction::Goto(5000), "=02", " 0008 0004 00001388"),
            (RuleAction::Nop, "=03", ""),
            (RuleAction::Blackhole, "=06", ""),
            (RuleAction::Unreachable, "=07", ""),
            (RuleAction::Prohibit, "=08", ""),
            (RuleAction::Unknown(99), "=63", ""),
        ] {
            let mut rule = Rule::with_action(Family::V4, 4342, action);
            (rule.protocol, rule.input) = (76, Text::new("lan"));
            let mut buffer = [0xaa; 128];
            let mut message = rule.message(&mut buffer, RTM_NEWRULE, 0x600);
            let fields = format!(
                "=02000000 =000000 {number} 00000000 0008 0006 000010f6{attributes} \
                 0008 0003 =6c616e00 0005 0015 =4c000000",
            );
            let bytes = message.finish(5, 2).expect("it fits");
            assert_eq!(&bytes[16..], native(&fields));
            assert_eq!(Rule::parse(&bytes[16..]), Some(rule));
        }
    }
}
