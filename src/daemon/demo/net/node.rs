//! A LISP node: a machine with a real `lispguard run` on it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use linux::process::send_signal;
use linux::signals::Signal;

use super::configuration::NodeConfig;
use super::place::Place;
use super::scratch::make_directory;
use super::status::{NodeStatus, request};

/// Between two looks at a node that is expected to change.
const POLL: Duration = Duration::from_millis(2);
/// A router that was asked to end takes no longer.
const ENDING: Duration = Duration::from_secs(3);

/// A LISP node; its process ends when it is dropped or its parent dies.
#[derive(Debug)]
pub struct Node {
    place: Place,
    program: PathBuf,
    directory: PathBuf,
    /// What its next start or reload reads.
    pub config: NodeConfig,
    process: Option<Child>,
}

impl Node {
    /// A node that does not run yet: `program` is the `lispguard` to run, `directory` its own.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(
        place: Place,
        program: &Path,
        directory: PathBuf,
        config: NodeConfig,
    ) -> io::Result<Node> {
        for name in ["run", "state"] {
            make_directory(&directory.join(name))?;
        }
        Ok(Node { place, program: program.into(), directory, config, process: None })
    }

    /// Has its next start run another program, with the words of `lispguard run`.
    pub fn set_program(&mut self, program: &Path) {
        self.program = program.into();
    }

    /// The machine it runs on.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        self.place.name()
    }

    /// Its configuration file, written at each start and reload.
    pub fn configuration_file(&self) -> PathBuf {
        self.directory.join("lispguard")
    }

    /// The Unix socket that it answers on while it runs.
    pub fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Writes its configuration and starts it; it is not waited for.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> io::Result<()> {
        if self.process.is_some() {
            return Err(io::Error::other(format!("{} runs already", self.name())));
        }
        self.write_configuration()?;
        let log = self.open_log()?;
        let mut command = Command::new(&self.program);
        command.arg0("lispguard").arg("run").arg("-c").arg(self.configuration_file());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(self.place.namespace().spawn(&mut command, Signal::SIGKILL)?);
        Ok(())
    }

    /// Writes its configuration anew and has it read.
    ///
    /// # Errors
    /// When it does not run.
    pub fn reload(&mut self) -> io::Result<()> {
        self.write_configuration()?;
        self.signal(Signal::SIGHUP)
    }

    /// Kills it without a chance to say anything.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        let mut process = self.process.take().ok_or(io::ErrorKind::NotFound)?;
        process.kill()?;
        process.wait()
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// When it does not run, or not end in time.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let asked_at = Instant::now();
        while asked_at.elapsed() < ENDING {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        self.kill()?;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} does not end", self.name())))
    }

    /// How it ended, if it did by itself.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let status = process.try_wait()?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// What it says of itself now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> io::Result<NodeStatus> {
        NodeStatus::ask(&self.control_socket())
    }

    /// Its answer to a request line: the exit code of the command line and what it prints.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, line: &str) -> io::Result<(u8, String)> {
        request(&self.control_socket(), line)
    }

    /// Waits until its status is as wanted, and says how long that took.
    ///
    /// # Errors
    /// When it is not so within `patience`, or the process ends; the message has its own reasons
    /// and last words.
    pub fn wait_until(
        &self,
        patience: Duration,
        is_wanted: impl Fn(&NodeStatus) -> bool,
    ) -> io::Result<Duration> {
        let since = Instant::now();
        loop {
            let status = self.status();
            if status.as_ref().is_ok_and(&is_wanted) {
                return Ok(since.elapsed());
            }
            if since.elapsed() > patience || self.has_ended() {
                let state = match status {
                    Ok(status) => status.reasons.join(", "),
                    Err(error) => error.to_string(),
                };
                let last = self.last_words();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{} ({state}): {last}", self.name()),
                ));
            }
            thread::sleep(POLL);
        }
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Whether its process is there no more, waited for or not.
    fn has_ended(&self) -> bool {
        let Some(pid) = self.process_id() else { return true };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the program's name, which is in parentheses.
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(4).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        send_signal(self.process_id().ok_or(io::ErrorKind::NotFound)?, signal)
    }

    /// A secret is in the file: nobody else may read it.
    fn write_configuration(&self) -> io::Result<()> {
        use std::io::Write;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let text = self.config.to_uci(&self.directory);
        options.open(self.configuration_file())?.write_all(text.as_bytes())
    }

    fn open_log(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).open(self.directory.join("log"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
