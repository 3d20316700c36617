//! The parts that all message views share.

/// Defines an enum of code points in which the unassigned ones survive as `Unknown`.
macro_rules! enum_with_unknown {
    (
        $(#[$meta:meta])*
        pub enum $name:ident($repr:ty) {
            $( $(#[$variant_meta:meta])* $variant:ident = $value:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
            /// A code point without a meaning here.
            Unknown($repr),
        }

        impl From<$repr> for $name {
            fn from(value: $repr) -> Self {
                match value {
                    $( $value => $name::$variant, )+
                    other => $name::Unknown(other),
                }
            }
        }

        impl From<$name> for $repr {
            fn from(value: $name) -> Self {
                match value {
                    $( $name::$variant => $value, )+
                    $name::Unknown(other) => other,
                }
            }
        }
    };
}

/// Defines `Packet`, the view on a message's octets, with its constructors.
macro_rules! packet {
    ($(#[$meta:meta])* ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Packet<T: AsRef<[u8]>> {
            buffer: T,
        }

        impl<T: AsRef<[u8]>> Packet<T> {
            /// Views octets as this message without looking at them; accessors panic on too few.
            pub const fn new_unchecked(buffer: T) -> Self {
                Packet { buffer }
            }

            /// Views octets as this message after [`Packet::check_len`].
            ///
            /// # Errors
            /// Those of [`Packet::check_len`].
            pub fn new_checked(buffer: T) -> Result<Self, $crate::Error> {
                let packet = Self::new_unchecked(buffer);
                packet.check_len()?;
                Ok(packet)
            }

            /// The octets beneath.
            pub fn into_inner(self) -> T {
                self.buffer
            }

            /// Message type, the upper four bits of the first octet (RFC 9301 section 5.1).
            pub fn message_type(&self) -> $crate::MessageType {
                $crate::MessageType::from(self.buffer.as_ref()[0] >> 4)
            }
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
            /// Sets the message type and leaves the flags beside it alone.
            pub fn set_message_type(&mut self, value: $crate::MessageType) {
                let first = &mut self.buffer.as_mut()[0];
                *first = u8::from(value) << 4 | *first & 0x0f;
            }
        }
    };
}

/// Defines a getter and a setter for each one-bit field of the first word, bit 0 being its first.
macro_rules! bit_fields {
    ($( $(#[$meta:meta])* $getter:ident, $setter:ident = $bit:literal; )+) => {
        impl<T: AsRef<[u8]>> Packet<T> {
            $( $(#[$meta])*
            pub fn $getter(&self) -> bool {
                self.buffer.as_ref()[$bit / 8] & (0x80 >> ($bit % 8)) != 0
            } )+
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
            $( #[doc = concat!("Sets what [`Packet::", stringify!($getter), "`] tells.")]
            pub fn $setter(&mut self, value: bool) {
                let octet = &mut self.buffer.as_mut()[$bit / 8];
                let mask = 0x80 >> ($bit % 8);
                *octet = if value { *octet | mask } else { *octet & !mask };
            } )+
        }
    };
}

/// Defines a getter and a setter for each big-endian number wrapped in a type of its own.
macro_rules! number_fields {
    ($( $(#[$meta:meta])* $getter:ident, $setter:ident: $kind:ty, $raw:ty = $range:expr; )+) => {
        impl<T: AsRef<[u8]>> Packet<T> {
            $( $(#[$meta])*
            pub fn $getter(&self) -> $kind {
                let mut octets = [0; size_of::<$raw>()];
                octets.copy_from_slice(&self.buffer.as_ref()[$range]);
                <$raw>::from_be_bytes(octets).into()
            } )+
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
            $( #[doc = concat!("Sets what [`Packet::", stringify!($getter), "`] tells.")]
            pub fn $setter(&mut self, value: $kind) {
                self.buffer.as_mut()[$range].copy_from_slice(&<$raw>::from(value).to_be_bytes());
            } )+
        }
    };
}

/// Defines what Map-Register and Map-Notify have in common: authentication, records, and who sent it.
macro_rules! authenticated_packet {
    ($($message_type:pat_param)|+) => {
        mod field {
            use core::ops::Range;

            pub(super) const RECORD_COUNT: Range<usize> = 3..4;
            pub(super) const NONCE: Range<usize> = 4..12;
            pub(super) const KEY_ID: Range<usize> = 12..13;
            pub(super) const ALGORITHM_ID: Range<usize> = 13..14;
            pub(super) const AUTHENTICATION_LEN: Range<usize> = 14..16;
        }

        /// Octets before the authentication data.
        pub const HEADER_LEN: usize = field::AUTHENTICATION_LEN.end;

        number_fields! {
            /// Ties answer and question together.
            nonce, set_nonce: $crate::Nonce, u64 = field::NONCE;
            /// Which secret authenticates the message.
            key_id, set_key_id: $crate::KeyId, u8 = field::KEY_ID;
            /// How it does.
            algorithm, set_algorithm: $crate::AlgorithmId, u8 = field::ALGORITHM_ID;
            /// Octets of authentication data.
            authentication_len, set_authentication_len: u16, u16 = field::AUTHENTICATION_LEN;
            /// How many records follow.
            record_count, set_record_count: u8, u8 = field::RECORD_COUNT;
        }

        impl<T: AsRef<[u8]>> Packet<T> {
            /// Ensures that no accessor panics.
            ///
            /// # Errors
            /// [`Error::Truncated`]; [`Error::UnexpectedType`].
            pub fn check_len(&self) -> Result<(), Error> {
                let len = self.buffer.as_ref().len();
                if len < HEADER_LEN {
                    return Err(Error::Truncated);
                }
                match self.message_type() {
                    $($message_type)|+ => {}
                    other => return Err(Error::UnexpectedType(other)),
                }
                match len < self.records_at() + self.trailer_len() {
                    true => Err(Error::Truncated),
                    false => Ok(()),
                }
            }

            fn records_at(&self) -> usize {
                HEADER_LEN + usize::from(self.authentication_len())
            }

            fn trailer_len(&self) -> usize {
                if self.has_xtr_identity() { XtrIdentity::LEN } else { 0 }
            }

            /// The authentication data.
            pub fn authentication_data(&self) -> &[u8] {
                &self.buffer.as_ref()[HEADER_LEN..self.records_at()]
            }

            /// The records, not looked at.
            pub fn record_octets(&self) -> &[u8] {
                let octets = self.buffer.as_ref();
                &octets[self.records_at()..octets.len() - self.trailer_len()]
            }

            /// Who sent it, found by length alone, when the I-bit is set.
            pub fn xtr_identity(&self) -> Option<XtrIdentity> {
                let octets = self.buffer.as_ref();
                let trailer = &octets[octets.len() - self.trailer_len()..];
                XtrIdentity::read(&mut Reader::new(trailer)).ok()
            }
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
            /// The authentication data.
            pub fn authentication_data_mut(&mut self) -> &mut [u8] {
                let end = self.records_at();
                &mut self.buffer.as_mut()[HEADER_LEN..end]
            }
        }

        impl<'a> Packet<&'a [u8]> {
            fn parts(&self) -> Result<(&'a [u8], Records<'a>), Error> {
                let octets = self.buffer;
                let end = octets.len() - self.trailer_len();
                let (records, rest) =
                    Records::parse(&octets[self.records_at()..end], self.record_count())?;
                match rest {
                    [] => Ok((&octets[HEADER_LEN..self.records_at()], records)),
                    _ => Err(Error::Malformed),
                }
            }
        }

        impl<'a> Repr<'a> {
            /// Octets that [`Repr::emit`] writes.
            pub fn buffer_len(&self) -> usize {
                HEADER_LEN
                    + self.authentication_data.len()
                    + self.records.octets().len()
                    + self.xtr_identity.map_or(0, |_| XtrIdentity::LEN)
            }

            /// Writes the message, its authentication data as given, and tells its length in octets.
            /// Sign what was written by [`crate::auth::sign`].
            ///
            /// # Errors
            /// [`Error::BufferTooSmall`]; [`Error::TooMany`] for authentication data beyond 65,535 octets.
            pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Error> {
                buffer.get_mut(..HEADER_LEN).ok_or(Error::BufferTooSmall)?.fill(0);
                let authentication_len =
                    u16::try_from(self.authentication_data.len()).map_err(|_| Error::TooMany)?;
                let mut packet = Packet::new_unchecked(&mut *buffer);
                self.emit_flags(&mut packet);
                packet.set_nonce(self.nonce);
                packet.set_key_id(self.key_id);
                packet.set_algorithm(self.algorithm);
                packet.set_authentication_len(authentication_len);
                packet.set_record_count(self.records.count());
                let mut writer = Writer::new(&mut buffer[HEADER_LEN..]);
                writer.put(self.authentication_data)?;
                writer.put(self.records.octets())?;
                if let Some(identity) = &self.xtr_identity {
                    writer.put(&identity.octets())?;
                }
                Ok(HEADER_LEN + writer.len())
            }

            fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, " key-id={} {}", self.key_id, self.algorithm)?;
                if let Some(identity) = &self.xtr_identity {
                    write!(f, " {identity}")?;
                }
                write!(f, " records=({})", self.records)
            }
        }
    };
}
