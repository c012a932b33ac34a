//! All of it: what is measured is read from files that only Linux has.

mod client;
mod control;
mod limits;
mod load;
mod mark;
mod options;
mod pipe;
mod process;
mod report;
mod roles;
mod run;
mod server;
mod settings;
mod source;
mod stuck;
#[cfg(test)]
mod tests;
mod turn;
mod upstream;
mod way;

pub(crate) use run::main;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
