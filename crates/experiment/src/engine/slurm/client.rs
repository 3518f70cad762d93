//! The commands of Slurm that the engine uses: `sbatch`, `squeue`, `scontrol show job`, `scancel`.

use super::SlurmError;
use super::queue::{QUEUE_FORMAT, QueueEntry};
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Variables of a run on one machine that must not reach a job: there, nobody holds the other end of standard input or
/// reads progress lines, and Slurm says how many threads there are.
const NOT_FOR_JOBS: [&str; 3] = ["HTL_EXIT_WITH_PARENT", "HTL_PROGRESS", "RAYON_NUM_THREADS"];

/// Jobs named in one command line; more go into the next.
const JOBS_PER_COMMAND: usize = 500;

/// Calls the commands of the Slurm that is installed here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    programs: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
}

impl Client {
    /// Uses the programs of a folder, not those on the `PATH`.
    pub fn programs_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs = Some(folder.into());
        self
    }

    /// Sets an environment variable for every command, such as `SLURM_CONF`.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Hands a job script to `sbatch` and returns the job's number.
    ///
    /// # Errors
    /// [`SlurmError::Refused`] with Slurm's words when it does not take the job; `stages` says which in the message.
    pub fn submit(&self, script: &str, options: &[String], stages: &str) -> Result<String, SlurmError> {
        let mut command = self.command("sbatch");
        command.arg("--parsable").args(options);
        let output = run("sbatch", &mut command, script)?;
        let said = words(&output);
        if !output.status.success() {
            return Err(classify(&said).unwrap_or_else(|| SlurmError::Refused {
                stages: stages.into(),
                said,
                options: options.join(" "),
            }));
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        // `123` or `123;cluster`; a site's script may have said something before.
        let number = answer.trim().lines().last().unwrap_or_default();
        let number = number.split(';').next().unwrap_or_default();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SlurmError::Answer {
                command: "sbatch",
                found: answer.trim().into(),
                expected: "the number of a job",
            });
        }
        Ok(number.into())
    }

    /// Our own jobs that Slurm remembers, one entry per task of an array, ended ones too for as long as Slurm keeps them
    /// (`MinJobAge`, five minutes by default).
    pub fn queue(&self) -> Result<Vec<QueueEntry>, SlurmError> {
        let format = format!("--format={QUEUE_FORMAT}");
        let answer = self.ask(
            "squeue",
            &["--me", "--noheader", "--array", "--states=all", format.as_str()],
        )?;
        answer.lines().map(QueueEntry::parse).collect()
    }

    /// A field of a job as `scontrol show job` has it, such as `ExitCode`; nothing when Slurm has forgotten the job.
    pub fn field(&self, job: &str, name: &str) -> Result<Option<String>, SlurmError> {
        let answer = match self.ask("scontrol", &["show", "job", "--oneliner", job]) {
            Ok(answer) => answer,
            Err(SlurmError::Command { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut fields = answer.split_whitespace().filter_map(|word| word.split_once('='));
        Ok(fields.find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    /// Cancels jobs; those that have ended are left as they are.
    pub fn cancel(&self, jobs: &[String]) -> Result<(), SlurmError> {
        for jobs in jobs.chunks(JOBS_PER_COMMAND) {
            let mut args = vec!["--quiet"];
            args.extend(jobs.iter().map(String::as_str));
            self.ask("scancel", &args)?;
        }
        Ok(())
    }

    fn ask(&self, program: &'static str, args: &[&str]) -> Result<String, SlurmError> {
        let output = run(program, self.command(program).args(args), "")?;
        if !output.status.success() {
            let said = words(&output);
            return Err(classify(&said).unwrap_or_else(|| SlurmError::Command {
                command: [program]
                    .iter()
                    .chain(args.first())
                    .copied()
                    .collect::<Vec<_>>()
                    .join(" "),
                said,
            }));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &str) -> Command {
        let path = match &self.programs {
            Some(folder) => folder.join(program),
            None => PathBuf::from(program),
        };
        let mut command = Command::new(path);
        for name in NOT_FOR_JOBS {
            command.env_remove(name);
        }
        // Messages are searched for words.
        command.env("LC_ALL", "C");
        command.envs(
            self.variables
                .iter()
                .map(|(name, value)| (OsStr::new(name), OsStr::new(value))),
        );
        command
    }
}

fn run(program: &'static str, command: &mut Command, input: &str) -> Result<Output, SlurmError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => SlurmError::NotInstalled { program },
        _ => SlurmError::Command {
            command: program.into(),
            said: error.to_string(),
        },
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why by itself.
        stdin.write_all(input.as_bytes()).ok();
    }
    child.wait_with_output().map_err(failed)
}

/// What a command said on standard error, in one line and without the name of the program before each.
fn words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(|line| {
        let line = line.trim();
        ["sbatch: ", "squeue: ", "scancel: ", "scontrol: ", "error: ", "fatal: "]
            .iter()
            .fold(line, |line, prefix| line.strip_prefix(prefix).unwrap_or(line))
    });
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return format!("it ended with {} and said nothing", output.status);
    }
    lines.join("; ")
}

/// A message that means the same whichever command says it.
fn classify(said: &str) -> Option<SlurmError> {
    const SILENT: [&str; 6] = [
        "Unable to contact slurm controller",
        "Could not establish a configuration source",
        "Unable to establish configuration source",
        "Socket timed out",
        "Zero Bytes were transmitted",
        "Slurm backup controller in standby mode",
    ];
    SILENT
        .iter()
        .any(|words| said.contains(words))
        .then(|| SlurmError::ControllerDown { said: said.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_slurm_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::default().programs_in(folder.path());
        for error in [
            client.submit("#!/bin/sh\n", &[], "a").unwrap_err(),
            client.queue().unwrap_err(),
            client.cancel(&["1".into()]).unwrap_err(),
        ] {
            assert!(matches!(error, SlurmError::NotInstalled { .. }), "{error:?}");
            assert!(error.to_string().contains("--engine local"), "{error}");
        }
    }

    #[test]
    fn a_silent_controller_is_told_from_a_refusal() {
        let silent = "Batch job submission failed: Unable to contact slurm controller (connect failure)";
        assert!(matches!(classify(silent), Some(SlurmError::ControllerDown { .. })));
        assert!(classify("Batch job submission failed: Invalid partition name specified").is_none());
    }
}
