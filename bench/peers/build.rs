//! Builds the XDP program of the peer whose TCP is its own with clang, so that it can be embedded.

fn main() {
    tickgate_bpf::build("src/link.bpf.c");
}
