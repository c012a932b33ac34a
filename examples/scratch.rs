//! Scratch buffers for tasks of rayon: the byte histograms of many images.
//!
//! Each task decodes its image into a buffer and is done with it when it has counted. Where buffers come from a pool, a task
//! simply gets one: the next task of its thread gets the same, and there are never more than threads. A buffer for each
//! worker, made by `map_init`, is one for each piece that rayon cuts the work into, and lives until that is done; it pays
//! where making it ready costs more than a get.
//!
//! `cargo run --release --example scratch`

use std::time::{Duration, Instant};

use millpond::{BufferPool, Capacity, PooledBuf};
use rayon::prelude::*;

const IMAGES: usize = 2000;
/// Bytes of an image that was decoded.
const PIXELS: usize = 256 << 10;

type Histogram = [u64; 256];

/// Stands for a decoder: writes an image into the buffer, which is empty.
fn decode(image: usize, out: &mut PooledBuf) {
    out.resize(PIXELS, image as u8);
    for (at, pixel) in out.iter_mut().enumerate().step_by(64) {
        *pixel = (at / 64) as u8;
    }
}

fn count(pixels: &[u8]) -> Histogram {
    let mut histogram = [0; 256];
    pixels.iter().for_each(|&pixel| histogram[usize::from(pixel)] += 1);
    histogram
}

fn add(mut sum: Histogram, other: Histogram) -> Histogram {
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
    sum
}

/// A buffer for each task.
fn by_task(pool: &BufferPool, images: usize) -> Histogram {
    let one = |image| {
        let mut scratch = pool.get(Capacity(PIXELS));
        decode(image, &mut scratch);
        count(&scratch)
    };
    (0..images).into_par_iter().map(one).reduce(|| [0; 256], add)
}

/// A buffer for each piece of the work, cleared for each task.
fn by_piece(pool: &BufferPool, images: usize) -> Histogram {
    let one = |scratch: &mut PooledBuf, image| {
        scratch.clear();
        decode(image, scratch);
        count(scratch)
    };
    (0..images).into_par_iter().map_init(|| pool.get(Capacity(PIXELS)), one).reduce(|| [0; 256], add)
}

/// A vector for each task.
fn with_vectors(images: usize) -> Histogram {
    let one = |image| {
        let mut scratch = vec![image as u8; PIXELS];
        for (at, pixel) in scratch.iter_mut().enumerate().step_by(64) {
            *pixel = (at / 64) as u8;
        }
        count(&scratch)
    };
    (0..images).into_par_iter().map(one).reduce(|| [0; 256], add)
}

fn timed<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let began = Instant::now();
    let result = work();
    (began.elapsed(), result)
}

fn main() {
    let pool = BufferPool::new();
    let (pooled, expected) = timed(|| by_task(&pool, IMAGES));
    let (piecewise, by_piece) = timed(|| by_piece(&pool, IMAGES));
    let (fresh, with_vectors) = timed(|| with_vectors(IMAGES));
    assert!(expected == by_piece && expected == with_vectors);
    println!("{IMAGES} images on {} threads:", rayon::current_num_threads());
    println!("  a pooled buffer for each task   {pooled:?}");
    println!("  a pooled buffer for each piece  {piecewise:?}");
    println!("  a vector for each task          {fresh:?}");
    println!("{}", pool.stats());
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: usize = 40;

    /// Runs this with a pool on four threads; what it did, and the pool.
    fn on_four(work: impl FnOnce(&BufferPool) -> Histogram + Send) -> (Histogram, BufferPool) {
        let pool = BufferPool::builder().size_classes([PIXELS]).build().unwrap();
        let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let histogram = threads.install(|| work(&pool));
        (histogram, pool)
    }

    #[test]
    fn all_ways_count_the_same() {
        let (expected, _) = on_four(|_| with_vectors(FEW));
        assert_eq!(expected.iter().sum::<u64>(), (FEW * PIXELS) as u64);
        assert_eq!(on_four(|pool| by_task(pool, FEW)).0, expected);
        assert_eq!(on_four(|pool| by_piece(pool, FEW)).0, expected);
    }

    #[test]
    fn tasks_need_no_more_buffers_than_there_are_threads() {
        let (_, pool) = on_four(|pool| by_task(pool, FEW));
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.outstanding), (FEW as u64, 0));
        assert!((1..=4).contains(&stats.fresh), "{} buffers for 4 threads", stats.fresh);
    }

    #[test]
    fn pieces_need_one_each_and_no_get_for_each_task() {
        let (_, pool) = on_four(|pool| by_piece(pool, FEW));
        let stats = pool.stats();
        assert!((1..=FEW as u64).contains(&stats.gets), "{} gets", stats.gets);
        assert_eq!(stats.outstanding, 0);
    }
}
