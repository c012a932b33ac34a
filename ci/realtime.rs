//! What `ci/realtime` runs under RealtimeSanitizer: the real-time sections of the tests, and mistakes for it to find.
//!
//! `cargo run --example realtime -- WHAT`

#![cfg_attr(millpond_rtsan, feature(sanitize))]

#[path = "../tests/support/sections.rs"]
mod sections;

use std::hint::black_box;
use std::thread;

use sections::{Handle, KINDS, PREFILL, Sections};

/// A mistake: an allocation.
#[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
fn allocate() {
    black_box(Box::new(7));
}

/// A mistake: a call of the system.
#[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
fn yield_now() {
    thread::yield_now();
}

/// All there are of a kind, and one more, which is a mistake.
#[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
fn get_beyond_prefill(sections: &Sections, kind: usize, held: &mut Vec<Handle>) {
    held.extend((0..=PREFILL).filter_map(|turn| sections.get(kind + turn * KINDS)));
}

/// A get on a thread that is not attached, which is a mistake.
#[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
fn get_unattached(sections: &Sections) {
    drop(sections.get(0));
}

fn main() {
    let what = std::env::args().nth(1).expect("what to run");
    let sections = Sections::new();
    match what.as_str() {
        "allocate" => allocate(),
        "yield_now" => yield_now(),
        "get_unattached" => get_unattached(&sections),
        "get_beyond_prefill_blocks" | "get_beyond_prefill_bytes" => {
            let kind = if what.ends_with("blocks") { 0 } else { 1 };
            sections.attach_thread();
            get_beyond_prefill(&sections, kind, &mut Vec::with_capacity(PREFILL + 1));
        }
        "sections" => {
            sections.run(|work| work());
            assert_eq!((sections.got(), sections.fresh()), (sections::ALL, 0));
            println!("{} buffers and values, {} threads, no violation", sections.got(), sections::THREADS);
        }
        other => panic!("nothing is called {other}"),
    }
}
