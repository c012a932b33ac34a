//! Pools for the whole program.

/// Defines a function that returns a `&'static Pool<T>`, built when it is first called.
///
/// `global_pool!(visibility name: T, option = value, ..)`, where the options are methods of
/// [`PoolBuilder`](crate::PoolBuilder). Works wherever a function may stand.
///
/// By hand it is a `LazyLock`:
///
/// ```
/// use millpond::Pool;
/// use std::sync::LazyLock;
///
/// static SAMPLES: LazyLock<Pool<Vec<f32>>> = LazyLock::new(|| {
///     Pool::builder().max_idle(64).trim_capacity(4096).build().expect("valid options")
/// });
/// assert!(SAMPLES.get().is_empty());
/// ```
///
/// # Panics
/// The function, on its first call, if the options are not allowed.
///
/// # Examples
///
/// ```
/// millpond::global_pool! {
///     /// Blocks of samples.
///     pub samples: Vec<f32>, max_idle = 64, trim_capacity = 4096
/// }
///
/// let block = samples().get_with(|block| block.resize(512, 0.0));
/// assert_eq!(block.len(), 512);
/// ```
#[macro_export]
macro_rules! global_pool {
    ($(#[$attribute:meta])* $visibility:vis $name:ident: $value:ty $(, $option:ident = $setting:expr)* $(,)?) => {
        $(#[$attribute])*
        $visibility fn $name() -> &'static $crate::Pool<$value> {
            static MILLPOND_GLOBAL_POOL: ::std::sync::LazyLock<$crate::Pool<$value>> =
                ::std::sync::LazyLock::new(|| {
                    $crate::Pool::<$value>::builder()
                        $(.$option($setting))*
                        .build()
                        .unwrap_or_else(|error| {
                            ::std::panic!("{} of global_pool!({}, ..)", error, ::std::stringify!($name))
                        })
                });
            &MILLPOND_GLOBAL_POOL
        }
    };
}
