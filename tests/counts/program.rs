//! What instructions cost: `tests/run counts` builds this for MIPS and runs it in an emulator that
//! counts, by `counting.c`, those executed inside each window.

mod cipher;
mod mapping;
mod reply;
mod silent_kernel;
mod window;

fn main() {
    window::empty();
    cipher::count();
    mapping::count();
    reply::count();
}
