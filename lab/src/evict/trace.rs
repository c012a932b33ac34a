//! A trace: what a program got from a pool and gave back, in order.
//!
//! In a file, a trace has one operation a line: `+SIZE` gets a buffer of so many bytes, `-SIZE` returns one that was
//! asked for with the same size. Sizes are written as everywhere in this program (`4096`, `64KiB`). Which of several
//! buffers of a size is returned needs no saying, for a pool cannot tell them apart. What follows a `#` is a comment.
//! Buffers that are out at the end stay out.

use std::collections::BTreeSet;
use std::io::{self, Write};

use millpond::BufferPool;

use crate::size::Bytes;

/// As many as a pool has at most.
const MAX_CLASSES: usize = 64;

/// One step of a trace, on a class by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Get(u8),
    Return(u8),
}

/// Operations, and the size classes that they are on.
#[derive(PartialEq, Eq, Debug)]
pub struct Trace {
    pub name: String,
    /// Ascending.
    pub classes: Vec<usize>,
    pub operations: Vec<Operation>,
}

impl Trace {
    /// Reads a trace as it stands in a file. Each size is a class of its own; when they are too many for a pool, they
    /// are rounded up to the classes that a pool has by default.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let lines =
            text.lines().enumerate().map(|(index, line)| (index + 1, line.split('#').next().unwrap_or("").trim()));
        let steps = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| Step::parse(number, line));
        let steps: Vec<Step> = steps.collect::<Result<_, _>>()?;
        let classes = classes_for(&steps)?;
        let class_of = |size| classes.partition_point(|&class| class < size);
        let mut out = vec![0_u64; classes.len()];
        for step in &steps {
            step.count(&mut out[class_of(step.size)])?;
        }
        let operations = steps.iter().map(|step| step.operation(class_of(step.size) as u8)).collect();
        Ok(Self { name: name.to_owned(), classes, operations })
    }

    /// Writes the trace as [`parse`](Self::parse) reads it.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "# {}: {} operations", self.name, self.operations.len())?;
        for operation in &self.operations {
            let (sign, class) = match *operation {
                Operation::Get(class) => ('+', class),
                Operation::Return(class) => ('-', class),
            };
            writeln!(out, "{sign}{}", self.classes[usize::from(class)])?;
        }
        Ok(())
    }

    pub fn gets(&self) -> u64 {
        self.operations.iter().filter(|operation| matches!(operation, Operation::Get(_))).count() as u64
    }

    /// The bytes of each class that were out at its peak, summed: so much idle memory is always enough.
    pub fn peaks(&self) -> u64 {
        let mut out = vec![(0_u64, 0_u64); self.classes.len()];
        for operation in &self.operations {
            match *operation {
                Operation::Get(class) => {
                    let (now, peak) = &mut out[usize::from(class)];
                    *now += 1;
                    *peak = (*peak).max(*now);
                }
                Operation::Return(class) => out[usize::from(class)].0 -= 1,
            }
        }
        self.classes.iter().zip(out).map(|(&size, (_, peak))| size as u64 * peak).sum()
    }
}

/// A line of a file.
struct Step {
    line: usize,
    is_get: bool,
    size: usize,
}

impl Step {
    fn parse(line: usize, text: &str) -> Result<Self, String> {
        let (is_get, size) = match text.split_at_checked(1) {
            Some(("+", size)) => (true, size),
            Some(("-", size)) => (false, size),
            _ => return Err(format!("line {line}: `{text}` is neither a get, `+SIZE`, nor a return, `-SIZE`")),
        };
        let Bytes(size) = size.parse().map_err(|error| format!("line {line}: {error}"))?;
        let allowed = usize::try_from(size).ok().filter(|size| (1..=isize::MAX as usize / 2).contains(size));
        let size = allowed.ok_or_else(|| format!("line {line}: no buffer has {size} bytes"))?;
        Ok(Self { line, is_get, size })
    }

    /// Keeps count of how many buffers of a class are out.
    fn count(&self, out: &mut u64) -> Result<(), String> {
        let changed = if self.is_get { out.checked_add(1) } else { out.checked_sub(1) };
        *out = changed.ok_or_else(|| {
            format!("line {}: returns a buffer of {} when none is out", self.line, Bytes(self.size as u64))
        })?;
        Ok(())
    }

    fn operation(&self, class: u8) -> Operation {
        if self.is_get { Operation::Get(class) } else { Operation::Return(class) }
    }
}

fn classes_for(steps: &[Step]) -> Result<Vec<usize>, String> {
    let sizes: BTreeSet<usize> = steps.iter().map(|step| step.size).collect();
    if sizes.len() <= MAX_CLASSES {
        return Ok(sizes.into_iter().collect());
    }
    let classes: Vec<_> = BufferPool::new().stats().classes.iter().map(|class| class.size as usize).collect();
    let largest = classes.last().copied().unwrap_or(0);
    match steps.iter().find(|step| step.size > largest) {
        None => Ok(classes),
        Some(step) => Err(format!(
            "line {}: {} is above the largest class, {}, of the {} that {} different sizes are rounded up to",
            step.line,
            Bytes(step.size as u64),
            Bytes(largest as u64),
            classes.len(),
            sizes.len(),
        )),
    }
}
