//! A file to load: tensors with the names and shapes of GPT-2, of as many layers as the size allows.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize_to_file};

use crate::Result;

const WORDS: usize = 50_257;
const POSITIONS: usize = 1024;
/// From a toy to GPT-2 XL.
const WIDTHS: [usize; 8] = [64, 128, 256, 512, 768, 1024, 1280, 1600];
/// As in the smallest GPT-2: a model with fewer is made narrower instead, if it can be.
const LAYERS: usize = 12;
const BYTES: usize = size_of::<f32>();
/// Bytes by which the contents of two tensors are shifted.
const SHIFT: usize = 64;

/// A tensor as it lies in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

/// What a file of so many bytes has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) width: usize,
    pub(crate) layers: usize,
}

/// A tensor that is to be written.
struct Tensor<'a> {
    shape: Vec<usize>,
    content: &'a [u8],
}

impl Model {
    /// The least that there is: one narrow layer.
    const LEAST: Model = Model { width: WIDTHS[0], layers: 1 };

    /// The widest with enough layers that fits; none fits a size below [`least_bytes`](Self::least_bytes).
    pub(crate) fn of_size(bytes: u64) -> Option<Self> {
        let models = WIDTHS.iter().rev().filter_map(|&width| {
            let [none, one] = [0, 1].map(|layers| Model { width, layers }.bytes());
            let layers = bytes.checked_sub(none)? / (one - none);
            Some(Model { width, layers: layers as usize })
        });
        let deep = |model: &Model| model.layers >= LAYERS || model.width == WIDTHS[0] && model.layers > 0;
        models.into_iter().find(deep)
    }

    pub(crate) fn least_bytes() -> u64 {
        Self::LEAST.bytes()
    }

    /// Of all its tensors.
    fn bytes(self) -> u64 {
        self.shapes().iter().map(|(_, shape)| len(shape) as u64).sum()
    }

    fn shapes(self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let mut shapes = vec![("wte.weight".to_owned(), vec![WORDS, width])];
        shapes.push(("wpe.weight".to_owned(), vec![POSITIONS, width]));
        for layer in 0..self.layers {
            let mut add = |name: &str, shape: &[usize]| shapes.push((format!("h.{layer}.{name}"), shape.to_vec()));
            for norm in ["ln_1", "ln_2"] {
                add(&format!("{norm}.weight"), &[width]);
                add(&format!("{norm}.bias"), &[width]);
            }
            let products = [
                ("attn.c_attn", width, 3 * width),
                ("attn.c_proj", width, width),
                ("mlp.c_fc", width, 4 * width),
                ("mlp.c_proj", 4 * width, width),
            ];
            for (name, from, to) in products {
                add(&format!("{name}.weight"), &[from, to]);
                add(&format!("{name}.bias"), &[to]);
            }
        }
        shapes.extend(["weight", "bias"].map(|name| (format!("ln_f.{name}"), vec![width])));
        shapes
    }

    /// Writes the file, the same for the same model.
    pub(crate) fn write(self, path: &Path) -> Result<()> {
        let shapes = self.shapes();
        let longest = shapes.iter().map(|(_, shape)| len(shape)).max().unwrap_or(0);
        // One for all tensors: what an allocator keeps of many would be in the way of what is measured.
        let noise = noise(longest + shapes.len() * SHIFT);
        let tensors = (0..).step_by(SHIFT).zip(shapes).map(|(start, (name, shape))| {
            let content = &noise[start..start + len(&shape)];
            (name, Tensor { shape, content })
        });
        serialize_to_file(tensors, None, path)?;
        // Else the disk would still be written to while loads are measured. Windows syncs files that may be written to.
        Ok(OpenOptions::new().write(true).open(path)?.sync_all()?)
    }
}

/// The bytes of a tensor.
fn len(shape: &[usize]) -> usize {
    shape.iter().product::<usize>() * BYTES
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.content.into()
    }

    fn data_len(&self) -> usize {
        self.content.len()
    }
}

/// Small numbers, half of them negative, always the same.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes);
    let mut state = 0;
    for _ in 0..bytes / BYTES {
        let number = (splitmix(&mut state) >> 40) as f32 / (1 << 24) as f32;
        noise.extend_from_slice(&(0.04 * number - 0.02).to_le_bytes());
    }
    noise
}

/// SplitMix64, from G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Where the tensors of a file are, in the order of the file.
#[allow(unsafe_code)] // The header is read from a mapping, so that the rest of the file need not be.
pub(crate) fn places(file: &File) -> Result<Vec<Place>> {
    // SAFETY: the file is this process's own, and is not written to any more.
    let bytes = unsafe { Mmap::map(file) }?;
    let (header, metadata) = SafeTensors::read_metadata(&bytes)?;
    // The length of the header comes before it.
    let start = (size_of::<u64>() + header) as u64;
    let keys = metadata.offset_keys();
    let places = keys.iter().filter_map(|name| metadata.info(name)).map(|info| {
        let (from, to) = info.data_offsets;
        Place { offset: start + from as u64, len: to - from }
    });
    Ok(places.collect())
}
