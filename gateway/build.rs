//! Builds the programs of delegated sending with clang, so that it can be embedded.

fn main() {
    tickgate_bpf::build("src/order/transport/delegated/send.bpf.c");
}
