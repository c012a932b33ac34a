//! `Debug` shows sizes and options, never content.

use millpond::{BufferPool, Capacity, PooledBytes, Zeroing};

#[test]
fn a_buffer_shows_length_capacity_and_class() {
    let pool = BufferPool::builder().size_classes([100, 1000]).alignment(16).build().unwrap();
    let buf = pool.copy_from(b"secret");
    assert_eq!(format!("{buf:?}"), "PooledBuf { len: 6, capacity: 112, class: 100 }");
    let large = pool.get(Capacity(1001));
    assert_eq!(format!("{large:?}"), "PooledBuf { len: 0, capacity: 4096, class: \"oversize\" }");
}

#[test]
fn frozen_bytes_show_length_and_capacity() {
    let pool = BufferPool::new();
    let bytes = pool.copy_from(b"secret").freeze();
    assert_eq!(format!("{:?}", bytes.slice(1..3)), "PooledBytes { len: 2, capacity: 256 }");
    assert_eq!(format!("{:?}", PooledBytes::from_static(b"secret")), "PooledBytes { len: 6, capacity: \"static\" }");
}

#[test]
fn no_output_holds_content() {
    let pool = BufferPool::builder().zeroing(Zeroing::OnReturn).build().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let content = b"hunter2";
    let buf = pool.copy_from(content);
    let mut batch = pool.get_many([Capacity(100); 3]);
    batch.iter_mut().for_each(|buf| buf.extend_from_slice(content));
    let bytes = pool.copy_from(content).freeze();
    let outputs = [
        format!("{buf:?} {buf:#?}"),
        format!("{batch:?} {batch:#?}"),
        format!("{bytes:?} {bytes:#?} {:?}", bytes.clone().try_into_mut()),
        format!("{pool:?} {:?} {}", pool.stats(), pool.stats()),
    ];
    for output in outputs {
        let numbers = content.map(|byte| byte.to_string()).join(", ");
        assert!(!output.contains(&text(content)) && !output.contains(&numbers), "{output}");
    }
}

#[test]
fn a_pool_shows_its_options_with_the_defaults() {
    let output = format!("{:?}", BufferPool::builder().name("inbox").thread_cache(12_345).build().unwrap());
    for option in
        ["inbox", "thread_cache: 12345", "alignment: 64", "zeroing: OnGet", "max_idle: ", "size_classes: [256, 384,"]
    {
        assert!(output.contains(option), "{option} in {output}");
    }
}
