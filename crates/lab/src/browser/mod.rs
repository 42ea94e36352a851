//! A real Chromium without a screen on one of the lab's hosts, driven by its developer tools' protocol (CDP) over two pipes: no port is open, and no
//! library stands between.
//!
//! | file | the one idea |
//! |---|---|
//! | `mod.rs` | the browser's process, and a page in it as a person has it: opened, looked at, made narrow or dark |
//! | `pipe.rs` | the protocol: calls with their answers, and what the browser tells unasked, each with when it arrived |

mod pipe;

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::host::Host;
use crate::namespace::Layout;
use crate::provision::BROWSER_PROGRAM;

use self::pipe::Pipe;
pub use self::pipe::Told;

/// A page has so long to be what it is waited for to be.
const PAGE_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why the browser could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// It does not start, or its pipes broke.
    #[error("Chromium: {what}: {cause}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// It does not answer.
    #[error("Chromium does not answer {method} within {} s; its last words: {words}", limit.as_secs())]
    Silent {
        /// What was asked.
        method: String,
        /// How long was waited.
        limit: Duration,
        /// What it last told.
        words: String,
    },
    /// It refuses.
    #[error("Chromium refuses {method}: {words}")]
    Refused {
        /// What was asked.
        method: String,
        /// Its words.
        words: String,
    },
    /// A script on the page failed.
    #[error("a script on the page failed: {0}")]
    Script(String),
    /// The page is not what it should be.
    #[error("the page does not come to be so within {} s: {what}", PAGE_LIMIT.as_secs())]
    NotSo {
        /// What was waited for.
        what: String,
    },
    /// What it answered is not as the protocol has it.
    #[error("Chromium's answer has no {0}")]
    NotUnderstood(&'static str),
}

/// A running browser. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    pipe: Pipe,
}

/// How wide a window is, and whether it is a telephone's.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether it lays pages out as a telephone does.
    pub mobile: bool,
}

/// An open page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    session: String,
}

impl Browser {
    /// Starts it on this host, which was given the root with the browser.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(layout: &Layout, host: &Host) -> Result<Self, BrowserError> {
        let mut program = host.command_in(&layout.browser_root(), BROWSER_PROGRAM);
        program.args([
            "--remote-debugging-pipe",
            // Its own sandbox wants another user, and is not what is looked at; shared memory is a folder that the root has not.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--user-data-dir=/tmp/browser",
            "about:blank",
        ]);
        // It speaks on descriptors 3 and 4: the shell has them made of those that a program can be started with.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]);
        shell.arg(program.get_program()).args(program.get_args());
        shell.env("HOME", "/tmp").env_remove("TMPDIR").stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |cause| BrowserError::Io { what: "can't be started", cause };
        let mut process = shell.spawn().map_err(failed)?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self { process, pipe: Pipe::new(input, output) })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Opens an empty page, in which `script` runs before any of a page's own. What the script tells by `name(text)` is told by
    /// [`Self::told`].
    ///
    /// # Errors
    /// It does not open.
    pub fn open(&mut self, name: &str, script: &str) -> Result<Page, BrowserError> {
        let target = self.pipe.call(None, "Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = &target["targetId"];
        let attached =
            self.pipe.call(None, "Target.attachToTarget", &json!({ "targetId": target, "flatten": true }))?;
        let session = attached["sessionId"].as_str().ok_or(BrowserError::NotUnderstood("sessionId"))?;
        let page = Page { session: session.to_owned() };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(&page, &format!("{domain}.enable"), &json!({}))?;
        }
        self.call(&page, "Runtime.addBinding", &json!({ "name": name }))?;
        self.call(&page, "Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }))?;
        Ok(page)
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn go(&mut self, page: &Page, address: &str) -> Result<(), BrowserError> {
        let went = self.call(page, "Page.navigate", &json!({ "url": address }))?;
        match went["errorText"].as_str() {
            None => Ok(()),
            Some(words) => {
                Err(BrowserError::Refused { method: "Page.navigate".to_owned(), words: words.to_owned() })
            }
        }
    }

    /// What an expression on the page is.
    ///
    /// # Errors
    /// It throws.
    pub fn evaluate(&mut self, page: &Page, expression: &str) -> Result<Value, BrowserError> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call(page, "Runtime.evaluate", &asked)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            return Err(BrowserError::Script(thrown.to_string()));
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression on the page is true.
    ///
    /// # Errors
    /// It does not come to be so.
    pub fn wait(&mut self, page: &Page, expression: &str) -> Result<(), BrowserError> {
        let since = Instant::now();
        while self.evaluate(page, &format!("Boolean({expression})"))? != true {
            if since.elapsed() > PAGE_LIMIT {
                return Err(BrowserError::NotSo { what: expression.to_owned() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Makes the window so, and the person's choice of colours.
    ///
    /// # Errors
    /// It does not.
    pub fn shape(&mut self, page: &Page, window: Window, dark: bool) -> Result<(), BrowserError> {
        let Window { width, height, mobile } = window;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call(page, "Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call(page, "Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// A picture of what is in the window, or of the whole page, as PNG.
    ///
    /// # Errors
    /// It gives none.
    pub fn picture(&mut self, page: &Page, whole: bool) -> Result<Vec<u8>, BrowserError> {
        let asked = json!({ "format": "png", "captureBeyondViewport": whole, "optimizeForSpeed": false });
        let answer = self.call(page, "Page.captureScreenshot", &asked)?;
        let text = answer["data"].as_str().ok_or(BrowserError::NotUnderstood("data"))?;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|_| BrowserError::NotUnderstood("picture"))
    }

    /// What a screen reader is given: the nodes of the page's accessibility tree.
    ///
    /// # Errors
    /// It gives none.
    pub fn accessibility(&mut self, page: &Page) -> Result<Vec<Value>, BrowserError> {
        let mut answer = self.call(page, "Accessibility.getFullAXTree", &json!({}))?;
        match answer["nodes"].take() {
            Value::Array(nodes) => Ok(nodes),
            _ => Err(BrowserError::NotUnderstood("nodes")),
        }
    }

    /// What the browser has told unasked of this page since the last time, in the order in which it arrived.
    ///
    /// # Errors
    /// It has ended.
    pub fn told(&mut self, page: &Page) -> Result<Vec<Told>, BrowserError> {
        self.pipe.told(&page.session)
    }

    fn call(&mut self, page: &Page, method: &str, parameters: &Value) -> Result<Value, BrowserError> {
        self.pipe.call(Some(&page.session), method, parameters)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already; its own children end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
