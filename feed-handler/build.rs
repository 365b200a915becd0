//! Builds the XDP program with clang, so that it can be embedded.

fn main() {
    tickgate_bpf::build("src/xdp/steer.bpf.c");
}
