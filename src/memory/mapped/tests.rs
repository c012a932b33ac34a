//! Blocks of one class: where they are, what is in them, and what goes back to the system.

use super::super::os;
use super::*;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn fill(block: &Block, size: usize, byte: u8) {
    // SAFETY: the tests pass blocks of their own.
    unsafe { block.ptr.write_bytes(byte, size) };
}

fn all_are(block: &Block, size: usize, byte: u8) -> bool {
    // SAFETY: the tests pass blocks of their own, zeroed or filled.
    let bytes = unsafe { std::slice::from_raw_parts(block.ptr.as_ptr(), size) };
    // One comparison in the machine, which Miri is quick at.
    bytes[0] == byte && bytes[1..] == bytes[..size - 1]
}

fn take(source: &Mapped, layout: Layout) -> Block {
    source.allocate(layout, Want::Any).unwrap()
}

fn put(source: &Mapped, layout: Layout, block: Block) {
    // SAFETY: the tests pass blocks of this source and layout, and pass them on.
    unsafe { source.release(block.ptr, block.place, layout) };
}

/// Classes below, at and above an OS page, whole pages and not, aligned to more than a page,
/// and one that is not cut.
fn classes() -> Vec<Layout> {
    let mut classes = vec![layout(192, 64), layout(6144, 64), layout(4096, 4096), layout(20_000, 1 << 14)];
    if !cfg!(miri) {
        classes.extend([layout(96 << 10, 64), layout(64 << 10, 1 << 18)]);
        classes.extend([layout(3 << 20, 64), layout(5000, 1 << 21)]);
    }
    classes
}

#[test]
fn blocks_are_aligned_zero_and_disjoint() {
    for class in classes() {
        let source = Mapped::new(class, None, None, &Registry::new());
        let count = if cfg!(miri) { 5 } else { 40 };
        let blocks: Vec<Block> = (0..count).map(|_| take(&source, class)).collect();
        for (block, byte) in blocks.iter().zip(1..) {
            assert_eq!(block.ptr.addr().get() % class.align(), 0);
            assert!(block.zeroed && all_are(block, class.size(), 0));
            fill(block, class.size(), byte);
        }
        for (block, byte) in blocks.iter().zip(1..) {
            assert!(all_are(block, class.size(), byte));
        }
        for block in blocks {
            put(&source, class, block);
        }
        assert_eq!(source.overhead(), 0);
    }
}

#[test]
fn a_block_that_comes_back_is_zero_when_it_says_so() {
    for class in classes() {
        let source = Mapped::new(class, None, None, &Registry::new());
        let anchor = take(&source, class);
        let block = take(&source, class);
        fill(&block, class.size(), 0xFF);
        let ptr = block.ptr;
        put(&source, class, block);
        source.tidy();
        let again = take(&source, class);
        if Cut::of(class, Shape::default()).is_some() {
            assert_eq!(again.ptr, ptr, "the lowest free block goes out first");
        }
        assert!(!again.zeroed || all_are(&again, class.size(), 0));
        if cfg!(all(target_os = "linux", not(miri))) {
            let whole_pages = class.pad_to_align().size() % os::page_size() == 0;
            assert_eq!(again.zeroed, whole_pages);
        }
        put(&source, class, again);
        put(&source, class, anchor);
    }
}

#[test]
fn giving_pages_back_leaves_the_neighbours_alone() {
    for class in classes() {
        let source = Mapped::new(class, None, None, &Registry::new());
        let [left, middle, right] = std::array::from_fn(|_| take(&source, class));
        for block in [&left, &middle, &right] {
            fill(block, class.size(), 0xA5);
        }
        put(&source, class, middle);
        assert!(all_are(&left, class.size(), 0xA5) && all_are(&right, class.size(), 0xA5));
        put(&source, class, left);
        put(&source, class, right);
    }
}

#[test]
fn nothing_is_held_before_the_first_block_and_after_the_last() {
    let class = layout(4096, 64);
    let source = Mapped::new(class, None, None, &Registry::new());
    assert!(size_of::<Mapped>() <= 192);
    assert_eq!(source.overhead(), 0);
    let block = take(&source, class);
    assert_eq!(source.overhead(), 8 * 4096 - 4096);
    put(&source, class, block);
    assert_eq!(source.overhead(), 0);
    assert!(source.slabs().unwrap().is_empty());
}

#[test]
fn another_layout_than_the_class_is_a_mapping_of_its_own() {
    let source = Mapped::new(layout(4096, 64), None, None, &Registry::new());
    let odd = layout(4097, 64);
    let block = take(&source, odd);
    assert!(source.slabs().unwrap().is_empty());
    assert_eq!(source.overhead(), 2 * os::page_size() - 4097);
    put(&source, odd, block);
    assert_eq!(source.overhead(), 0);
}

#[test]
fn a_refusal_changes_nothing() {
    let absurd = layout(isize::MAX as usize - 4095, 4096);
    let source = Mapped::new(absurd, None, None, &Registry::new());
    // Half of a 32-bit program's addresses may be had.
    if !cfg!(miri) && cfg!(target_pointer_width = "64") {
        assert!(source.allocate(absurd, Want::Any).is_err());
    }
    assert!(source.allocate(layout(0, 1), Want::Any).is_err());
    assert_eq!(source.overhead(), 0);
}

#[test]
#[cfg(not(miri))]
fn large_blocks_do_not_compete_for_the_same_cache_sets() {
    let class = layout(64 << 10, 64);
    let source = Mapped::new(class, None, None, &Registry::new());
    let blocks: Vec<Block> = (0..29).map(|_| take(&source, class)).collect();
    let mut lines: Vec<usize> = blocks.iter().map(|block| block.ptr.addr().get() % os::page_size()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 29, "blocks that start at the same distance from an OS page");
    let anchor = take(&source, class);
    for block in blocks {
        fill(&block, class.size(), 0xFF);
        put(&source, class, block);
        let block = take(&source, class);
        assert_eq!(block.zeroed, cfg!(target_os = "linux"));
        assert!(!block.zeroed || all_are(&block, class.size(), 0));
        put(&source, class, block);
    }
    put(&source, class, anchor);
    assert!(source.slabs().unwrap().is_empty());
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn released_blocks_leave_memory_while_their_slab_stays() {
    use super::super::resident::resident_bytes;

    let class = layout(64 << 10, os::page_size());
    let source = Mapped::new(class, None, None, &Registry::new());
    let blocks: Vec<Block> = (0..32).map(|_| take(&source, class)).collect();
    let slab = blocks[0].ptr;
    let resident = || resident_bytes(slab, 32 * class.size());
    for block in &blocks {
        fill(block, class.size(), 0xFF);
    }
    assert_eq!(resident(), 32 * class.size());
    let mut blocks = blocks.into_iter();
    let last = blocks.next_back().unwrap();
    for block in blocks {
        put(&source, class, block);
    }
    assert_eq!(resident(), class.size());
    assert!(all_are(&last, class.size(), 0xFF));
    put(&source, class, last);
    assert!(source.slabs().unwrap().is_empty());
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn small_blocks_leave_memory_when_it_is_tidied() {
    use super::super::resident::resident_bytes;

    let class = layout(1 << 10, 64);
    let source = Mapped::new(class, None, None, &Registry::new());
    // All of the first slab.
    let mut blocks: Vec<Block> = (0..16).map(|_| take(&source, class)).collect();
    let slab = blocks[0].ptr;
    let resident = || resident_bytes(slab, 16 << 10);
    blocks.iter().for_each(|block| fill(block, class.size(), 0xFF));
    assert_eq!(resident(), 16 << 10);
    // One in each of the last two pages stays.
    let kept: Vec<Block> = [13, 9].map(|block| blocks.remove(block)).into();
    blocks.into_iter().for_each(|block| put(&source, class, block));
    assert_eq!(resident(), 16 << 10);
    source.tidy();
    assert_eq!(resident(), 2 * os::page_size());
    for block in &kept {
        assert!(all_are(block, class.size(), 0xFF));
    }
    let first = take(&source, class);
    assert!(first.zeroed && all_are(&first, class.size(), 0));
    put(&source, class, first);
    kept.into_iter().for_each(|block| put(&source, class, block));
    assert!(source.slabs().unwrap().is_empty());
}

#[test]
fn threads_never_share_a_block() {
    let class = if cfg!(miri) { layout(48 << 10, 64) } else { layout(12 << 10, 64) };
    let (threads, rounds) = if cfg!(miri) { (3, 8) } else { (10, 2000) };
    let source = Mapped::new(class, None, None, &Registry::new());
    let start = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 1..=threads {
            let (source, start) = (&source, &start);
            scope.spawn(move || {
                start.wait();
                hammer(source, class, thread as u8, rounds);
            });
        }
    });
    assert_eq!(source.overhead(), 0);
    assert!(source.slabs().unwrap().is_empty());
}

/// Keeps up to 50 blocks, so that slabs come and go, and looks for the marks of other threads
/// in them.
fn hammer(source: &Mapped, class: Layout, mark: u8, rounds: usize) {
    let mut blocks = std::collections::VecDeque::new();
    for round in 0..rounds {
        let block = take(source, class);
        assert!(!block.zeroed || all_are(&block, class.size(), 0));
        fill(&block, class.size(), mark);
        blocks.push_back(block);
        let keep = if round / 50 % 2 == 0 { 50 } else { 0 };
        if round % 20 == 0 {
            source.tidy();
        }
        while blocks.len() > keep {
            let block = blocks.pop_front().unwrap();
            assert!(all_are(&block, class.size(), mark));
            put(source, class, block);
        }
    }
    for block in blocks {
        put(source, class, block);
    }
}
