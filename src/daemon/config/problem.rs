//! What is wrong and what to do about it, in words.

use core::fmt;
use std::io;
use std::path::PathBuf;

use control::{EidPrefix, PrefixError};

use super::LARGEST_MAX_SITES;
use super::endpoint::EndpointError;
use super::key::KeyError;
use super::schema::{self, User, nearest};
use super::section_name::SectionName;

/// What is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileProblem {
    /// It cannot be read.
    Unreadable(PathBuf, io::ErrorKind),
    /// It is a directory, a device or a pipe.
    NotAFile(PathBuf),
    /// It holds a secret and others than its owner may read or write it; its mode is enclosed.
    Exposed(PathBuf, u32),
    /// It has more octets than a file that holds one key.
    NotAKeyFile(PathBuf),
}

/// What is wrong with a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SectionProblem {
    /// There is none of type `lispguard`.
    NoMain,
    /// It is of type `lispguard` but not called `main`.
    MainName,
    /// A later line opens its name again.
    Repeated(u32),
    /// There is no such section type.
    UnknownType(String),
    /// It needs a name.
    Nameless,
    /// There are more of its type than this.
    TooMany(usize),
    /// There are more sites than `max_sites`.
    TooManySites(usize),
    /// There is none of this type, but the role needs one.
    NoneOf(&'static str),
    /// This node's roles do not use it.
    WrongRole(User),
}

/// What is wrong with the presence of an option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OptionProblem {
    /// There is no such option; perhaps the enclosed one is meant.
    Unknown(Option<&'static str>),
    /// It is an option of another section type.
    OptionOf(&'static str),
    /// A later line sets it again.
    Repeated(u32),
    /// It has several values but takes one.
    NotAList,
    /// It has no value.
    Empty,
    /// It is required; what to add is enclosed.
    Missing(&'static str),
    /// There is neither private key option.
    NoPrivateKey,
    /// There are both private key options.
    TwoPrivateKeys,
    /// This node's roles do not use it.
    WrongRole(User),
    /// A foreign Map-Server needs it.
    NoEndpoint,
    /// A Map-Server that is this node has none.
    OwnEndpoint,
}

/// What is wrong with what an option says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueProblem {
    /// It goes on in the next line.
    LineBreak,
    /// It is none of these.
    Unknown(String, &'static [&'static str]),
    /// It excludes another role.
    Roles,
    /// It is not a number between these.
    Number(String, u32, u32),
    /// It is a routing table of the kernel's own.
    ReservedTable(u32),
    /// Routes in the main table, beside what is named.
    NeedsRules(&'static str),
    /// It is smaller than the option named.
    LessThan(&'static str),
    /// It is not an EID-prefix.
    Prefix(PrefixError),
    /// It is a prefix of addresses that no EID can have.
    NotAnEid(EidPrefix),
    /// It is more than the address of a mobile node; the right length is enclosed.
    NotAHost(u8),
    /// It is outside every `eid_space`.
    OutsideEidSpace(EidPrefix),
    /// An earlier section, in this line, has it.
    Duplicate(SectionName, u32),
    /// An earlier line of this section has it.
    DuplicateItem(u32),
    /// Another section's prefix, in this line, contains it.
    InsideOther(EidPrefix, SectionName, u32),
    /// It is not a key.
    Key(KeyError),
    /// It is our own key, but this node is no Map-Server.
    OwnKey,
    /// It is not an endpoint.
    Endpoint(EndpointError),
    /// It is not an address inside `fd00::/8`.
    ControlAddress,
    /// It is not a name of a network device.
    Device,
    /// It is not an absolute path.
    RelativePath,
    /// It is too long for the path of a Unix socket.
    SocketPath,
    /// It is the port of the control tunnels.
    SamePort(u16),
    /// It is too long for a secret.
    LongSecret,
    /// A lane would listen on the port of the control tunnels.
    LanePort(u16),
    /// Two interfaces would have this name.
    SameDevice,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileProblem::Unreadable(path, io::ErrorKind::NotFound) => {
                write!(f, "there is no file {}; create it or name another", path.display())
            }
            FileProblem::Unreadable(path, io::ErrorKind::PermissionDenied) => {
                write!(f, "{} may not be read; run as its owner or as root", path.display())
            }
            FileProblem::Unreadable(path, kind) => {
                write!(f, "{} cannot be read ({kind}); repair it or name another", path.display())
            }
            FileProblem::NotAFile(path) => {
                write!(f, "{} is not a file; name a file", path.display())
            }
            FileProblem::Exposed(path, mode) => {
                let path = path.display();
                write!(f, "others may use this secret, as {path} has mode {mode:04o}; ")?;
                write!(f, "run `chmod 600 {path}`")
            }
            FileProblem::NotAKeyFile(path) => write!(
                f,
                "{} holds more than a key; make it with `lispguard genkey`",
                path.display()
            ),
        }
    }
}

impl fmt::Display for SectionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SectionProblem::NoMain => {
                write!(f, "the main section is missing; add `config lispguard 'main'`")
            }
            SectionProblem::MainName => {
                write!(f, "there is one main section; call it `config lispguard 'main'`")
            }
            SectionProblem::Repeated(line) => {
                write!(f, "line {line} opens a section of this name again; rename or join them")
            }
            SectionProblem::UnknownType(found) => {
                write!(f, "unknown section type '{found}'; ")?;
                fmt_meant(f, found, &schema::types())
            }
            SectionProblem::Nameless => {
                write!(f, "it needs a name; write one after the type")
            }
            SectionProblem::TooMany(max) => {
                write!(f, "at most {max} sections of this type are possible; delete some")
            }
            SectionProblem::TooManySites(max) => {
                let way_out = match *max < LARGEST_MAX_SITES as usize {
                    true => "raise `option max_sites`",
                    false if cfg!(feature = "full") => "give some to another Map-Server",
                    false => "install lispguard-full",
                };
                write!(f, "there are more than {max} sites; {way_out}")
            }
            SectionProblem::NoneOf(section_type) => {
                write!(f, "this role needs a section of type '{section_type}'; add one")
            }
            SectionProblem::WrongRole(user) => user.fmt(f),
        }
    }
}

impl fmt::Display for OptionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionProblem::Unknown(Some(nearest)) => {
                write!(f, "unknown option; did you mean '{nearest}'?")
            }
            OptionProblem::Unknown(None) => write!(f, "unknown option; delete it"),
            OptionProblem::OptionOf(section_type) => {
                write!(f, "it belongs into a section of type '{section_type}'; move it there")
            }
            OptionProblem::Repeated(line) => {
                write!(f, "line {line} sets it again; delete one of the two")
            }
            OptionProblem::NotAList => {
                write!(f, "it has one value only; write `option`, and once")
            }
            OptionProblem::Empty => write!(f, "it has no value; add one or delete the line"),
            OptionProblem::Missing(remedy) => write!(f, "it is missing; add {remedy}"),
            OptionProblem::NoPrivateKey => write!(
                f,
                "it is missing; run `umask 077; lispguard genkey > FILE` and add \
                 `option private_key_file 'FILE'`"
            ),
            OptionProblem::TwoPrivateKeys => {
                write!(f, "'private_key' is there too; delete one of the two")
            }
            OptionProblem::WrongRole(user) => user.fmt(f),
            OptionProblem::NoEndpoint => {
                write!(f, "it is missing; add `option endpoint 'HOST:51821'`")
            }
            OptionProblem::OwnEndpoint => {
                write!(f, "this Map-Server is the node itself; delete the endpoint")
            }
        }
    }
}

impl fmt::Display for ValueProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueProblem::LineBreak => {
                "the value goes on in the next line; is a closing quote missing?"
            }
            ValueProblem::Roles => {
                "a mobile node is an xTR for itself; delete one of the two roles"
            }
            ValueProblem::OwnKey => {
                "this is our own key; copy the Map-Server's, or add `list role 'map_server'`"
            }
            ValueProblem::ControlAddress => {
                "this is not an IPv6 address inside fd00::/8; write one or delete the line"
            }
            ValueProblem::Device => {
                "this is not a network device; write 1 to 15 characters without blank, '/' and ':'"
            }
            ValueProblem::RelativePath => "this is not an absolute path; start it with '/'",
            ValueProblem::SocketPath => "a socket's path has at most 107 octets; shorten it",
            ValueProblem::LongSecret => "a secret has at most 255 octets; shorten it",
            ValueProblem::SameDevice => "another interface of ours has this name; choose another",
            ValueProblem::Endpoint(error) => return error.fmt(f),
            ValueProblem::Key(error) => return write!(f, "{error}; copy the key again"),
            ValueProblem::Unknown(found, values) => {
                write!(f, "unknown value '{found}'; ")?;
                return fmt_meant(f, found, values);
            }
            ValueProblem::Number(found, min, max) => {
                return write!(f, "'{found}' is not a number from {min} to {max}; write one");
            }
            ValueProblem::LessThan(option) => {
                return write!(f, "it is less than '{option}'; raise it");
            }
            ValueProblem::Prefix(error) => return fmt_prefix(*error, f),
            ValueProblem::NotAnEid(prefix) => {
                return write!(f, "{prefix} is loopback, link-local or multicast; choose another");
            }
            ValueProblem::NotAHost(len) => {
                return write!(f, "a mobile node's prefix is one address; write ADDRESS/{len}");
            }
            ValueProblem::OutsideEidSpace(prefix) => {
                return write!(f, "it is outside the EID-space; add `list eid_space '{prefix}'`");
            }
            ValueProblem::LanePort(_)
            | ValueProblem::SamePort(_)
            | ValueProblem::ReservedTable(_)
            | ValueProblem::NeedsRules(_) => return fmt_taken(self, f),
            ValueProblem::Duplicate(..)
            | ValueProblem::DuplicateItem(_)
            | ValueProblem::InsideOther(..) => return fmt_collision(self, f),
        })
    }
}

/// A number that somebody else has.
fn fmt_taken(problem: &ValueProblem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match problem {
        ValueProblem::LanePort(port) => write!(
            f,
            "the uplinks of equal priority need more ports, and {port} is taken; choose another"
        ),
        ValueProblem::SamePort(port) => {
            write!(f, "control tunnels use port {port} too; choose another")
        }
        ValueProblem::ReservedTable(table) => write!(
            f,
            "table {table}, or one of the 5 after it, is the kernel's own; choose another, as 4342"
        ),
        ValueProblem::NeedsRules(what) => {
            write!(f, "{what} needs routing rules and a table of our own; write a number, as 4342")
        }
        _ => Ok(()),
    }
}

/// What one value has against another.
fn fmt_collision(problem: &ValueProblem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match problem {
        ValueProblem::Duplicate(section, line) => {
            write!(f, "{section} in line {line} has the same; delete one of the two")
        }
        ValueProblem::InsideOther(prefix, section, line) => write!(
            f,
            "it lies inside {prefix} of {section} in line {line}: who holds the wider one would \
             not ask for this one; give the sites prefixes that do not contain one another"
        ),
        ValueProblem::DuplicateItem(line) => {
            write!(f, "line {line} has the same; delete one of the two")
        }
        _ => Ok(()),
    }
}

fn fmt_prefix(error: PrefixError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        PrefixError::Syntax => {
            write!(f, "this is not a prefix; write ADDRESS/LENGTH, as 10.1.0.0/24")
        }
        PrefixError::Length => {
            write!(f, "the length is too large; write at most 32 for IPv4, 128 for IPv6")
        }
        PrefixError::HostBits(prefix) => {
            write!(f, "bits are set after the prefix length; write {prefix}")
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            User::Any => "every role uses it",
            User::Database => {
                "only an xTR or mobile node uses it; add `list role 'xtr'` or delete it"
            }
            User::MapServer => {
                "only a Map-Server uses it; add `list role 'map_server'` or delete it"
            }
        })
    }
}

/// Writes what the text is likely meant to be, else what is possible.
fn fmt_meant(f: &mut fmt::Formatter<'_>, found: &str, values: &[&'static str]) -> fmt::Result {
    if let Some(nearest) = nearest(found, values) {
        return write!(f, "did you mean '{nearest}'?");
    }
    let last = values.len() - 1;
    for (place, value) in values.iter().enumerate() {
        let separator = match place {
            0 => "write ",
            place if place == last => " or ",
            _ => ", ",
        };
        write!(f, "{separator}'{value}'")?;
    }
    Ok(())
}
