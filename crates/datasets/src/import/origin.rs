//! Where data come from, as far as this program knows the forms they have.

use crate::{CatalogueEntry, catalogue};

/// The form of data to be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// ISIC 2016, Part 1.
    Isic2016,
    /// ISIC 2017, Parts 1 and 3.
    Isic2017,
    /// ISIC 2018, Task 1.
    Isic2018,
    /// HAM10000.
    Ham10000,
    /// PH2.
    Ph2,
    /// Photographs and annotations in COCO's format.
    Coco,
    /// Photographs, masks and tables in folders of any arrangement.
    Folder,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Isic2016,
        Self::Isic2017,
        Self::Isic2018,
        Self::Ham10000,
        Self::Ph2,
        Self::Coco,
        Self::Folder,
    ];

    /// Its word in commands; that of the catalogue, where it is there.
    pub fn name(self) -> &'static str {
        match self {
            Self::Isic2016 => "isic2016",
            Self::Isic2017 => "isic2017",
            Self::Isic2018 => "isic2018",
            Self::Ham10000 => "ham10000",
            Self::Ph2 => "ph2",
            Self::Coco => "coco",
            Self::Folder => "folder",
        }
    }

    /// The origin of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.name() == name)
    }

    /// What the catalogue says of it.
    pub fn published(self) -> Option<&'static CatalogueEntry> {
        catalogue().iter().find(|entry| entry.name == self.name())
    }
}
