//! Runs programs: their output captured line by line, ended by signal, never outliving the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::eventually;

/// How often a child is asked whether it ended.
const POLL: Duration = Duration::from_millis(5);

/// A line a process wrote.
#[derive(Clone, Debug)]
struct Line {
    error: bool,
    text: String,
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What it wrote to stdout; panics where it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout
    }

    /// Everything it wrote.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}\nexit code: {:?}\n--- stdout\n{}--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

/// A running program. Dropping it kills it.
pub struct Process {
    command: String,
    child: Child,
    lines: Arc<Mutex<Vec<Line>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts the program with no input.
    #[track_caller]
    pub fn start(command: &mut Command) -> Process {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let readers = vec![read(stdout, false, &lines), read(stderr, true, &lines)];
        Process {
            command: name,
            child,
            lines,
            readers,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written so far, in the order it arrived.
    pub fn output(&self) -> String {
        self.text(|_| true)
    }

    /// The first line, of either stream, that holds `text`; waits for it.
    #[track_caller]
    pub fn line_with(&mut self, text: &str, timeout: Duration) -> String {
        self.line_after(0, text, timeout)
    }

    /// How many lines there are by now; a mark for [`Process::line_after`].
    pub fn line_count(&self) -> usize {
        self.lines.lock().expect("no reader panics").len()
    }

    /// Like [`Process::line_with`], among the lines behind a mark.
    #[track_caller]
    pub fn line_after(&mut self, mark: usize, text: &str, timeout: Duration) -> String {
        let what = format!("a line with {text:?} from {}", self.command);
        eventually(&what, timeout, || {
            let ended = !self.is_running();
            let lines = self.lines.lock().expect("no reader panics");
            if let Some(line) = lines.iter().skip(mark).find(|line| line.text.contains(text)) {
                return Ok(line.text.clone());
            }
            drop(lines);
            assert!(!ended, "it ended before {what}:\n{}", self.output());
            Err(self.output())
        })
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Sends SIGTERM and waits; panics where it has not ended in time.
    #[track_caller]
    pub fn terminate(mut self, timeout: Duration) -> Ended {
        self.signal("TERM");
        let status = self.wait(timeout);
        self.ended(status)
    }

    /// Sends a signal by name.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.id().to_string()])
            .status();
        assert!(sent.expect("kill can be run").success(), "kill -{signal} {}", self.id());
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("a child can be killed");
        let status = self.wait(Duration::from_secs(10));
        self.ended(status)
    }

    /// Waits for it to end by itself; panics where it has not in time.
    #[track_caller]
    pub fn finish(mut self, timeout: Duration) -> Ended {
        let status = self.wait(timeout);
        self.ended(status)
    }

    #[track_caller]
    fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if started.elapsed() > timeout {
                let output = self.output();
                panic!("still running after {timeout:?}: {}\n{output}", self.command);
            }
            std::thread::sleep(POLL);
        }
    }

    fn ended(mut self, status: ExitStatus) -> Ended {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader ends with its pipe");
        }
        Ended {
            command: self.command.clone(),
            code: status.code(),
            stdout: self.text(|line| !line.error),
            stderr: self.text(|line| line.error),
        }
    }

    fn text(&self, which: impl Fn(&Line) -> bool) -> String {
        let lines = self.lines.lock().expect("no reader panics");
        let chosen = lines.iter().filter(|line| which(line));
        chosen.flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.child.kill().expect("a child can be killed");
            self.child.wait().expect("a killed child ends");
        }
        let output = self.output();
        if std::thread::panicking() && !output.is_empty() {
            eprintln!("--- output of {}\n{output}", self.command);
        }
    }
}

/// Runs a program to its end; panics where it takes longer.
#[track_caller]
pub fn run(command: &mut Command, timeout: Duration) -> Ended {
    Process::start(command).finish(timeout)
}

fn read(stream: impl Read + Send + 'static, error: bool, lines: &Arc<Mutex<Vec<Line>>>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match stream.read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
            lines.lock().expect("no reader panics").push(Line { error, text });
        }
    })
}

/// Asks a plain HTTP server on loopback; returns the whole answer.
pub fn http_get(address: &str, path: &str) -> std::io::Result<String> {
    use std::io::Write;
    let mut connection = std::net::TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
