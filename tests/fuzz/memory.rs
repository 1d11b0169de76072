//! Memory has a limit here: a length that is believed before its bytes are there ends the run.

use std::alloc::System;

use cap::Cap;

/// Inputs are a few KiB; all that is ever made of one is far below this.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);
