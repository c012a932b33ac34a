//! A terminal that nobody sees: a program runs in it, and its screen can be read.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::common::LAB;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
    /// How lines were read in the beginning: echoed, and whole.
    modes: String,
}

fn modes(master: &dyn MasterPty) -> String {
    let modes = master.get_termios().unwrap();
    format!("{:?} {:?} {:?}", modes.input_flags, modes.output_flags, modes.local_flags)
}

impl Terminal {
    /// Starts the program in a terminal of 80 columns and 24 rows.
    pub fn start(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let modes = modes(&*pair.master);
        let mut command = CommandBuilder::new(LAB);
        command.args(arguments);
        command.env("XDG_RUNTIME_DIR", folder);
        command.env("TERM", "xterm-256color");
        command.env("RUST_BACKTRACE", "0");
        let child = pair.slave.spawn_command(command).unwrap();
        // Or its end would never come.
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let shown = screen.clone();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is how the system tells that nobody is at the other end any more.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { master: pair.master, keys, child, screen, reader: Some(reader), modes }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub fn resize(&self, rows: u16, cols: u16) {
        let [high, wide] = [rows, cols].map(|count| NonZeroU16::new(count).unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(high, wide);
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is as it should be; it, as it is then.
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if is_so(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "not until now: {what}\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it draws on a screen of its own, the cursor is hidden, and keys are read one by one.
    pub fn is_taken(&self) -> [bool; 3] {
        let parser = self.screen.lock().unwrap();
        let has_modes = modes(&*self.master) != self.modes;
        [parser.screen().alternate_screen(), parser.screen().hide_cursor(), has_modes]
    }

    /// Waits for the end of the program; its status, and what is on the screen then.
    pub fn end(mut self) -> (u32, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.exit_code(),
                None => assert!(Instant::now() < deadline, "it does not end:\n{}", self.text()),
            }
            thread::sleep(Duration::from_millis(10));
        };
        self.reader.take().unwrap().join().unwrap();
        assert_eq!(self.is_taken(), [false; 3], "the terminal is not as it was:\n{}", self.text());
        (status, self.text())
    }
}

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).unwrap();

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where a test has failed; else it has ended.
        self.child.kill().ok();
        // It is gone, or was gone before.
        self.child.wait().ok();
    }
}
