//! Small data folders for tests.
#![allow(dead_code)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use htl_datasets::{GrayImage, RgbImage};
use image::{Luma, Rgb};

pub const HEADER: &str = "image_id,split,age_approx,sex,anatom_site,dx";

/// A folder that is deleted when dropped.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Images and masks for the ids, and `metadata.csv` with these rows under the usual header.
    pub fn new(ids: &[&str], rows: &[&str]) -> Self {
        let folder = Self::without_table(ids);
        folder.table(HEADER, rows);
        folder
    }

    /// Images and masks only.
    pub fn without_table(ids: &[&str]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path("images")).unwrap();
        fs::create_dir(folder.path("masks")).unwrap();
        for id in ids {
            picture(12, 8).save(folder.path(&format!("images/{id}.png"))).unwrap();
            disc(12, 8).save(folder.path(&format!("masks/{id}.png"))).unwrap();
        }
        folder
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn table(&self, header: &str, rows: &[&str]) {
        fs::write(self.path("metadata.csv"), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    }

    /// What opening says.
    pub fn problem(&self) -> String {
        htl_datasets::DataFolder::open(self.root()).unwrap_err().to_string()
    }
}

pub fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 20) as u8, (y * 30) as u8, 100]))
}

pub fn disc(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (
            f64::from(x) - f64::from(width) / 2.,
            f64::from(y) - f64::from(height) / 2.,
        );
        Luma([if dx * dx + dy * dy < 9. { 255 } else { 0 }])
    })
}

pub const GOOD: [&str; 4] = [
    "a,train,40,male,back,nv",
    "b,val,,,,",
    "c,test,55.5,female,,mel",
    "d,train,0,unknown,,nv",
];

pub fn good() -> Folder {
    Folder::new(&["a", "b", "c", "d"], &GOOD)
}

/// Every part must be in the message.
pub fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}
