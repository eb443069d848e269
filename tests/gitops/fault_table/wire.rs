//! Remotes behind a line that cuts, stalls, or changes what is sent: a real git daemon behind a proxy.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::{Case, write_all};
use crate::gitops::harness::{World, eventually};
use crate::support::git::Repository;
use crate::support::process::Process;
use crate::support::{free_port, tools};

/// What the line does to what the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Good,
    /// Ends after that many bytes.
    Cut(usize),
    /// Changes the byte there.
    Flip(usize),
    /// Says nothing more after that many bytes.
    Stall(usize),
    /// Takes no connection at all.
    Dead,
    /// Names another commit than the one there is.
    Lie,
}

type Shared = Arc<Mutex<Line>>;

/// A remote behind a line.
struct Remote {
    line: Shared,
    work: Repository,
    _daemon: Process,
}

impl Remote {
    fn push(&self) {
        self.work.commit("more");
        self.work.git(&["push", "-q", "-f", "origin", "main"]);
    }

    fn set(&self, line: Line) {
        *self.line.lock().expect("unpoisoned") = line;
    }
}

/// A case that follows such a remote.
async fn remote() -> (Case, Remote) {
    let world = World::new().await;
    std::fs::create_dir(world.path("served")).expect("made");
    let bare = Repository::init_bare(&world.path("served/apps.git"));
    let work = Repository::init(&world.source());
    work.git(&["remote", "add", "origin", bare.path.to_str().expect("text")]);
    write_all(&world);
    work.commit("first");
    work.git(&["push", "-q", "origin", "main"]);
    let port = free_port();
    let mut command = Command::new(tools::installed("git", "git"));
    command
        .args([
            "daemon",
            "--reuseaddr",
            "--export-all",
            "--listen=127.0.0.1",
            "--informative-errors",
            "--verbose",
        ])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", world.path("served").display()));
    let mut daemon = Process::start(&mut command);
    daemon.line_with("Ready to rumble", std::time::Duration::from_secs(20));
    let line: Shared = Arc::new(Mutex::new(Line::Good));
    let proxy = proxy(port, Arc::clone(&line));
    let mut config = world.config();
    config.source = format!("git://127.0.0.1:{proxy}/apps.git");
    let case = Case::of(world, config).await;
    let remote = Remote {
        line,
        work,
        _daemon: daemon,
    };
    (case, remote)
}

/// Forwards connections as the line allows; its threads end with the process.
fn proxy(port: u16, line: Shared) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("a connection");
            let line = *line.lock().expect("unpoisoned");
            if line == Line::Dead {
                continue;
            }
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
            let (mut up_from, mut up_to) = (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            );
            std::thread::spawn(move || {
                // Either end may leave first.
                if std::io::copy(&mut up_from, &mut up_to).is_err() || up_to.shutdown(Shutdown::Write).is_err() {
                    tracing::debug!("the client left");
                }
            });
            std::thread::spawn(move || {
                if forward(server, &client, line).is_err() || client.shutdown(Shutdown::Both).is_err() {
                    tracing::debug!("the client left");
                }
            });
        }
    });
    own
}

fn forward(mut server: TcpStream, mut client: &TcpStream, line: Line) -> std::io::Result<()> {
    let mut sent = 0;
    let mut buffer = [0; 4096];
    loop {
        let read = server.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let bytes = &mut buffer[..read];
        let until = |limit: usize| limit.saturating_sub(sent).min(read);
        match line {
            Line::Good | Line::Dead => client.write_all(bytes)?,
            Line::Cut(limit) => {
                client.write_all(&bytes[..until(limit)])?;
                if sent + read >= limit {
                    return Ok(());
                }
            }
            Line::Stall(limit) => client.write_all(&bytes[..until(limit)])?,
            Line::Flip(at) => {
                if (sent..sent + read).contains(&at) {
                    bytes[at - sent] ^= 0x55;
                }
                client.write_all(bytes)?;
            }
            Line::Lie => {
                // The first lines name commits: each begins with four digits of length.
                if sent == 0 {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    if let Some(at) = text.find(" HEAD") {
                        bytes[at - 40..at].fill(b'1');
                    }
                    if let Some(at) = text.find(" refs/heads/main") {
                        bytes[at - 40..at].fill(b'1');
                    }
                }
                client.write_all(bytes)?;
            }
        }
        sent += read;
    }
}

#[tokio::test]
async fn lines_that_cut_change_or_lie() {
    let (case, remote) = remote().await;
    let mut lines = vec![Line::Dead, Line::Lie];
    lines.extend([0, 1, 50, 200, 300, 400, 500, 700].map(Line::Cut));
    lines.extend([10, 60, 200, 330, 400, 450, 500, 600].map(Line::Flip));
    let mut failed = 0;
    for line in lines {
        let name = format!("{line:?}");
        let news = case.news();
        remote.push();
        remote.set(line);
        match case.world.try_sync(&case.config).await {
            Err(error) => {
                failed += 1;
                let error = error.to_string();
                assert!(error.contains("git://127.0.0.1:"), "{name}: {error}");
            }
            // What it changed mattered to nobody.
            Ok(_) => case.holds(&name, "news", &news).await,
        }
        case.unharmed(&name).await;
        remote.set(Line::Good);
        case.recovers(&name).await;
        case.holds(&name, "news", &news).await;
    }
    assert!(failed >= 10, "only {failed} of the lines did harm");
}

#[tokio::test]
async fn a_line_that_stalls_keeps_nothing_else_from_being_done() {
    let (case, remote) = remote().await;
    case.news();
    remote.push();
    remote.set(Line::Stall(100));
    let following = case.world.follow_with(case.config.clone());
    following.said("synced").await;
    case.world
        .merge("ConfigMap", "one", serde_json::json!({"data": {"key": "drifted"}}))
        .await;
    eventually("repaired", async || match case.world.get("ConfigMap", "one").await {
        Some(object) if object["data"]["key"] == "1" => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    case.unharmed("stalled").await;
    following.stop().await;
}
