//! The layout of the parameter structs in Rust and in C++.

use cutrickle_host_kernels::struct_layouts;

#[test]
fn parameter_structs_are_laid_out_alike_on_both_sides() {
    let [rust, cpp] = struct_layouts();
    assert_eq!(rust, cpp);
}
