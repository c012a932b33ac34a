//! `report`: files of results as one page for people, with charts, and with nothing to load from elsewhere.

mod compare;
mod evict;
mod page;
mod read;
mod row;
mod soak;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::read::File;
use crate::failure::Failure;

/// Make one page with charts of what `compare`, `soak` and `evict` wrote with --json.
#[derive(clap::Args)]
pub struct Options {
    /// Results, of whichever command: the files say themselves
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to write the page; - for the standard output. A file that is there is replaced
    #[arg(long, value_name = "FILE", default_value = "millpond-report.html")]
    output: PathBuf,
}

/// Does what `options` ask for. Nothing is written unless every file could be read.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    let files: Vec<_> = options.files.iter().map(|path| read::file(path)).collect::<Result<_, _>>()?;
    if options.output == Path::new("-") {
        io::stdout().write_all(page::text(&files)?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    spare_the_results(options)?;
    let page = page::text(&files)?;
    fs::write(&options.output, page).map_err(|error| Failure::path(&options.output, error))?;
    writeln!(io::stdout(), "{}: {}", options.output.display(), summary(&files))?;
    Ok(ExitCode::SUCCESS)
}

/// A page in the place of the figures that it shows would lose them.
fn spare_the_results(options: &Options) -> Result<(), Failure> {
    let Ok(output) = fs::canonicalize(&options.output) else { return Ok(()) };
    match options.files.iter().find(|path| fs::canonicalize(path).is_ok_and(|path| path == output)) {
        None => Ok(()),
        Some(path) => Err(Failure::Usage(format!("{} is to be read, so the page cannot go there", path.display()))),
    }
}

fn summary(files: &[File]) -> String {
    let charts: usize = files.iter().map(File::charts).sum();
    let s = |count| if count == 1 { "" } else { "s" };
    format!("{charts} chart{} of {} file{}", s(charts), files.len(), s(files.len()))
}
