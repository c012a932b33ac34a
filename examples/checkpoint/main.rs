//! A checkpoint of a model, loaded tensor by tensor into fresh vectors, into buffers of a pool, and as mappings of the
//! file.
//!
//! The file is written first, in the format safetensors, with tensors of the shapes of GPT-2. Each way then loads it several
//! times, in turn with the others. For each tensor, memory is taken and each OS page of it touched, which is timed apart;
//! then the tensor is read into it, used, which is to compute a checksum, and dropped. With `--keep` all tensors of a load
//! stay alive until its end, as those of a model do.
//!
//! Without `--keep` the system's allocator may be a pool of its own for tensors of up to 32 MiB, as that of glibc is. With
//! it, hardly any allocator is.
//!
//! `cargo run --release --example checkpoint -- --keep`

mod load;
mod model;
mod report;
mod system;
mod ways;

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use load::{Load, load};
use model::Model;
use ways::{Fresh, Mapped, Pooled, Way};

const USAGE: &str = "\
usage: checkpoint [--size SIZE] [--loads N] [--keep] [--dir DIR]

  --size SIZE  about so large a file, as 64MiB [1GiB]
  --loads N    so many loads in each way, from 2 to 1000 [5]
  --keep       keep all tensors of a load until its end, instead of one at a time
  --dir DIR    the folder in which to make one for the file [the system's for temporary files]
  --help       print this";

/// Ctrl-C came.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
struct Options {
    model: Model,
    loads: usize,
    keep: bool,
    dir: PathBuf,
}

impl Options {
    /// None: the usage is asked for. An error says what is wrong.
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let (mut size, mut loads, mut keep, mut dir) = ("1GiB".to_owned(), 5, false, std::env::temp_dir());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let argument = argument.to_string_lossy().into_owned();
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match &*argument {
                "--size" => size = value()?.to_string_lossy().into_owned(),
                "--loads" => {
                    let text = value()?;
                    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|n| (2..=1000).contains(n));
                    loads =
                        number.ok_or_else(|| format!("--loads is {text:?}, and must be a number from 2 to 1000"))?;
                }
                "--keep" => keep = true,
                "--dir" => dir = value()?.into(),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {argument:?}")),
            }
        }
        let least = Model::least_bytes().div_ceil(1 << 20);
        let wrong = || format!("--size is {size:?}, and must be a size from {least}MiB, as 64MiB or 1GiB");
        let model = bytes(&size).and_then(Model::of_size).ok_or_else(wrong)?;
        Ok(Some(Self { model, loads, keep, dir }))
    }
}

/// A number of bytes: digits, then nothing, `KiB`, `MiB` or `GiB`, which may be shortened.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The loads of one way.
struct Turns<'a> {
    way: &'static str,
    load: Box<dyn Fn() -> Result<Load> + 'a>,
    loads: Vec<Load>,
}

impl<'a> Turns<'a> {
    fn of<W: Way + 'a>(way: W, load_with: impl Fn(&W) -> Result<Load> + 'a) -> Self {
        Self { way: W::NAME, load: Box::new(move || load_with(&way)), loads: Vec::new() }
    }
}

/// Writes a file in this folder and loads it. The loads of each way.
fn run(options: &Options, folder: &Path, out: &mut impl Write) -> Result<Vec<(&'static str, Vec<Load>)>> {
    let path = folder.join("model.safetensors");
    let Model { width, layers } = options.model;
    writeln!(out, "file    {} (for another place: --dir)", path.display())?;
    out.flush()?;
    options.model.write(&path)?;
    let file = File::open(&path)?;
    let places = model::places(&file)?;
    let mib = file.metadata()?.len() as f64 / f64::from(1 << 20);
    writeln!(out, "model   {mib:.1} MiB, {} tensors: {layers} layers, {width} wide", places.len())?;
    out.flush()?;

    let keep = options.keep;
    let pooled = Pooled::new(&places)?;
    let pool = pooled.pool().clone();
    let mut turns = [
        Turns::of(Fresh, |way| load(way, &file, &places, keep)),
        Turns::of(pooled, |way| load(way, &file, &places, keep)),
        Turns::of(Mapped, |way| load(way, &file, &places, keep)),
    ];
    for number in 0..options.loads {
        // A different one begins each time.
        turns.rotate_left(usize::from(number > 0));
        for turn in &mut turns {
            turn.loads.push((turn.load)()?);
        }
    }
    turns.sort_by_key(|turn| [Fresh::NAME, Pooled::NAME, Mapped::NAME].iter().position(|&name| name == turn.way));
    let loads: Vec<_> = turns.into_iter().map(|turn| (turn.way, turn.loads)).collect();
    report::write(out, &loads, keep, &pool.stats())?;
    Ok(loads)
}

/// Runs in a folder of its own, which is gone afterwards, also when Ctrl-C comes.
fn run_in(options: &Options) -> Result<()> {
    let folder = options.dir.join(format!("millpond-checkpoint-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let doomed = folder.clone();
    ctrlc::set_handler(move || {
        INTERRUPTED.store(true, SeqCst);
        // Nothing more can be done about an error, and the status says that the end was early.
        drop(std::fs::remove_dir_all(&doomed));
        std::process::exit(130);
    })?;
    let result = run(options, &folder, &mut io::stdout().lock());
    if INTERRUPTED.load(SeqCst) {
        // What went wrong is that the folder is gone, or soon will be. The handler ends the process.
        loop {
            thread::park();
        }
    }
    std::fs::remove_dir_all(&folder)?;
    result.map(drop)
}

fn main() -> ExitCode {
    let result = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => run_in(&options),
        Ok(None) => writeln!(io::stdout(), "{USAGE}").map_err(Into::into),
        Err(wrong) => {
            writeln!(io::stderr(), "checkpoint: {wrong}\n\n{USAGE}").ok();
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "checkpoint: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_defaults_are_a_gibibyte_and_five_loads() {
        let options = parse(&[]).unwrap().unwrap();
        assert_eq!((options.model, options.loads), (Model { width: 1024, layers: 17 }, 5));
        assert!(!options.keep && parse(&["--loads", "2", "--keep"]).unwrap().unwrap().keep);
        assert_eq!(parse(&["--size", "64MiB", "--help"]), Ok(None));
        let small = parse(&["--size", "16m"]).unwrap().unwrap().model;
        assert_eq!(small.width, 64);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, text) in [
            (&["--size"][..], "--size needs a value"),
            (&["--size", "1MiB"], "\"1MiB\", and must be a size from 13MiB"),
            (&["--size", "much"], "\"much\""),
            (&["--size", "99999999999GiB"], "\"99999999999GiB\""),
            (&["--loads", "1"], "\"1\", and must be a number from 2"),
            (&["--fast"], "there is no option \"--fast\""),
            (&["checkpoint.safetensors"], "\"checkpoint.safetensors\""),
        ] {
            let wrong = parse(arguments).unwrap_err();
            assert!(wrong.contains(text), "{wrong}");
        }
    }

    /// In a folder of its own.
    fn run_small(name: &str, keep: bool) -> (Vec<(&'static str, Vec<Load>)>, String) {
        let folder = std::env::temp_dir().join(format!("millpond-checkpoint-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let options = Options { keep, loads: 2, ..parse(&["--size", "16MiB"]).unwrap().unwrap() };
        let mut out = Vec::new();
        let loads = run(&options, &folder, &mut out);
        std::fs::remove_dir_all(&folder).unwrap();
        (loads.unwrap(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_way_loads_the_same_and_says_what_it_took() {
        for (name, keep) in [("one-by-one", false), ("kept", true)] {
            let (loads, text) = run_small(name, keep);
            assert_eq!(loads.iter().map(|(way, _)| *way).collect::<Vec<_>>(), ["vector", "pool", "mmap"]);
            let all = || loads.iter().flat_map(|(_, loads)| loads);
            assert_eq!(all().count(), 6);
            assert!(all().all(|load| load.checksum == all().next().unwrap().checksum && load.checksum != 0));
            for word in ["| vector |", "| pool ", "| mmap ", "page faults", "checksum", "times as long", "aim "] {
                assert!(text.contains(word), "{word} in {text}");
            }
            assert_eq!(text.contains("MiB with all kept"), keep, "{text}");
            // Where faults are counted: the second load finds all memory in the pool.
            if let [Some(first), Some(second)] = [0, 1].map(|load| loads[1].1[load].faults) {
                assert!(second < first / 4, "{text}");
            }
        }
    }
}
