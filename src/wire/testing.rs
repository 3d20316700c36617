//! Octets and numbers for the tests.
