//! Structs of counters that can be listed with their names.

use alloc::vec::{self, Vec};

/// Counters with their names.
pub type Listed = vec::IntoIter<(&'static str, u64)>;

/// Puts each name and its value together.
pub fn listed(names: &[&'static str], values: &[&u64]) -> Listed {
    let listed: Vec<_> = names.iter().copied().zip(values.iter().map(|value| **value)).collect();
    listed.into_iter()
}

/// Makes `Counters`, a struct of `u64` that all start at 0, with `iter` over names and values. What
/// stands before the list is its documentation.
#[macro_export]
macro_rules! counters {
    ($(#[$doc:meta])* ; $( $(#[$meta:meta])* $name:ident ),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct Counters {
            $( $(#[$meta])* pub $name: u64, )+
        }

        impl Counters {
            /// Each counter with its name.
            pub fn iter(&self) -> $crate::counters::Listed {
                $crate::counters::listed(&[$( stringify!($name) ),+], &[$( &self.$name ),+])
            }
        }
    };
}
