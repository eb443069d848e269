//! Runs a command in a running container and tells how it ended.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{DockerError, Engine};

/// The most output kept: enough for an event's message.
const MAX_OUTPUT_BYTES: usize = 10 * 1024;

/// Docker may report an ended command as running for a moment; asked again this often.
const EXIT_CODE_TRIES: u32 = 20;
const EXIT_CODE_INTERVAL: Duration = Duration::from_millis(25);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It ended with this code and wrote this.
    Exited {
        /// The exit code.
        code: i64,
        /// The beginning of what it wrote, both streams together.
        output: String,
    },
    /// It was still running when its time was over.
    TimedOut,
}

impl Engine {
    /// Runs a command in the container and waits for its end, at most for `limit`.
    ///
    /// # Errors
    /// Where Docker refuses: the container does not run, or the command cannot be started.
    pub async fn exec(&self, id: &str, command: Vec<String>, limit: Duration) -> Result<Executed, DockerError> {
        let deadline = Instant::now() + limit;
        let options = CreateExecOptions::<String> {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(id, options).await?.id;
        let started = self.docker.start_exec(&exec, None::<StartExecOptions>).await?;
        let mut output = Vec::new();
        if let StartExecResults::Attached { output: mut stream, .. } = started {
            loop {
                match timeout_at(deadline, stream.next()).await {
                    Err(_elapsed) => return Ok(Executed::TimedOut),
                    Ok(None) => break,
                    Ok(Some(chunk)) => {
                        let room = MAX_OUTPUT_BYTES - output.len();
                        let chunk = chunk?.into_bytes();
                        output.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    }
                }
            }
        }
        for _ in 0..EXIT_CODE_TRIES {
            let state = self.docker.inspect_exec(&exec).await?;
            if let (Some(code), Some(false)) = (state.exit_code, state.running) {
                let output = String::from_utf8_lossy(&output).into_owned();
                return Ok(Executed::Exited { code, output });
            }
            sleep_until(Instant::now() + EXIT_CODE_INTERVAL).await;
        }
        Ok(Executed::TimedOut)
    }
}
