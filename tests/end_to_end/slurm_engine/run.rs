//! A run of stages for a test, and what it said.

use htl_experiment::engine::slurm::{
    Client, Event, Outcome, Pace, Resources, Settings, SlurmError, SlurmStage, Standing, Supervisor, Why, Wish, run,
    status,
};
use htl_experiment::plan::Kind;
use htl_tests::must;
use htl_tests::slurm::{Cluster, until};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// What is done at each look, with the stages that run; what it returns is wished from then on.
type Act = Box<dyn FnMut(&BTreeSet<usize>) -> Option<Wish>>;

/// A run of some stages.
pub struct Run {
    pub folder: tempfile::TempDir,
    pub client: Client,
    pub stages: Vec<SlurmStage>,
    pub options: Vec<String>,
    pace: Pace,
}

impl Run {
    pub fn new(cluster: &Cluster) -> Self {
        let folder = must(tempfile::Builder::new().prefix("100% of ").tempdir());
        for name in ["do", "starts", "out/do", "out/starts"] {
            must(fs::create_dir_all(folder.path().join(name)));
        }
        let htl = folder.path().join("htl");
        must(fs::write(&htl, include_str!("htl.sh")));
        must(fs::set_permissions(&htl, fs::Permissions::from_mode(0o755)));
        Self {
            folder,
            client: Client::default().variable("SLURM_CONF", cluster.conf()),
            stages: Vec::new(),
            options: vec!["--cpus-per-task=1".into()],
            pace: Pace {
                poll: Duration::from_millis(300),
                storage: Duration::from_secs(3),
                hopeless: Duration::from_secs(1),
                stuck: Duration::from_secs(2),
                controller: Duration::from_secs(60),
                cancel: Duration::from_secs(30),
            },
        }
    }

    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Adds a stage, which does something of its own before its end.
    pub fn add(&mut self, kind: Kind, id: &str, needs: &[usize], does: &str) -> usize {
        let checks: String = needs
            .iter()
            .map(|need| format!("[ -e \"$out/{}/stage.json\" ] || exit 9\n", self.stages[*need].folder))
            .collect();
        self.does(id, &format!("{checks}{does}"));
        self.stages.push(SlurmStage {
            name: id.into(),
            folder: format!("stages/{id}"),
            kind,
            needs: needs.to_vec(),
        });
        self.stages.len() - 1
    }

    pub fn does(&self, id: &str, what: &str) {
        must(fs::write(self.out().join("do").join(id), what));
    }

    /// The nodes on which a stage was started, in order.
    pub fn starts(&self, id: &str) -> Vec<String> {
        let text = fs::read_to_string(self.out().join("starts").join(id)).unwrap_or_default();
        text.lines().map(Into::into).collect()
    }

    pub fn settings(&self) -> Settings {
        let options = self.options.iter().map(|option| must(option.parse())).collect();
        Settings {
            client: self.client.clone(),
            out: self.out(),
            command: vec![
                self.folder.path().join("htl").display().to_string(),
                "--device".into(),
                "cpu".into(),
            ],
            resources: Resources::new(options),
            pace: self.pace,
        }
    }

    pub fn run(&self, heard: &mut Heard) -> Result<Outcome, SlurmError> {
        run(&self.stages, &self.settings(), heard)
    }

    pub fn finishes(&self) -> Heard {
        let mut heard = Heard::default();
        assert_eq!(must(self.run(&mut heard)), Outcome::Finished);
        heard
    }

    /// Waits until no job of the run is in the queue: Slurm tidies up after the last one for a moment.
    pub fn leaves_the_queue(&self, cluster: &Cluster) {
        until("an empty queue", || {
            let left = cluster.ask("squeue", &["--me", "--noheader", "--format=%Z"]);
            !left.contains(&self.out().display().to_string())
        });
    }

    pub fn standing(&self) -> Vec<Standing> {
        must(status(&self.client, &self.out(), &self.stages))
    }
}

/// What a run said, and what is done about it.
#[derive(Default)]
pub struct Heard {
    /// Stages by job.
    pub submitted: Vec<(String, Vec<usize>)>,
    pub adopted: usize,
    /// Done the first time that the controller does not answer.
    pub when_silent: Option<Box<dyn FnOnce()>>,
    running: BTreeSet<usize>,
    wish: Option<Wish>,
    act: Option<Act>,
}

impl Heard {
    pub fn acting(act: impl FnMut(&BTreeSet<usize>) -> Option<Wish> + 'static) -> Self {
        Self {
            act: Some(Box::new(act)),
            ..Self::default()
        }
    }

    /// The stages that were submitted, in order.
    pub fn stages(&self) -> Vec<usize> {
        let mut stages: Vec<usize> = self.submitted.iter().flat_map(|(_, stages)| stages.clone()).collect();
        stages.sort_unstable();
        stages
    }
}

impl Supervisor for Heard {
    fn event(&mut self, event: Event) {
        match event {
            Event::Begins { adopted, .. } => self.adopted = adopted,
            Event::Submitted { job, stages } => self.submitted.push((job.into(), stages.to_vec())),
            Event::Silent(_) => {
                if let Some(act) = self.when_silent.take() {
                    act();
                }
            }
            Event::Looked(snapshot) => {
                self.running = snapshot.running.iter().copied().collect();
                if let Some(act) = &mut self.act
                    && let Some(wish) = act(&self.running)
                {
                    self.wish = Some(wish);
                }
            }
            _ => {}
        }
    }

    fn wish(&mut self) -> Wish {
        self.wish.unwrap_or(Wish::GoOn)
    }
}

/// Does something at the first look at which all these stages run.
pub fn once_running(
    stages: &[usize],
    mut act: impl FnMut() -> Option<Wish> + 'static,
) -> impl FnMut(&BTreeSet<usize>) -> Option<Wish> + 'static {
    let mut waiting = Some(stages.to_vec());
    move |running| {
        let all = waiting.as_ref()?.iter().all(|stage| running.contains(stage));
        if !all {
            return None;
        }
        waiting = None;
        act()
    }
}

pub fn failures(result: Result<Outcome, SlurmError>) -> (String, Vec<(String, Why)>, usize) {
    match result {
        Err(SlurmError::Stages(failures)) => (
            failures.to_string(),
            failures
                .failed
                .iter()
                .map(|failure| (failure.stage.clone(), failure.why.clone()))
                .collect(),
            failures.dropped,
        ),
        other => panic!("no stage failed: {other:?}"),
    }
}
