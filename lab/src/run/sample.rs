//! A tree to read when the user names none: the same files every time, in the system's temporary folder, removed at
//! the end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use indicatif::ProgressBar;
use tempfile::TempDir;

use crate::interrupt;
use crate::random::Random;

const SEED: u64 = 0x6d69_6c6c_706f_6e64;
const SMALLEST: u64 = 1 << 10;
const LARGEST: u64 = 64 << 20;
/// Files are spread over this many folders.
const FOLDERS: u64 = 16;

/// The folder; dropping it removes it, also when a round ends early.
pub struct Sample(TempDir);

impl Sample {
    /// Writes files of `bytes` bytes in all. Ends early, and leaves nothing, when the user interrupts it.
    pub fn make(bytes: u64, bar: &ProgressBar) -> io::Result<Self> {
        let sample = Self(tempfile::Builder::new().prefix("millpond-lab-").tempdir()?);
        let mut random = Random::seeded(SEED);
        for folder in 0..FOLDERS {
            fs::create_dir(sample.folder(folder))?;
        }
        for (number, size) in sizes(bytes, &mut random).into_iter().enumerate() {
            let path = sample.folder(random.below(FOLDERS)).join(format!("{number:05}"));
            write(&path, size, &mut random, bar)?;
        }
        Ok(sample)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes the folder and says what went wrong with that, which a drop could not.
    pub fn remove(self) -> io::Result<()> {
        self.0.close()
    }

    fn folder(&self, number: u64) -> std::path::PathBuf {
        self.path().join(format!("{number:02}"))
    }
}

/// Sizes that add up to `bytes`: the extremes once each where there is room, then each size the more often the
/// smaller it is, so that half of the files are below 4 KiB and half of the bytes lie in a few large ones.
fn sizes(bytes: u64, random: &mut Random) -> Vec<u64> {
    let mut left = bytes;
    let mut sizes = Vec::new();
    let mut take = |size: u64, sizes: &mut Vec<u64>| {
        let size = if left < size + SMALLEST { left } else { size };
        left -= size;
        sizes.extend((size > 0).then_some(size));
        left > 0
    };
    if bytes >= 2 * LARGEST {
        take(LARGEST, &mut sizes);
        take(SMALLEST, &mut sizes);
    }
    while take(draw(random), &mut sizes) {}
    sizes
}

/// A size at least [`SMALLEST`] and below [`LARGEST`]: from each doubling on to the next with probability 1/sqrt(2),
/// then any size in it.
fn draw(random: &mut Random) -> u64 {
    const DOUBLINGS: u64 = (LARGEST / SMALLEST).ilog2() as u64;
    let mut low = SMALLEST;
    for _ in 1..DOUBLINGS {
        if random.below(1000) >= 707 {
            break;
        }
        low *= 2;
    }
    low + random.below(low)
}

fn write(path: &Path, size: u64, random: &mut Random, bar: &ProgressBar) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let mut block = vec![0; 256 << 10];
    let mut left = size;
    while left > 0 {
        interrupt::check()?;
        let piece = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        random.fill(&mut block[..piece]);
        file.write_all(&block[..piece])?;
        left -= piece as u64;
        bar.inc(piece as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up_and_span_the_range() {
        let sizes = sizes(512 << 20, &mut Random::seeded(SEED));
        assert_eq!(sizes.iter().sum::<u64>(), 512 << 20);
        assert_eq!(sizes.iter().max(), Some(&LARGEST));
        assert_eq!(sizes.iter().min(), Some(&SMALLEST));
        assert!(sizes.len() > 500, "{}", sizes.len());
    }

    #[test]
    fn small_samples_add_up_too() {
        for bytes in [0, 1, SMALLEST, 1 << 20] {
            assert_eq!(sizes(bytes, &mut Random::seeded(SEED)).iter().sum::<u64>(), bytes);
        }
    }

    #[test]
    fn a_dropped_sample_is_gone() {
        let sample = Sample::make(1 << 20, &ProgressBar::hidden()).unwrap();
        let path = sample.path().to_owned();
        assert!(path.is_dir());
        drop(sample);
        assert!(!path.exists());
    }
}
