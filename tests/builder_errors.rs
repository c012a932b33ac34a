//! Each invalid option is refused with its name, its value and what is allowed.

use millpond::{BufferPool, BufferPoolBuilder, BuildError};

fn refused(builder: BufferPoolBuilder) -> String {
    let error = builder.build().unwrap_err();
    assert!(matches!(error, BuildError::Invalid { .. }), "{error:?}");
    let as_error: &dyn std::error::Error = &error;
    as_error.to_string()
}

#[test]
fn alignment_is_a_power_of_two_up_to_two_mebibytes() {
    for value in [0, 3, 48, 4 << 20, usize::MAX] {
        let expected = format!("alignment is {value}, must be a power of two, at most 2097152");
        assert_eq!(refused(BufferPool::builder().alignment(value)), expected);
    }
    for value in [1, 2 << 20] {
        assert!(BufferPool::builder().alignment(value).build().is_ok());
    }
}

#[test]
fn the_largest_request_is_between_one_byte_and_half_the_address_space() {
    for value in [0, isize::MAX as usize + 1, usize::MAX] {
        let expected = format!("max_request is {value}, must be from 1 to {}", isize::MAX);
        assert_eq!(refused(BufferPool::builder().max_request(value)), expected);
    }
    for value in [1, isize::MAX as usize] {
        assert!(BufferPool::builder().max_request(value).build().is_ok());
    }
}

#[test]
fn size_classes_are_a_short_ascending_list_of_sizes() {
    let largest = isize::MAX as usize / 2;
    let lists: [(Vec<usize>, String); 7] = [
        (vec![], "size_classes is a list of 0, must be a list of 1 to 64 sizes".into()),
        ((1..=65).collect(), "size_classes is a list of 65, must be a list of 1 to 64 sizes".into()),
        (vec![0, 1], format!("size_classes is 0, must be from 1 to {largest} bytes each")),
        (vec![1, largest + 1], format!("size_classes is {}, must be from 1 to {largest} bytes each", largest + 1)),
        (vec![usize::MAX], format!("size_classes is {}, must be from 1 to {largest} bytes each", usize::MAX)),
        (vec![5, 7, 7], "size_classes is 7 after 7, must be ascending and distinct".into()),
        (vec![5, 7, 6], "size_classes is 6 after 7, must be ascending and distinct".into()),
    ];
    for (list, expected) in lists {
        assert_eq!(refused(BufferPool::builder().size_classes(list)), expected);
    }
    for list in [vec![1], (1..=64).collect(), vec![largest]] {
        assert!(BufferPool::builder().size_classes(list).build().is_ok());
    }
}

#[test]
fn prefill_fits_the_classes_and_the_limits() {
    let builder = || BufferPool::builder().size_classes([1024, 4096]);
    let cases = [
        (builder().prefill(4097, 1), "prefill is 1 of 4097 bytes, must be of at most 4096 bytes each"),
        (
            builder().max_request(2000).prefill(2001, 3),
            "prefill is 3 of 2001 bytes, must be of at most 2000 bytes each",
        ),
        (
            builder().max_idle_per_class(5).prefill(100, 6),
            "prefill is 6 in the class of 1024 bytes, must be at most 5 of a class (max_idle_per_class)",
        ),
        (
            builder().max_idle(8191).prefill(1, 4).prefill(4096, 1),
            "prefill is 8192 bytes in all, must be at most 8191 bytes (max_idle)",
        ),
    ];
    for (builder, expected) in cases {
        assert_eq!(refused(builder), expected);
    }
    let all = usize::MAX;
    let expected = format!("prefill is {all} bytes in all, must be at most 8192 bytes (max_idle)");
    assert_eq!(refused(builder().max_idle(8192).prefill(4096, all)), expected);
    assert!(builder().max_idle(8192).prefill(1, 4).prefill(4096, 1).build().is_ok());
}

/// Two lines for one class add up.
#[test]
fn prefill_of_one_class_in_two_parts_meets_its_limit() {
    let builder = BufferPool::builder().size_classes([1024]).max_idle_per_class(5);
    let allowed = builder.clone().prefill(1024, 2).prefill(1000, 3).build().unwrap();
    assert_eq!(allowed.stats().idle_in_depot, 5 * 1024);
    assert!(builder.prefill(1024, 3).prefill(1000, 3).build().is_err());
}
