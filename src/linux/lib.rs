//! Linux mechanisms: netlink, TUN, sockets, epoll, timers and namespaces; nothing here knows of LISP.
//!
//! This is the only crate of the workspace with `unsafe`.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod clock;
pub mod features;
pub mod icmp;
pub mod names;
pub mod namespace;
pub mod netlink;
pub mod packet;
pub mod poller;
pub mod process;
pub mod random;
pub mod signals;
pub mod sysctl;
mod system;
mod text;
pub mod thread;
pub mod timer;
mod transfer;
pub mod tun;
pub mod udp;
pub mod unix;
pub mod user_namespace;

pub use nix::errno::Errno;
pub use text::Text;
pub use transfer::TransferError;
