//! That Rust and C++ mean the same by a parameter struct.

use cutrickle_host_kernels::struct_layouts;

#[test]
fn parameter_structs_are_laid_out_alike_on_both_sides() {
    let [rust, cpp] = struct_layouts();
    assert_eq!(rust, cpp);
}
