//! `millpond-lab`: real workloads on millpond, alone and side by side with its rivals.

mod board;
mod chart;
mod compare;
mod evict;
mod failure;
mod interrupt;
mod memory;
mod output;
mod process;
mod provenance;
mod random;
mod report;
mod run;
mod size;
mod soak;
mod table;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

const CANNOT_MEASURE: &str = "this build has an allocator that can fail (feature `starve`), so it measures nothing";

/// Real workloads on millpond, alone and side by side with its rivals.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Options),
    Compare(compare::Options),
    Evict(evict::Options),
    Soak(soak::Options),
    Report(report::Options),
    Top(top::Options),
    Resident(compare::resident::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(_) | Command::Compare(_) if soak::starve::CAN => Err(Failure::Usage(CANNOT_MEASURE.into())),
        Command::Run(options) => run::command(&options),
        Command::Compare(options) => compare::command(&options),
        Command::Evict(options) => evict::command(&options),
        Command::Soak(options) => soak::command(&options),
        Command::Report(options) => report::command(&options),
        Command::Top(options) => top::command(&options),
        Command::Resident(options) => compare::resident::command(&options),
    };
    result.unwrap_or_else(|failure| failure.report())
}
