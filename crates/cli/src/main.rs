//! The `htl` command.
fn main() {}
