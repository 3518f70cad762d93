use std::path::PathBuf;

use crate::engine::slurm::error::SlurmError;

/// What can go wrong while an experiment is planned or run, with what a person needs to put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A file or folder could not be read, written, renamed or removed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be written; the reason names it.
    #[error(transparent)]
    NotWritten(std::io::Error),
    /// A file does not follow its format.
    #[error(transparent)]
    Format(#[from] htl_vocabulary::FormatError),
    /// The data folder is not usable.
    #[error(transparent)]
    Data(#[from] htl_datasets::DatasetError),
    /// A score table cannot be read, joined or written.
    #[error(transparent)]
    Scores(#[from] htl_mining::MiningError),
    /// The data folder is usable, but not for this experiment.
    #[error("{}: {reason}", folder.display())]
    UnfitData {
        /// The folder.
        folder: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// Images or masks of the data folder cannot be read.
    #[error("the data in {} are not usable as they are:\n{}", folder.display(), problems.join("\n"))]
    BrokenData {
        /// The folder.
        folder: PathBuf,
        /// All problems.
        problems: Vec<String>,
    },
    /// The data folder changed while the experiment ran.
    #[error(
        "{} changed while the experiment ran: what was being made of it was not kept; leave the data alone, or put them back, \
         and run the same command again",
        folder.display()
    )]
    DataChanged {
        /// The data folder.
        folder: PathBuf,
    },
    /// There is no profile of that name.
    #[error("no profile is called `{name}`; there are {}", known.join(", "))]
    NoSuchProfile {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A field of a profile makes no sense.
    #[error("profile `{profile}`: `{field}` must be {expected}, found {found}")]
    Profile {
        /// The profile.
        profile: String,
        /// The field.
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A profile file cannot be read.
    #[error("{}: {reason}", path.display())]
    ProfileFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A profile's fields make no sense together, or there is no such field.
    #[error("the profile: {reason}")]
    ProfileTable {
        /// What is wrong.
        reason: String,
    },
    /// The file of a campaign makes no sense.
    #[error("{}: {reason}", path.display())]
    Campaign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An option makes no sense.
    #[error("{option} {reason}")]
    Option {
        /// The option, as on the command line.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// `--only` names nothing.
    #[error(
        "--only {only}: there is no such part; there are {}, and beginnings of stages' names such as {example}",
        parts.join(", ")
    )]
    NoSuchPart {
        /// What was asked for.
        only: String,
        /// The parts there are.
        parts: Vec<String>,
        /// A stage's name.
        example: String,
    },
    /// The output folder cannot be used.
    #[error("cannot use the output folder {}: {source}; choose another with --out", out.display())]
    OutputFolder {
        /// The folder.
        out: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another run holds the output folder.
    #[error("another reproduce is running in {}: wait for it, or choose another folder with --out", out.display())]
    Busy {
        /// The folder.
        out: PathBuf,
    },
    /// There is no plan here, or one that this program cannot read.
    #[error("{}: {reason}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no stage of that name in the plan.
    #[error("the plan in {} has no stage `{name}`; {hint}", out.display())]
    NoSuchStage {
        /// The folder of the run.
        out: PathBuf,
        /// What was asked for.
        name: String,
        /// Names that come near.
        hint: String,
    },
    /// A stage has to wait for others.
    #[error("the stage `{name}` needs stages that are not finished: run {} first", missing.join(", "))]
    NotReady {
        /// The stage.
        name: String,
        /// What it needs.
        missing: Vec<String>,
    },
    /// A value that a stage needs is not what it should be.
    #[error("{}: {reason}", path.display())]
    Value {
        /// Where it was read.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program ended with a failure.
    #[error("{message}")]
    Child {
        /// What it said, where its log is and how to repeat it.
        message: String,
    },
    /// A stage failed.
    #[error(
        "the stage `{stage}` failed: {message}\nFinished stages are kept; the same command goes on from here. To start this \
         stage afresh, delete {}",
        partial.display()
    )]
    Stage {
        /// The stage.
        stage: String,
        /// Why.
        message: String,
        /// Its unfinished folder.
        partial: PathBuf,
    },
    /// The run was stopped before its end, by its time limit or by a signal.
    #[error("stopped {why}, {finished} of {stages} stages finished; run the same command again to go on")]
    Stopped {
        /// `at the limit`, `by a signal`.
        why: &'static str,
        /// Stages finished, by this run or before.
        finished: usize,
        /// Stages of the plan.
        stages: usize,
    },
    /// The jobs of a run were submitted and are not followed.
    #[error(
        "the jobs are in the queue and run by themselves{}; the same command without --detach follows them and makes the \
         report, `htl status --run {}` says how far they are",
        too_many(*missing), out.display()
    )]
    Detached {
        /// The folder of the run.
        out: PathBuf,
        /// Stages that Slurm did not take yet.
        missing: usize,
    },
    /// The Slurm engine.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
}

fn too_many(missing: usize) -> String {
    match missing {
        0 => String::new(),
        missing => format!(", but for {missing} stages that Slurm did not take yet, as too many are waiting"),
    }
}

/// For `map_err`: an I/O error with its path.
pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> ExperimentError {
    let path = path.into();
    move |source| ExperimentError::Io { path, action, source }
}
