//! The socket by which segments leave past the kernel's TCP, on its own: what the kernel grants it.

#![allow(
    unsafe_code,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod wire;

use gateway::order::transport::delegated::Sender;
use wire::NEAR;

#[test]
fn zero_copy_that_a_driver_refuses_leaves_the_queue_to_a_socket_that_copies() {
    std::thread::scope(|scope| {
        let in_own_namespace = scope.spawn(|| {
            let Some(_far) = wire::lay() else { return };
            let refused = Sender::open(NEAR, 0, true).expect_err("virtual pairs copy");
            assert_eq!(refused.raw_os_error(), Some(libc::EOPNOTSUPP));
            let mut sender = Sender::open(NEAR, 0, false).expect("copies are left");
            assert_eq!(sender.is_zero_copy().ok(), Some(false));
            assert!(sender.is_idle());
        });
        in_own_namespace.join().expect("it held");
    });
}
