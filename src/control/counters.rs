//! Structs of counters that can be listed with their names.

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
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                let names = [$( stringify!($name) ),+].iter().copied();
                names.zip([$( self.$name ),+])
            }
        }
    };
}
