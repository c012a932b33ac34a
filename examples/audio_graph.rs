//! Two voices through a graph of audio nodes: decode, effects, mix.
//!
//! One thread decodes the voices from WAV files and works on them, block by block; another mixes them and writes the
//! result. Blocks are vectors of a pool. They are made before the first one is decoded, go from thread to thread without
//! a copy, and are back in the pool as soon as they are dropped, so the audio itself never waits for an allocator.
//!
//! `cargo run --release --example audio_graph`

use std::error::Error;
use std::f32::consts::TAU;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use millpond::{Pool, PooledSlice};

const RATE: u32 = 48_000;
const BLOCK: usize = 512;
/// Not a multiple of a block: the last one is short.
const FRAMES: usize = 3 * RATE as usize;
const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 32, sample_format: SampleFormat::Float };

/// Pairs of blocks between the threads.
const QUEUE: usize = 8;
/// Blocks that may lie idle in one thread's cache, out of the other's reach.
const CACHE: usize = 8;
/// What is out at once (in the queue, and in the hands of either thread), and what lies idle in the other thread.
const BLOCKS: usize = 2 * (QUEUE + 2) + CACHE;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;
/// The valid frames of a pooled block.
type Block = PooledSlice<f32>;

/// A node of the graph: changes samples in place, and remembers what it must from block to block.
struct Effects {
    gain: f32,
    /// Of a one-pole low-pass filter: how much of the new sample passes, and the last output.
    brightness: f32,
    last: f32,
}

impl Effects {
    fn process(&mut self, samples: &mut [f32]) {
        for sample in samples {
            self.last += self.brightness * (*sample * self.gain - self.last);
            *sample = self.last;
        }
    }
}

fn effects() -> [Effects; 2] {
    [Effects { gain: 0.7, brightness: 0.2, last: 0.0 }, Effects { gain: 0.5, brightness: 0.9, last: 0.0 }]
}

fn mix(into: &mut [f32], other: &[f32]) {
    into.iter_mut().zip(other).for_each(|(sample, other)| *sample += other);
}

/// A file with a tone that fades.
fn write_voice(path: &Path, pitch: f32) -> Result<()> {
    let mut file = WavWriter::create(path, SPEC)?;
    for time in (0..FRAMES).map(|frame| frame as f32 / RATE as f32) {
        file.write_sample((TAU * pitch * time).sin() * (-time).exp())?;
    }
    Ok(file.finalize()?)
}

/// The next block of a file; none at its end.
fn decode(file: &mut WavReader<BufReader<File>>, pool: &Pool<Vec<f32>>) -> Result<Option<Block>> {
    // A block comes empty, with room.
    let mut block = pool.try_get()?;
    block.resize(BLOCK, 0.0);
    let mut frames = 0;
    for (place, sample) in block.iter_mut().zip(file.samples()) {
        *place = sample?;
        frames += 1;
    }
    // The last block of a file is not full; its storage still goes home whole.
    Ok(Some(block.into_slice(frames)).filter(|block| !block.is_empty()))
}

fn decode_all(voices: &[PathBuf; 2], pool: &Pool<Vec<f32>>, mixer: SyncSender<[Block; 2]>) -> Result<()> {
    pool.attach_thread();
    let [mut low, mut high] = [WavReader::open(&voices[0])?, WavReader::open(&voices[1])?];
    let mut effects = effects();
    while let (Some(low), Some(high)) = (decode(&mut low, pool)?, decode(&mut high, pool)?) {
        let mut blocks = [low, high];
        effects.iter_mut().zip(&mut blocks).for_each(|(effects, block)| effects.process(block));
        mixer.send(blocks)?;
    }
    Ok(())
}

/// How many blocks were mixed.
fn mix_all(blocks: Receiver<[Block; 2]>, pool: &Pool<Vec<f32>>, path: &Path) -> Result<usize> {
    pool.attach_thread();
    let mut file = WavWriter::create(path, SPEC)?;
    let mut mixed = 0;
    for [mut low, high] in blocks {
        mix(&mut low, &high);
        low.iter().try_for_each(|&sample| file.write_sample(sample))?;
        mixed += 1;
    }
    file.finalize()?;
    Ok(mixed)
}

fn samples(path: &Path) -> Result<Vec<f32>> {
    Ok(WavReader::open(path)?.into_samples().collect::<Result<_, _>>()?)
}

/// The same without blocks, pool or threads.
fn expected(voices: &[PathBuf; 2]) -> Result<Vec<f32>> {
    let mut mixed = vec![0.0; FRAMES];
    for (path, mut effects) in voices.iter().zip(effects()) {
        let mut voice = samples(path)?;
        effects.process(&mut voice);
        mix(&mut mixed, &voice);
    }
    Ok(mixed)
}

fn run(folder: &Path) -> Result<()> {
    let [low, high, result] = ["low.wav", "high.wav", "mixed.wav"].map(|name| folder.join(name));
    write_voice(&low, 220.0)?;
    write_voice(&high, 330.0)?;
    let voices = [low, high];

    let builder = Pool::builder().create(|| Vec::with_capacity(BLOCK));
    let pool = builder.thread_cache(CACHE).prefill(BLOCKS).build()?;
    let (sender, receiver) = sync_channel(QUEUE);
    let mixed = thread::scope(|scope| {
        let decoder = scope.spawn(|| decode_all(&voices, &pool, sender));
        let mixed = mix_all(receiver, &pool, &result)?;
        decoder.join().expect("the decoder does not panic").map(|()| mixed)
    })?;

    let stats = pool.stats();
    println!("mixed   {mixed} blocks of {BLOCK} frames, {} s of audio", FRAMES as f64 / f64::from(RATE));
    println!("pool    {} gets of {BLOCKS} prefilled blocks, {} made since", stats.gets, stats.fresh);
    println!("served  {} by the threads' caches, {} by the depot", stats.cache_hits, stats.depot_hits);
    assert_eq!((stats.fresh, stats.outstanding), (0, 0), "all blocks are from the prefill and at home");
    assert_eq!(mixed, FRAMES.div_ceil(BLOCK));
    assert!(samples(&result)? == expected(&voices)?, "the mix differs from one made without blocks");
    println!("result  equals a mix made without blocks, sample by sample");
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("millpond-audio-graph-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let result = run(&folder);
    std::fs::remove_dir_all(&folder)?;
    result
}
