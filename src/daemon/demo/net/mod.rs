//! A small internet in network namespaces, with real nodes in it: for the demo and for tests.

mod configuration;
mod echo;
mod node;
mod observer;
mod place;
mod privilege;
pub(crate) mod scratch;
mod status;
mod transfer;
mod underlay;
pub mod world;

pub use configuration::{NodeConfig, Role, SiteConfig, UplinkConfig};
pub use echo::{EchoOutcome, EchoPlan, EchoServer, PORT as ECHO_PORT, stream};
pub use node::Node;
pub use observer::Observer;
pub use place::Place;
pub(crate) use place::parse_prefix;
pub use privilege::has_privilege;
pub use scratch::Scratch;
pub use status::{NodeStatus, SiteStatus, TunnelStatus, request};
pub use transfer::{TransferOutcome, transfer};
pub use underlay::{Classifier, Kind, UnderlayCounts};
pub use world::World;
