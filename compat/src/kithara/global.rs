//! Pools for the whole program.

/// Declares a pool that is built when it is first asked for, and the function that returns it.
///
/// `global_pool!(function, STATIC, shards, Type, max_buffers, trim_capacity)`. Works wherever a function may stand.
///
/// ```
/// use millpond_compat::kithara::global_pool;
///
/// global_pool!(f32_pool, F32_POOL, 32, Vec<f32>, 1024, 32_768);
///
/// let mut samples = f32_pool().get();
/// samples.resize(4096, 0.0);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __kithara_global_pool {
    ($function:ident, $pool:ident, $shards:expr, $value:ty, $max_buffers:expr, $trim_capacity:expr $(,)?) => {
        static $pool: ::std::sync::OnceLock<$crate::kithara::Pool<{ $shards }, $value>> = ::std::sync::OnceLock::new();

        #[allow(dead_code)]
        fn $function() -> &'static $crate::kithara::Pool<{ $shards }, $value> {
            $pool.get_or_init(|| $crate::kithara::Pool::new($max_buffers, $trim_capacity))
        }
    };
}
