//! What a stage asks Slurm for: processors by default, anything else by `--slurm-option`.

use super::SlurmError;
use crate::plan::Kind;
use std::str::FromStr;

/// Processors of a job, where no option says otherwise.
fn cpus(kind: Kind) -> u32 {
    match kind {
        Kind::Train | Kind::Sparsity => 4,
        Kind::Prune | Kind::Mine | Kind::Query | Kind::Evaluate | Kind::Analyze => 2,
        Kind::Prepare => 1,
    }
}

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
    kind: Option<Kind>,
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
        let named = |name: &str| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            kind.ok_or_else(|| {
                let known = Kind::ALL.map(Kind::name).join(", ");
                wrong(format!("no stage is of the kind `{name}`; there are {known}"))
            })
        };
        let kind = kind.map(named).transpose()?;
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
        Ok(Self { kind, words })
    }
}

/// What the stages of a run ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    options: Vec<SlurmOption>,
}

impl Resources {
    /// The defaults and these options on top; of two that say different things the later one holds.
    pub fn new(options: Vec<SlurmOption>) -> Self {
        Self { options }
    }

    /// The options of `sbatch` for a kind of stage. Those for every stage come before those for the kind.
    pub(super) fn of(&self, kind: Kind) -> Vec<String> {
        let mut words = vec![format!("--cpus-per-task={}", cpus(kind))];
        for wanted in [None, Some(kind)] {
            let options = self.options.iter().filter(|option| option.kind == wanted);
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
        let resources = Resources::new(options.to_vec());
        let train = [
            "--cpus-per-task=4",
            "--partition",
            "long",
            "-A",
            "skin",
            "--cpus-per-task=8",
            "--gres=gpu:1",
        ];
        assert_eq!(resources.of(Kind::Train), train);
        let prune = [
            "--cpus-per-task=2",
            "--partition",
            "long",
            "-A",
            "skin",
            "--cpus-per-task=8",
        ];
        assert_eq!(resources.of(Kind::Prune), prune);
    }

    #[test]
    fn wrong_options_are_named() {
        for (text, part) in [
            ("partition=gpu", "--partition=gpu"),
            ("", "sbatch"),
            ("--", "sbatch"),
            (":--mem=1G", "kind ``"),
            ("tarin:--mem=4G", "prepare, train"),
            ("--array=1-3", "itself"),
            ("train:--dependency=singleton", "itself"),
            ("-J name", "itself"),
        ] {
            let error = text.parse::<SlurmOption>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{text}: {error}");
        }
    }
}
