//! The script that Slurm runs for every task of a job.

use super::record;
use std::path::Path;

/// Exit code of a stage that saved its state as it was told to stop, and is to be started again.
pub(super) const AGAIN: i32 = 75;
/// Exit code of the script where a node does not see the folder of the run.
pub(super) const NO_FOLDER: i32 = 66;
/// Exit code of the script where a node does not see the program.
pub(super) const NO_PROGRAM: i32 = 69;

/// Starts of one job after the first; a training that never gets to save anything must not go round for ever.
const MOST_RESTARTS: u32 = 100;

/// One stage, by task number.
pub(super) struct Task<'a> {
    pub number: usize,
    /// What `htl stage` is given.
    pub id: &'a str,
    /// Name of the stage's folder.
    pub folder_name: &'a str,
}

/// The script; `command` is `htl` and what comes before `stage`, such as the device.
pub(super) fn script(out: &Path, run: &str, command: &[String], tasks: &[Task]) -> String {
    let cases: String = tasks
        .iter()
        .map(|task| {
            format!(
                "{}) stage={} name={} ;;\n",
                task.number,
                quote(task.id),
                quote(task.folder_name)
            )
        })
        .collect();
    let program = command.first().map_or("", String::as_str);
    let words: Vec<String> = command.iter().map(|word| quote(word)).collect();
    let template = include_str!("job.sh");
    [
        ("@OUT@", quote(&out.to_string_lossy())),
        ("@RUN@", quote(run)),
        ("@RUN_FILE@", record::RUN_FILE.into()),
        ("@ENDED@", record::ENDED.into()),
        ("@PROGRAM@", quote(program)),
        ("@COMMAND@", words.join(" ")),
        ("@AGAIN@", AGAIN.to_string()),
        ("@NO_FOLDER@", NO_FOLDER.to_string()),
        ("@NO_PROGRAM@", NO_PROGRAM.to_string()),
        ("@MOST_RESTARTS@", MOST_RESTARTS.to_string()),
        // Last: what a task is called must not be taken for a blank to fill.
        ("@CASES@", cases),
    ]
    .iter()
    .fold(template.to_string(), |text, (blank, value)| text.replace(blank, value))
}

/// A word as a shell reads it.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Output};

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        /// A run's folder with a name that a shell could misread, and a stand-in for `htl`.
        fn new(htl: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = Self { folder };
            fs::create_dir_all(place.out().join("slurm/ended")).unwrap();
            fs::write(place.out().join("slurm/run"), "r1\n").unwrap();
            fs::write(place.htl(), format!("#!/bin/sh\n{htl}\n")).unwrap();
            fs::set_permissions(place.htl(), fs::Permissions::from_mode(0o755)).unwrap();
            place
        }
        fn out(&self) -> std::path::PathBuf {
            self.folder.path().join("it's $HOME")
        }
        fn htl(&self) -> std::path::PathBuf {
            self.folder.path().join("htl")
        }
        fn run(&self, run: &str, task: &str) -> Output {
            let command = [
                self.htl().to_string_lossy().into_owned(),
                "--device".into(),
                "c p u".into(),
            ];
            let tasks = [("a-1", 0), ("b-2", 3)].map(|(id, number)| Task {
                number,
                id,
                folder_name: id,
            });
            let text = script(&self.out(), run, &command, &tasks);
            assert!(!text.contains('@'), "a blank was left in\n{text}");
            Command::new("sh")
                .args(["-c", &text])
                .env("SLURM_JOB_ID", "7")
                .env("SLURM_CPUS_PER_TASK", "3")
                .env("SLURM_ARRAY_JOB_ID", "7")
                .env("SLURM_ARRAY_TASK_ID", task)
                .output()
                .unwrap()
        }
    }

    #[test]
    fn a_task_runs_its_stage() {
        let place = Place::new("printf '<%s>' \"$@\"");
        let output = place.run("r1", "3");
        let said = String::from_utf8_lossy(&output.stdout);
        let expected = format!(
            "<--device><c p u><stage><b-2><--run><{}><--threads><3>",
            place.out().display()
        );
        assert_eq!(said, expected, "{output:?}");
        assert!(output.status.success());
        assert!(!place.out().join("slurm/ended/b-2").exists());
    }

    #[test]
    fn a_failure_leaves_its_exit_code() {
        let place = Place::new("exit 3");
        assert_eq!(place.run("r1", "0").status.code(), Some(3));
        let ended = fs::read_to_string(place.out().join("slurm/ended/a-1")).unwrap();
        let ended: record::Ended = serde_json::from_str(&ended).unwrap();
        assert_eq!((ended.exit, ended.job.as_str()), (Some(3), "7_0"));
    }

    /// Another run's folder, no folder, no program: codes of their own, and nothing is run.
    #[test]
    fn a_node_that_sees_something_else_says_so() {
        let place = Place::new("echo never >&2");
        let output = place.run("r2", "0");
        assert_eq!(output.status.code(), Some(NO_FOLDER));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("does not see") && !said.contains("never"), "{said}");
        fs::remove_file(place.htl()).unwrap();
        assert_eq!(place.run("r1", "0").status.code(), Some(NO_PROGRAM));
        fs::remove_dir_all(place.out()).unwrap();
        assert_eq!(place.run("r1", "0").status.code(), Some(NO_FOLDER));
    }
}
