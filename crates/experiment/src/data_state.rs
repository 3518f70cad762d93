//! Whether somebody wrote into a data folder, told without reading what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use htl_datasets::{DataFolder, sha256_bytes};
use htl_vocabulary::file;

use crate::ExperimentError;
use crate::data::data_sha256;

/// Names, sizes and times of the files of a data folder, as one hash: the same as long as nobody writes into it.
pub(crate) fn data_state(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = [file::METADATA, file::SPLITS, file::LABELLED]
        .map(|name| folder.join(name))
        .to_vec();
    for kind in [file::IMAGES_FOLDER, file::MASKS_FOLDER] {
        let entries = fs::read_dir(folder.join(kind)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()));
    }
    files.sort_unstable();
    let mut text = String::new();
    for path in files {
        // What cannot be looked at is not there.
        let Ok(about) = fs::metadata(&path) else { continue };
        let time = about
            .modified()
            .ok()
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        text += &format!("{} {} {:?}\n", path.display(), about.len(), time);
    }
    sha256_bytes(text.as_bytes())
}

/// The data that a plan was made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedData<'a> {
    pub folder: &'a Path,
    pub sha256: &'a str,
    /// [`data_state`] when the plan was made.
    pub state: &'a str,
}

impl PlannedData<'_> {
    /// What `work` makes of the data, if they are the planned ones and nobody writes into them meanwhile.
    ///
    /// # Errors
    /// [`ExperimentError::DataChanged`]; those of `work`.
    pub(crate) fn unchanged<T>(&self, work: impl FnOnce() -> Result<T, ExperimentError>) -> Result<T, ExperimentError> {
        let changed = || ExperimentError::DataChanged {
            folder: self.folder.into(),
        };
        let before = data_state(self.folder);
        // Files may have been touched, or copied to where they are: then their content decides.
        if before != self.state && data_sha256(&DataFolder::open(self.folder)?)? != self.sha256 {
            return Err(changed());
        }
        let made = work()?;
        match data_state(self.folder) == before {
            true => Ok(made),
            false => Err(changed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three images; the state is of names, sizes and times, so it is told from writing, whatever was written.
    #[test]
    fn writing_is_noticed_and_touching_forgiven() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        fs::create_dir(folder.join("images")).unwrap();
        let paint = |id: usize, red: u8| {
            let image = htl_datasets::RgbImage::from_pixel(8, 8, [red, 0, 0].into());
            image.save(folder.join(format!("images/i{id}.png"))).unwrap();
        };
        (0..4).for_each(|id| paint(id, 10));
        let sha256 = data_sha256(&DataFolder::open(folder).unwrap()).unwrap();
        let state = data_state(folder);
        let planned = PlannedData {
            folder,
            sha256: &sha256,
            state: &state,
        };
        planned.unchanged(|| Ok(())).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        paint(1, 10);
        assert_ne!(data_state(folder), state);
        planned.unchanged(|| Ok(())).unwrap();
        paint(1, 200);
        assert!(matches!(
            planned.unchanged(|| Ok(())),
            Err(ExperimentError::DataChanged { .. })
        ));
        // Changed and put back while something was made of it.
        paint(1, 10);
        let during = planned.unchanged(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            paint(1, 200);
            paint(1, 10);
            Ok(())
        });
        assert!(matches!(during, Err(ExperimentError::DataChanged { .. })));
    }
}
