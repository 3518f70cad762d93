//! `htl report`: the numbers of a run, and the page that shows them.

mod gallery;
mod photo;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, Manifest};
use htl_report::{PanelMaker, Report};
use htl_vocabulary::{RunFile, file, lock_file};

use self::gallery::OutOfFold;

/// How long another report is waited for; a page takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// `htl report`.
#[derive(Args)]
pub struct ReportCommand {
    /// The folder of a run: `--out` of `htl reproduce`
    #[arg(long)]
    run: PathBuf,
}

impl ReportCommand {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let root = &self.run;
        let is_run = || format!("is {} the --out folder of a finished `htl reproduce`?", root.display());
        // Before anything is written there; and again when no other report can be writing.
        RunFile::read(root).with_context(is_run)?;
        let path = root.join(file::REPORT_LOCK);
        let lock = lock_file(&path, PATIENCE).with_context(|| format!("cannot write {}", path.display()))?;
        let _alone = lock.with_context(|| {
            format!(
                "another `htl report` is writing in {}: wait for it or end it, then call this again",
                root.display()
            )
        })?;
        let run = RunFile::read(root).with_context(is_run)?;
        let mut report = Report::of_run(&run, root)?;
        report.results.write(&root.join(file::RESULTS))?;

        let data_path = match root.join(&run.data) {
            inside if inside.exists() => inside,
            _ => PathBuf::from(&run.data),
        };
        let data = DataFolder::open(&data_path)?;
        let panels = PanelMaker::with_cache(root.join(file::PANELS_FOLDER));
        let out_of_fold = OutOfFold::read(&run, root)?;
        report.gallery = out_of_fold.hardest(&data, &panels)?;
        report.suspects = out_of_fold.suspects(&data, &panels)?;
        report.failures = gallery::failures(&run, root, &data, &panels)?;
        report.examples = gallery::examples(&run, root, &data, device, &panels)?;
        report.attribution = attribution(&data_path);
        let page = root.join(file::REPORT);
        report.write(&page)?;
        panels.delete_unused()?;
        eprintln!("{}", page.display());
        Ok(())
    }
}

/// Licence and attribution from the data folder's manifest, where it has one.
fn attribution(data: &Path) -> Vec<String> {
    let mut lines = match Manifest::read(&data.join(file::MANIFEST)) {
        Ok(manifest) => vec![format!(
            "Images and masks: {}. {}",
            manifest.licence, manifest.attribution
        )],
        Err(_) => vec!["Images and masks: see the licence of your data.".to_owned()],
    };
    lines.push("Code: MIT OR Apache-2.0.".to_owned());
    lines
}
