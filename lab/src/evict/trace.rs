//! A trace: what a program got from a pool and gave back, in order.
//!
//! In a file, a trace has one operation a line: `+SIZE` gets a buffer of so many bytes, `-SIZE` returns one that was
//! asked for with the same size. Sizes are written as everywhere in this program (`4096`, `64KiB`). Which of several
//! buffers of a size is returned needs no saying, for a pool cannot tell them apart. What follows a `#` is a comment.
//! Buffers that are out at the end stay out.

use std::collections::{BTreeSet, HashMap};
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
        check_returns(&steps)?;
        let classes = classes_for(&steps)?;
        let operation = |step: &Step| {
            let class = classes.partition_point(|&class| class < step.size) as u8;
            if step.is_get { Operation::Get(class) } else { Operation::Return(class) }
        };
        let operations = steps.iter().map(operation).collect();
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
        let mut out = vec![0_u64; self.classes.len()];
        let mut peaks = out.clone();
        for operation in &self.operations {
            match *operation {
                Operation::Get(class) => {
                    let class = usize::from(class);
                    out[class] += 1;
                    peaks[class] = peaks[class].max(out[class]);
                }
                Operation::Return(class) => out[usize::from(class)] -= 1,
            }
        }
        let bytes = self.classes.iter().zip(peaks).map(|(&size, peak)| (size as u64).saturating_mul(peak));
        bytes.fold(0, u64::saturating_add)
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
}

/// Every return must have a get before it.
fn check_returns(steps: &[Step]) -> Result<(), String> {
    if steps.is_empty() {
        return Err("no operations".to_owned());
    }
    let mut out = HashMap::<usize, u64>::new();
    for step in steps {
        let out = out.entry(step.size).or_default();
        let changed = if step.is_get { out.checked_add(1) } else { out.checked_sub(1) };
        *out = changed.ok_or_else(|| {
            format!("line {}: a return of {}, of which none is out", step.line, Bytes(step.size as u64))
        })?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Trace::parse("t", text).unwrap_err()
    }

    #[test]
    fn lines_are_operations_on_classes() {
        let trace = Trace::parse("t", "# head\n+4KiB\n\n  +100 # small\n-4096\n").unwrap();
        assert_eq!(trace.classes, [100, 4096]);
        assert_eq!(trace.operations, [Operation::Get(1), Operation::Get(0), Operation::Return(1)]);
        assert_eq!((trace.gets(), trace.peaks()), (2, 4196));
    }

    #[test]
    fn what_is_no_operation_is_refused_with_its_line() {
        assert_eq!(refused("+1\n4096\n"), "line 2: `4096` is neither a get, `+SIZE`, nor a return, `-SIZE`");
        assert_eq!(refused("\u{1f600}"), "line 1: `\u{1f600}` is neither a get, `+SIZE`, nor a return, `-SIZE`");
        assert!(refused("#\n\n+12 parsecs").starts_with("line 3: `12 parsecs` is not a size"));
        assert_eq!(refused("+0"), "line 1: no buffer has 0 bytes");
        assert_eq!(refused("# nothing\n"), "no operations");
    }

    #[test]
    fn a_return_of_what_is_not_out_is_refused() {
        assert_eq!(refused("-64KiB"), "line 1: a return of 64KiB, of which none is out");
        assert_eq!(refused("+1\n-1\n-1\n"), "line 3: a return of 1B, of which none is out");
    }

    #[test]
    fn more_sizes_than_classes_are_rounded_up() {
        let sizes = |count: usize| (1..=count).map(|size| format!("+{size}000\n")).collect::<String>();
        assert_eq!(Trace::parse("t", &sizes(64)).unwrap().classes.len(), 64);
        let trace = Trace::parse("t", &sizes(65)).unwrap();
        let rounded = |operation: &Operation| match *operation {
            Operation::Get(class) | Operation::Return(class) => trace.classes[usize::from(class)],
        };
        assert_eq!(trace.operations.iter().map(rounded).take(4).collect::<Vec<_>>(), [1024, 2048, 3072, 4096]);
        let error = refused(&(sizes(65) + "+65MiB"));
        assert!(error.starts_with("line 66: 65MiB is above the largest class, 64MiB, of the 37 that 66 "), "{error}");
    }
}
