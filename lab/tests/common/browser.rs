//! Chromium without a window, told what to do by the DevTools protocol.

use std::collections::VecDeque;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(60);
/// It asks nobody for anything, and finds nobody if it does.
const OPTIONS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
];

/// A browser with one empty page.
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    sent: u64,
    /// What it told of and nobody has asked for yet.
    events: VecDeque<Value>,
    folder: TempDir,
}

/// The program, where one is installed.
pub fn program() -> Option<&'static str> {
    let works = |name: &&str| {
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works)
}

impl Browser {
    pub fn start(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = format!("--user-data-dir={}", folder.path().display());
        let mut command = Command::new(program);
        command
            .args(OPTIONS)
            .args([&data, "about:blank"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (port, path) = door(folder.path(), &mut child);
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        let mut browser = Self { child, socket, session: None, sent: 0, events: VecDeque::new(), folder };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Does something, and gives what came of it.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let mut answer = self.receive();
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push_back(answer);
        }
    }

    fn receive(&mut self) -> Value {
        serde_json::from_str(self.socket.read().unwrap().to_text().unwrap()).unwrap()
    }

    /// A screen of so many pixels, light or dark.
    pub fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let is_mobile = width < 700;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Opens a file; everything that was told of until it was there.
    pub fn open(&mut self, page: &Path) -> Vec<Value> {
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", page.display())}));
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            assert!(Instant::now() < deadline, "{} was not loaded", page.display());
            let event = self.receive();
            self.events.push_back(event);
        }
        // What comes late has come when the next answer is there.
        self.evaluate("new Promise(done => setTimeout(() => done(1), 100))");
        self.events.drain(..).collect()
    }

    /// What an expression of JavaScript gives.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].take()
    }

    /// The whole page as a picture.
    pub fn picture(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let picture = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap());
        fs::write(file, picture.unwrap()).unwrap();
    }
}

/// Where it listens, as it writes it down as soon as it does.
fn door(folder: &Path, child: &mut Child) -> (u16, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(folder.join("DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.is_empty()) {
            return (port.parse().unwrap(), path.trim().to_owned());
        }
        assert!(child.try_wait().unwrap().is_none(), "the browser has ended");
        assert!(Instant::now() < deadline, "the browser does not listen");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end when it does; one that has ended already cannot be killed.
        self.child.kill().ok();
        self.child.wait().unwrap();
        // They may still write there for a moment.
        for _ in 0..100 {
            if fs::remove_dir_all(self.folder.path()).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
