use super::failure::Failures;
use std::path::PathBuf;

/// Why the Slurm engine could not do what it was asked for. Finished stages are kept in every case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlurmError {
    /// A program of Slurm is not there.
    #[error(
        "there is no `{program}` on this machine: run on a login node of the cluster, load its Slurm module, or use \
         `--engine local`"
    )]
    NotInstalled {
        /// `sbatch`, `squeue`, `scancel` or `scontrol`.
        program: &'static str,
    },
    /// The controller does not answer.
    #[error(
        "Slurm's controller does not answer ({said}): see `scontrol ping`, wait for it, then run the same command again; \
         jobs that are in the queue stay there"
    )]
    ControllerDown {
        /// Slurm's words.
        said: String,
    },
    /// Slurm takes no such job.
    #[error(
        "Slurm refuses the job for {stages}: {said}\nThe job was submitted with: {options}\nChange what it asks for with \
         `--slurm-option`"
    )]
    Refused {
        /// The stages of the job, in words.
        stages: String,
        /// Slurm's words.
        said: String,
        /// The options of `sbatch`.
        options: String,
    },
    /// A command of Slurm failed in another way.
    #[error("`{command}` failed: {said}")]
    Command {
        /// The program and its first argument.
        command: String,
        /// What it said.
        said: String,
    },
    /// An answer of a Slurm command cannot be read.
    #[error("`{command}` answered `{found}`, expected {expected}: is this a version of Slurm from before 20.11?")]
    Answer {
        /// The program.
        command: &'static str,
        /// The line in question.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// An option for `sbatch` that cannot be passed on.
    #[error("--slurm-option `{option}`: {why}")]
    Option {
        /// The option as given.
        option: String,
        /// What is wrong with it.
        why: String,
    },
    /// No job of the run can start, for a reason that may pass.
    #[error(
        "no job of this run can start: Slurm says {reason} ({meaning}). The {waiting} jobs stay in the queue and start when \
         that ends; the same command then follows them, and `scancel {jobs}` takes them out of the queue"
    )]
    Stuck {
        /// Slurm's reason.
        reason: String,
        /// The reason in words.
        meaning: &'static str,
        /// Jobs of the run in the queue.
        waiting: usize,
        /// Their numbers, for a command line.
        jobs: String,
    },
    /// Some stages failed; all that do not need them have been run.
    #[error("{0}")]
    Stages(Box<Failures>),
    /// The stages are no plan.
    #[error("stage `{stage}` needs a stage that does not come before it: the plan is damaged, delete plan.json")]
    Order {
        /// Name of the stage.
        stage: String,
    },
    /// A file of the run cannot be read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read`, `write`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}
