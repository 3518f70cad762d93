use serde::Serialize;

/// How one gets a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It is in this repository.
    Embedded,
    /// `fetch` (with the feature of that name) brings its files.
    Download,
    /// The publisher wants a visit (a form, a click on terms); then put the files where you like.
    Manual,
}

/// A public data set of lesion images with masks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogueEntry {
    /// Short name, for commands.
    pub name: &'static str,
    /// What it holds.
    pub description: &'static str,
    /// The publisher's page.
    pub page: &'static str,
    /// How to get it.
    pub access: Access,
    /// Licence as the publisher states it, or how sure it is.
    pub licence: &'static str,
    /// What to cite.
    pub citation: &'static str,
    /// The files, if they can be downloaded.
    pub files: &'static [CatalogueFile],
}

/// One file to download. Publishers state no checksums: `fetch` reports what it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CatalogueFile {
    /// The address.
    pub url: &'static str,
    /// The name to store it under.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
}

macro_rules! isic {
    ($year:literal: $($name:literal => $what:literal),* $(,)?) => {
        &[$(CatalogueFile {
            url: concat!("https://isic-challenge-data.s3.amazonaws.com/", $year, "/", $name),
            name: $name,
            what: $what,
        }),*]
    };
}

macro_rules! dataverse {
    ($($file:literal, $name:literal => $what:literal),* $(,)?) => {
        &[$(CatalogueFile {
            url: concat!("https://dataverse.harvard.edu/api/access/datafile/", $file),
            name: $name,
            what: $what,
        }),*]
    };
}

/// The data sets we know of.
pub fn catalogue() -> &'static [CatalogueEntry] {
    const ENTRIES: &[CatalogueEntry] = &[
        CatalogueEntry {
            name: "embedded",
            description: "400 pairs of ISIC 2018 Task 1 at 128 px (240 train, 40 val, 120 test), in data-manifest/embedded",
            page: "https://challenge.isic-archive.com/data/",
            access: Access::Embedded,
            licence: "CC-0 1.0",
            citation: "Codella et al., Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv:1902.03368; Codella et \
                       al., arXiv:1710.05006",
            files: &[],
        },
        CatalogueEntry {
            name: "isic2016",
            description: "ISIC 2016 Part 1: 900 training and 379 test images with lesion masks",
            page: "https://challenge.isic-archive.com/data/#2016",
            access: Access::Download,
            licence: "CC-0 1.0",
            citation: "Gutman et al., Skin Lesion Analysis toward Melanoma Detection, arXiv:1605.01397",
            files: isic! { "2016":
                "ISBI2016_ISIC_Part1_Training_Data.zip" => "training images",
                "ISBI2016_ISIC_Part1_Training_GroundTruth.zip" => "training masks",
                "ISBI2016_ISIC_Part1_Test_Data.zip" => "test images",
                "ISBI2016_ISIC_Part1_Test_GroundTruth.zip" => "test masks",
            },
        },
        CatalogueEntry {
            name: "isic2017",
            description: "ISIC 2017 Part 1 and 3: 2,000 training, 150 validation and 600 test images with masks and diagnosis",
            page: "https://challenge.isic-archive.com/data/#2017",
            access: Access::Download,
            licence: "CC-0 1.0",
            citation: "Codella et al., Skin Lesion Analysis Toward Melanoma Detection (ISBI 2017), arXiv:1710.05006",
            files: isic! { "2017":
                "ISIC-2017_Training_Data.zip" => "training images and age and sex",
                "ISIC-2017_Training_Part1_GroundTruth.zip" => "training masks",
                "ISIC-2017_Training_Part3_GroundTruth.csv" => "training diagnoses",
                "ISIC-2017_Validation_Data.zip" => "validation images and age and sex",
                "ISIC-2017_Validation_Part1_GroundTruth.zip" => "validation masks",
                "ISIC-2017_Validation_Part3_GroundTruth.csv" => "validation diagnoses",
                "ISIC-2017_Test_v2_Data.zip" => "test images",
                "ISIC-2017_Test_v2_Part1_GroundTruth.zip" => "test masks",
                "ISIC-2017_Test_v2_Part3_GroundTruth.csv" => "test diagnoses",
            },
        },
        CatalogueEntry {
            name: "isic2018",
            description: "ISIC 2018 Task 1: 2,594 training, 100 validation and 1,000 test images with lesion masks",
            page: "https://challenge.isic-archive.com/data/#2018",
            access: Access::Download,
            licence: "CC-0 1.0",
            citation: "Codella et al., Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv:1902.03368; Tschandl et \
                       al., doi:10.1038/sdata.2018.161",
            files: isic! { "2018":
                "ISIC2018_Task1-2_Training_Input.zip" => "training images",
                "ISIC2018_Task1_Training_GroundTruth.zip" => "training masks",
                "ISIC2018_Task1-2_Validation_Input.zip" => "validation images",
                "ISIC2018_Task1_Validation_GroundTruth.zip" => "validation masks",
                "ISIC2018_Task1-2_Test_Input.zip" => "test images",
                "ISIC2018_Task1_Test_GroundTruth.zip" => "test masks",
            },
        },
        CatalogueEntry {
            name: "ham10000",
            description: "HAM10000: 10,015 images of 7,470 lesions with masks, seven diagnoses, age, sex and site",
            page: "https://doi.org/10.7910/DVN/DBW86T",
            access: Access::Download,
            licence: "CC BY-NC 4.0",
            citation: "Tschandl, Rosendahl, Kittler, The HAM10000 dataset, doi:10.1038/sdata.2018.161; masks: Tschandl et \
                       al., doi:10.1038/s41591-020-0942-0",
            files: dataverse! {
                "3172585", "HAM10000_images_part_1.zip" => "images, first half",
                "3172584", "HAM10000_images_part_2.zip" => "images, second half",
                "3838943", "HAM10000_segmentations_lesion_tschandl.zip" => "masks",
                "4338392?format=original", "HAM10000_metadata.csv" => "lesion, diagnosis, age, sex and site",
            },
        },
        CatalogueEntry {
            name: "ph2",
            description: "PH2: 200 images of melanocytic lesions with masks and clinical criteria",
            page: "https://www.fc.up.pt/addi/ph2%20database.html",
            access: Access::Manual,
            licence: "research and educational use, on the publisher's terms",
            citation: "Mendonca et al., PH2: a dermoscopic image database for research and benchmarking, EMBC 2013",
            files: &[],
        },
    ];
    ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_downloads_have_files() {
        let mut names: Vec<_> = catalogue().iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), catalogue().len());
        for entry in catalogue() {
            assert_eq!(
                entry.access == Access::Download,
                !entry.files.is_empty(),
                "{}",
                entry.name
            );
            assert!(
                entry
                    .files
                    .iter()
                    .all(|file| file.url.starts_with("https://") && file.name.contains('.'))
            );
        }
    }
}
