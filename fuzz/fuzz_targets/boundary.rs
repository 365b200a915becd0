//! The boundary that `BOUNDARY` names, for libFuzzer: one program for all, so that they are linked once.
#![no_main]

use std::sync::LazyLock;

use boundaries::{Target, target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("BOUNDARY").expect("BOUNDARY says which");
    target(&name).expect("one of the targets of world/boundaries")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
