//! `top`: how a running `run` or `soak` is doing, live on a terminal, or a line a second.

mod follow;
mod history;
mod plain;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;

use self::follow::News;
use self::history::History;
use self::screen::View;
use crate::board::place::{self, Running};
use crate::failure::Failure;
use crate::interrupt;

/// How long a key may have to wait at most while nothing else comes.
const BEAT: Duration = Duration::from_millis(100);
/// How often it is asked who else runs.
const COUNT_EVERY: Duration = Duration::from_secs(2);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Look at a running `run` or `soak`: gets, memory, budgets, waiters.
#[derive(clap::Args)]
pub struct Options {
    /// The process to look at [default: the newest one that runs]
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Where it listens, if that is not where commands of this user do
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    socket: Option<PathBuf>,
    /// A line a second instead of a screen, until the command ends
    #[arg(long)]
    plain: bool,
    /// Panic as soon as the screen is drawn: the terminal must be restored all the same
    #[arg(long, hide = true)]
    panic: bool,
}

/// Does what `options` ask for.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    let running = find(options)?;
    if !options.plain && !io::stdout().is_terminal() {
        let what = "the output is no terminal; --plain writes a line a second";
        return Err(Failure::Usage(what.to_owned()));
    }
    interrupt::listen()?;
    if options.plain {
        lines(&running)?
    } else {
        on_screen(running, options.panic)?
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that is asked for, or the one that began last.
fn find(options: &Options) -> Result<Running, Failure> {
    if let Some(path) = &options.socket {
        return Ok(follow::at(path));
    }
    let running = place::running().map_err(|error| Failure::path(&place::path(), error))?;
    let asked = |running: &Running| options.pid.is_none_or(|pid| pid == running.process);
    let newest = |running: &&Running| running.path.metadata().and_then(|made| made.modified()).ok();
    let found = running.iter().filter(|running| asked(running)).max_by_key(newest);
    found.cloned().ok_or_else(|| Failure::Usage(nobody(options.pid, &running)))
}

fn nobody(pid: Option<u32>, running: &[Running]) -> String {
    let others: Vec<_> = running.iter().map(|running| running.process.to_string()).collect();
    match pid {
        Some(pid) if others.is_empty() => {
            format!("process {pid} is no `run` or `soak` that runs, and there is no other")
        }
        Some(pid) => format!("process {pid} is no `run` or `soak` that runs; there is {}", others.join(", ")),
        None => format!("no `run` or `soak` is running (looked in {})", place::path().display()),
    }
}

/// A line a second, until the command ends.
fn lines(running: &Running) -> Result<(), Failure> {
    let news = follow::follow(running)?;
    let (mut history, mut next) = (History::default(), Instant::now());
    let mut out = io::stdout();
    loop {
        interrupt::check()?;
        match news.recv_timeout(BEAT) {
            Ok(News::Now(snapshot)) => history.add(*snapshot),
            Ok(News::End(end)) => {
                writeln!(out, "process {}: {end}", running.process)?;
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        // Not before there is a rate.
        if Instant::now() >= next && history.rates().is_some() {
            writeln!(out, "{}", plain::line(&history).unwrap_or_default())?;
            next = Instant::now() + LINE_EVERY;
        }
    }
}

/// The terminal, which is as it was when this is dropped, also by a panic.
struct Screen(DefaultTerminal);

impl Screen {
    fn new() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone, nobody sees what it is like.
        execute!(io::stdout(), Show).ok();
        ratatui::restore();
    }
}

fn on_screen(first: Running, panics: bool) -> Result<(), Failure> {
    let mut looking = Looking::at(first)?;
    let mut screen = Screen::new()?;
    loop {
        screen.0.draw(|frame| screen::draw(frame, &looking.view))?;
        assert!(!panics, "this was asked for");
        if event::poll(BEAT)? {
            match wish(&event::read()?) {
                Some(Wish::Quit) => return Ok(()),
                Some(Wish::Interrupt) => return Err(Failure::Interrupted),
                Some(Wish::Next) => looking = looking.next()?,
                None => {}
            }
        }
        if interrupt::requested() {
            return Err(Failure::Interrupted);
        }
        looking.hear();
    }
}

enum Wish {
    Quit,
    Interrupt,
    Next,
}

/// What an event asks for. A new size asks for nothing: each picture is of the size that there is.
fn wish(event: &Event) -> Option<Wish> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return None };
    match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Interrupt),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Tab => Some(Wish::Next),
        _ => None,
    }
}

/// One of those that run, and what has come from it.
struct Looking {
    running: Running,
    news: Receiver<News>,
    view: View,
    next_count: Instant,
}

impl Looking {
    fn at(running: Running) -> Result<Self, Failure> {
        let news = follow::follow(&running)?;
        let view = View { history: History::default(), process: running.process, place: (1, 1), end: None };
        Ok(Self { running, news, view, next_count: Instant::now() })
    }

    /// Where this one is among those that run; it may have ended.
    fn count(&mut self) {
        let mut running = place::running().unwrap_or_default();
        running.retain(|other| other.path != self.running.path);
        let before = running.iter().filter(|other| **other < self.running).count();
        self.view.place = (before + 1, running.len() + 1);
        self.next_count = Instant::now() + COUNT_EVERY;
    }

    fn hear(&mut self) {
        if Instant::now() >= self.next_count {
            self.count();
        }
        for news in self.news.try_iter() {
            match news {
                News::Now(snapshot) => self.view.history.add(*snapshot),
                News::End(end) => self.view.end = Some(end),
            }
        }
    }

    /// The one after this, in a circle; this one where there is no other.
    fn next(self) -> Result<Self, Failure> {
        let running = place::running().unwrap_or_default();
        let after = running.iter().find(|other| **other > self.running).or_else(|| running.first());
        match after.filter(|other| **other != self.running) {
            Some(other) => Self::at(other.clone()),
            None => Ok(self),
        }
    }
}
