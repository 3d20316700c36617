//! The kernel data plane against a model of the kernel, on virtual time.
