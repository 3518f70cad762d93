//! What a stage asks Slurm for: processors by default, anything else by `--slurm-option`.

use super::SlurmError;
use std::str::FromStr;

/// Processors of a job, for kinds of stages that no option says otherwise for.
const CPUS_OF_TRAINING: u32 = 4;
const CPUS_OF_OTHERS: u32 = 2;

/// Options of `sbatch` that the engine needs for itself.
const RESERVED: [&str; 18] = [
    "array",
    "dependency",
    "output",
    "error",
    "input",
    "job-name",
    "chdir",
    "open-mode",
    "parsable",
    "wrap",
    "wait",
    "signal",
    "requeue",
    "no-requeue",
    "kill-on-invalid-dep",
    "test-only",
    "ntasks",
    "nodes",
];
const RESERVED_SHORT: &str = "adoeiJDWnN";

/// One option for `sbatch`, for every stage or for one kind of stage.
///
/// As text it is the option, `--partition=gpu`, or the kind before it, `train:--gres=gpu:1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmOption {
    kind: Option<String>,
    words: Vec<String>,
}

impl FromStr for SlurmOption {
    type Err = SlurmError;

    fn from_str(text: &str) -> Result<Self, SlurmError> {
        let wrong = |why: String| SlurmError::Option {
            option: text.into(),
            why,
        };
        let (kind, option) = match text.split_once(':') {
            Some((kind, option)) if !kind.starts_with('-') => (Some(kind.trim()), option),
            _ => (None, text),
        };
        let option = option.trim();
        if !option.starts_with('-') || option.trim_start_matches('-').is_empty() {
            return Err(wrong(
                "expected an option of sbatch such as --partition=gpu, or a kind of stage before it as in \
                 train:--gres=gpu:1"
                    .into(),
            ));
        }
        if kind.is_some_and(str::is_empty) {
            return Err(wrong("which kind of stage? expected KIND:OPTION".into()));
        }
        let words: Vec<String> = match option.split_once(char::is_whitespace) {
            Some((name, value)) => vec![name.into(), value.trim().into()],
            None => vec![option.into()],
        };
        let name = words.first().map_or("", String::as_str);
        let reserved = match name.strip_prefix("--") {
            // sbatch takes any beginning of a name that is its only one; whole names are what people write.
            Some(long) => RESERVED.contains(&long.split('=').next().unwrap_or_default()),
            None => name
                .chars()
                .nth(1)
                .is_some_and(|letter| RESERVED_SHORT.contains(letter)),
        };
        if reserved {
            return Err(wrong("the engine sets this one itself".into()));
        }
        Ok(Self {
            kind: kind.map(Into::into),
            words,
        })
    }
}

/// What the stages of a run ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    options: Vec<SlurmOption>,
}

impl Resources {
    /// The defaults and these options on top; of two that say different things the later one holds.
    ///
    /// # Errors
    /// [`SlurmError::Option`] for an option of a kind that is not among `kinds`.
    pub fn new(options: Vec<SlurmOption>, kinds: &[&str]) -> Result<Self, SlurmError> {
        for option in &options {
            if let Some(kind) = &option.kind
                && !kinds.contains(&kind.as_str())
            {
                return Err(SlurmError::Option {
                    option: format!("{kind}:{}", option.words.join(" ")),
                    why: format!("no stage is of the kind `{kind}`; there are {}", kinds.join(", ")),
                });
            }
        }
        Ok(Self { options })
    }

    /// The options of `sbatch` for a kind of stage. Those for every stage come before those for the kind.
    pub(super) fn of(&self, kind: &str, trains: bool) -> Vec<String> {
        let cpus = if trains { CPUS_OF_TRAINING } else { CPUS_OF_OTHERS };
        let mut words = vec![format!("--cpus-per-task={cpus}")];
        for wanted in [None, Some(kind)] {
            let options = self.options.iter().filter(|option| option.kind.as_deref() == wanted);
            words.extend(options.flat_map(|option| option.words.iter().cloned()));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(text: &str) -> SlurmOption {
        text.parse().unwrap()
    }

    #[test]
    fn options_of_a_kind_come_last() {
        let options = ["train:--gres=gpu:1", "--partition long", "-A skin", "--cpus-per-task=8"].map(option);
        let resources = Resources::new(options.to_vec(), &["train", "prune"]).unwrap();
        let train = [
            "--cpus-per-task=4",
            "--partition",
            "long",
            "-A",
            "skin",
            "--cpus-per-task=8",
            "--gres=gpu:1",
        ];
        assert_eq!(resources.of("train", true), train);
        let prune = [
            "--cpus-per-task=2",
            "--partition",
            "long",
            "-A",
            "skin",
            "--cpus-per-task=8",
        ];
        assert_eq!(resources.of("prune", false), prune);
    }

    #[test]
    fn wrong_options_are_named() {
        for (text, part) in [
            ("partition=gpu", "--partition=gpu"),
            ("", "sbatch"),
            ("--", "sbatch"),
            (":--mem=1G", "KIND"),
            ("--array=1-3", "itself"),
            ("train:--dependency=singleton", "itself"),
            ("-J name", "itself"),
        ] {
            let error = text.parse::<SlurmOption>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{text}: {error}");
        }
        let error = Resources::new(vec![option("tarin:--mem=4G")], &["train", "mine"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tarin:--mem=4G") && error.contains("train, mine"),
            "{error}"
        );
    }
}
