//! Data as published, in archives and unpacked, become data folders.
#![cfg(feature = "import")]

mod common;

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use common::{disc, picture, says};
use htl_datasets::{Boxes, DataFolder, ImportOptions, Imported, Inside, Manifest, Origin, import, read_mask};
use image::ImageFormat;

const CC0: &[u8] = b"CC-0";

fn encoded(image: &image::DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A photograph that is of nobody else: its width depends on the number.
fn photo(number: u32, format: ImageFormat) -> Vec<u8> {
    encoded(&picture(12 + number % 7, 8).into(), format)
}

fn mask(number: u32, format: ImageFormat) -> Vec<u8> {
    encoded(&disc(12 + number % 7, 8).into(), format)
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn zip(&self, name: &str, entries: &[(String, Vec<u8>)]) -> PathBuf {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer
                .start_file(name.as_str(), zip::write::SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content).unwrap();
        }
        self.file(name, &writer.finish().unwrap().into_inner())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, origin: Origin, given: &[PathBuf]) -> Result<Imported, String> {
        self.import_with(origin, given, &ImportOptions::default())
    }

    fn import_with(&self, origin: Origin, given: &[PathBuf], options: &ImportOptions) -> Result<Imported, String> {
        let result = import(origin, given, &self.path("out"), options).map_err(|error| error.to_string());
        assert!(!self.path("out.importing").exists(), "nothing is left of an import");
        assert_eq!(result.is_ok(), self.path("out").exists(), "all or nothing");
        result
    }

    fn folder(&self) -> DataFolder {
        let root = self.path("out");
        let manifest = Manifest::read(&root).unwrap();
        assert!(manifest.verify(&root).unwrap().is_intact());
        DataFolder::open(root).unwrap()
    }
}

/// The archives of ISIC 2018, and what `htl data fetch` makes: a folder of them.
#[test]
fn isic_2018_as_published() {
    let place = Place::new();
    for (part, ids) in [("Training", 0..3u32), ("Validation", 3..4), ("Test", 4..6)] {
        let input = format!("ISIC2018_Task1-2_{part}_Input");
        let mut images = vec![(format!("{input}/LICENSE.txt"), CC0.to_vec())];
        let truth = format!("ISIC2018_Task1_{part}_GroundTruth");
        let mut masks = Vec::new();
        for id in ids {
            images.push((format!("{input}/ISIC_{id:07}.jpg"), photo(id, ImageFormat::Jpeg)));
            masks.push((
                format!("{truth}/ISIC_{id:07}_segmentation.png"),
                mask(id, ImageFormat::Png),
            ));
        }
        place.zip(&format!("downloads/{input}.zip"), &images);
        place.zip(&format!("downloads/{truth}.zip"), &masks);
        place.file(&format!("downloads/{truth}.zip.sha256"), b"0");
    }
    let done = place.import(Origin::Isic2018, &[place.path("downloads")]).unwrap();
    assert_eq!((done.images, done.masks, done.splits), (6, 6, [3, 1, 2]));
    assert_eq!(done.notes, ["the split is that of the names of folders and archives"]);
    let folder = place.folder();
    let sample = folder.get("ISIC_0000004").unwrap();
    assert_eq!(
        fs::read(&sample.image).unwrap(),
        photo(4, ImageFormat::Jpeg),
        "photographs are kept byte by byte"
    );
    assert_eq!(
        fs::read(sample.mask.as_ref().unwrap()).unwrap(),
        mask(4, ImageFormat::Png)
    );
    let manifest = Manifest::read(&place.path("out")).unwrap();
    assert_eq!(manifest.licence, "CC-0 1.0");
    assert!(
        manifest.attribution.contains("Codella")
            && manifest.source.contains("ISIC2018_Task1-2_Test_Input.zip (sha256 ")
    );
    let kept = place.path("out/licences/ISIC2018_Task1-2_Training_Input-ISIC2018_Task1-2_Training_Input-LICENSE.txt");
    assert_eq!(fs::read(kept).unwrap(), CC0);
}

/// ISIC 2016 has no validation images; its masks and those of 2017 have names of their own.
#[test]
fn isic_2016_and_2017_as_published() {
    let place = Place::new();
    let mut archives = Vec::new();
    for (part, ids) in [("Training", 0..20u32), ("Test", 20..26)] {
        let name = |what: &str| format!("ISBI2016_ISIC_Part1_{part}_{what}");
        let images = ids.clone().map(|id| {
            (
                format!("{}/ISIC_{id:07}.jpg", name("Data")),
                photo(id, ImageFormat::Jpeg),
            )
        });
        let masks = ids.map(|id| {
            (
                format!("{}/ISIC_{id:07}_Segmentation.png", name("GroundTruth")),
                mask(id, ImageFormat::Png),
            )
        });
        archives.push(place.zip(&format!("{}.zip", name("Data")), &images.collect::<Vec<_>>()));
        archives.push(place.zip(&format!("{}.zip", name("GroundTruth")), &masks.collect::<Vec<_>>()));
    }
    let done = place.import(Origin::Isic2016, &archives).unwrap();
    assert_eq!(done.splits, [18, 2, 6]);
    assert!(
        done.notes[0].contains("it has no val: 2 of train were drawn"),
        "{:?}",
        done.notes
    );

    let place = Place::new();
    for (part, ids) in [("Training", 0..4u32), ("Validation", 4..5), ("Test_v2", 5..7)] {
        let data = format!("ISIC-2017_{part}_Data");
        let mut metadata = String::from("image_id,age_approximate,sex\n");
        let mut diagnoses = String::from("image_id,melanoma,seborrheic_keratosis\n");
        for id in ids {
            place.file(&format!("{data}/ISIC_{id:07}.jpg"), &photo(id, ImageFormat::Jpeg));
            place.file(
                &format!("{data}/ISIC_{id:07}_superpixels.png"),
                &photo(id + 1, ImageFormat::Png),
            );
            let truth = format!("ISIC-2017_{part}_Part1_GroundTruth");
            place.file(
                &format!("{truth}/ISIC_{id:07}_segmentation.png"),
                &mask(id, ImageFormat::Png),
            );
            metadata += &format!(
                "ISIC_{id:07},{},{}\n",
                10 * id,
                ["male", "female", "unknown"][id as usize % 3]
            );
            diagnoses += &format!("ISIC_{id:07},{}\n", ["1.0,0.0", "0.0,1.0", "0.0,0.0"][id as usize % 3]);
        }
        place.file(&format!("{data}/{data}_metadata.csv"), metadata.as_bytes());
        place.file(&format!("ISIC-2017_{part}_Part3_GroundTruth.csv"), diagnoses.as_bytes());
    }
    let done = place.import(Origin::Isic2017, &[place.0.path().to_path_buf()]).unwrap();
    assert_eq!((done.images, done.masks, done.splits), (7, 7, [4, 1, 2]));
    assert!(
        done.notes.iter().any(|note| note.starts_with("7 files not read: `")),
        "{:?}",
        done.notes
    );
    let dx: Vec<_> = place.folder().samples().iter().map(|s| s.dx.clone().unwrap()).collect();
    assert_eq!(dx[..3], ["melanoma", "seborrheic keratosis", "nevus"]);
    let ages: Vec<_> = place.folder().samples().iter().map(|s| s.age_approx.unwrap()).collect();
    assert_eq!(ages, [0., 10., 20., 30., 40., 50., 60.]);
}

/// HAM10000 has no split and several photographs of a lesion.
#[test]
fn ham10000_as_published() {
    let place = Place::new();
    let mut table = String::from("lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n");
    let mut archives = Vec::new();
    for (part, ids) in [(1, 0..20u32), (2, 20..40)] {
        let images = ids.map(|id| (format!("ISIC_{id:07}.jpg"), photo(id, ImageFormat::Jpeg)));
        archives.push(place.zip(&format!("HAM10000_images_part_{part}.zip"), &images.collect::<Vec<_>>()));
    }
    let name = "HAM10000_segmentations_lesion_tschandl";
    let masks = (0..40u32).map(|id| {
        (
            format!("{name}/ISIC_{id:07}_segmentation.png"),
            mask(id, ImageFormat::Png),
        )
    });
    archives.push(place.zip(&format!("{name}.zip"), &masks.collect::<Vec<_>>()));
    for id in 0..41 {
        table += &format!("HAM_{:07},ISIC_{id:07},nv,histo,45.0,male,back,vidir_modern\n", id / 2);
    }
    archives.push(place.file("HAM10000_metadata", table.as_bytes()));
    let done = place.import(Origin::Ham10000, &archives).unwrap();
    assert_eq!((done.images, done.masks), (40, 40));
    assert!(
        done.notes
            .iter()
            .any(|note| note == "no split is given: a split was drawn with seed 0"),
        "{:?}",
        done.notes
    );
    assert!(
        done.notes
            .iter()
            .any(|note| note == "1 rows of tables are of no image: `ISIC_0000040`")
    );
    let folder = place.folder();
    for pair in folder.samples().chunks(2) {
        assert_eq!(pair[0].split, pair[1].split, "a lesion has one side");
        assert_eq!(pair[0].other["dataset"], "vidir_modern");
    }
    assert_eq!(Manifest::read(&place.path("out")).unwrap().licence, "CC BY-NC 4.0");
}

/// PH2 is bitmaps in folders of folders.
#[test]
fn ph2_as_published() {
    let place = Place::new();
    let mut table =
        String::from("||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry || Colors ||\n");
    for id in 2..8u32 {
        let folder = format!("PH2Dataset/PH2 Dataset images/IMD{id:03}/IMD{id:03}");
        place.file(
            &format!("{folder}_Dermoscopic_Image/IMD{id:03}.bmp"),
            &photo(id, ImageFormat::Bmp),
        );
        place.file(
            &format!("{folder}_lesion/IMD{id:03}_lesion.bmp"),
            &mask(id, ImageFormat::Bmp),
        );
        place.file(
            &format!("{folder}_roi/IMD{id:03}_R1_Label3.bmp"),
            &mask(id, ImageFormat::Bmp),
        );
        table += &format!("|| IMD{id:03} ||   ||        {}  || 0 ||  4 ||\n", id % 3);
    }
    place.file("PH2Dataset/PH2_dataset.txt", table.as_bytes());
    place.file("PH2Dataset/PH2_dataset.xlsx", b"PK\x03\x04 not unpacked");
    let done = place.import(Origin::Ph2, &[place.path("PH2Dataset")]).unwrap();
    assert_eq!((done.images, done.masks), (6, 6));
    let words = done.notes.join("\n");
    says(
        &words,
        &[
            "6 photographs of other formats",
            "6 masks were made",
            "7 files not read",
        ],
    );
    let folder = place.folder();
    assert_eq!(folder.get("IMD002").unwrap().dx.as_deref(), Some("melanoma"));
    let sample = folder.get("IMD003").unwrap();
    assert_eq!(image::open(&sample.image).unwrap().into_rgb8(), picture(15, 8));
    assert_eq!(read_mask(sample.mask.as_ref().unwrap()).unwrap(), disc(15, 8));
}

/// Photographs with outlines, as annotation programs write them; `htl predict --coco` writes run lengths.
#[test]
fn coco_annotations_are_masks() {
    let place = Place::new();
    let mut image_list = Vec::new();
    let mut annotations = Vec::new();
    for id in 0..6u32 {
        place.file(
            &format!("data/photos/p{id}.jpg"),
            &encoded(&picture(12, 8).into(), ImageFormat::Jpeg),
        );
        image_list.push(format!(
            r#"{{"id": {id}, "file_name": "photos/p{id}.jpg", "width": 12, "height": 8}}"#
        ));
        if id > 0 {
            annotations.push(format!(
                r#"{{"id": {id}, "image_id": {id}, "category_id": 1, "bbox": [2, 1, 4, 3], "segmentation": [[2, 1, 6, 1, 6, 4, 2, 4]]}}"#
            ));
        }
    }
    let document = |annotations: &[String]| {
        format!(
            r#"{{"images": [{}], "annotations": [{}]}}"#,
            image_list.join(","),
            annotations.join(",")
        )
    };
    place.file("data/instances.json", document(&annotations).as_bytes());
    let data = [place.path("data")];
    let done = place.import(Origin::Coco, &data).unwrap();
    assert_eq!((done.images, done.masks), (6, 6));
    let area = |id: &str| {
        let mask = read_mask(place.folder().get(id).unwrap().mask.as_ref().unwrap()).unwrap();
        mask.pixels().filter(|pixel| pixel.0[0] == 255).count()
    };
    assert_eq!((area("p0"), area("p1")), (0, 12), "no annotation is no lesion");

    fs::remove_dir_all(place.path("out")).unwrap();
    let boxed = document(&annotations).replace("\"segmentation\"", "\"other\"");
    place.file("data/instances.json", boxed.as_bytes());
    let error = place.import(Origin::Coco, &data).unwrap_err();
    says(&error, &["5 problems", "photos/p1.jpg", "--boxes"]);
    let options = ImportOptions {
        boxes: Boxes::Filled,
        licence: Some("ours".into()),
        ..Default::default()
    };
    place.import_with(Origin::Coco, &data, &options).unwrap();
    assert_eq!(area("p5"), 12);
    assert_eq!(Manifest::read(&place.path("out")).unwrap().licence, "ours");

    fs::remove_dir_all(place.path("out")).unwrap();
    place.file(
        "data/instances.json",
        document(&annotations).replace("p3.jpg", "q3.jpg").as_bytes(),
    );
    says(
        &place.import(Origin::Coco, &data).unwrap_err(),
        &["1 annotated images are not there", "q3.jpg"],
    );
    place.file(
        "data/instances.json",
        document(&annotations)
            .replace("\"width\": 12", "\"width\": 8")
            .as_bytes(),
    );
    says(
        &place.import(Origin::Coco, &data).unwrap_err(),
        &["annotated as 8 x 8", "12 x 8 pixels"],
    );
    fs::remove_file(place.path("data/instances.json")).unwrap();
    says(&place.import(Origin::Coco, &data).unwrap_err(), &["no JSON file"]);
}

/// Folders of one's own, with masks of label values and a table of other names.
#[test]
fn folders_of_any_arrangement() {
    let place = Place::new();
    let mut table = String::from("Foto,Seite,Fall\n");
    for id in 0..6u32 {
        place.file(&format!("mine/Fotos/f{id}.png"), &photo(id, ImageFormat::Png));
        let labels = image::GrayImage::from_fn(12 + id % 7, 8, |x, _| image::Luma([u8::from(x < 5)]));
        place.file(
            &format!("mine/label maps/f{id}.png"),
            &encoded(&labels.into(), ImageFormat::Png),
        );
        table += &format!("f{id}.png,back,{}\n", id / 2);
    }
    let options = ImportOptions {
        tables: vec![place.file("table.csv", table.as_bytes())],
        columns: ["image_id=Foto", "anatom_site=Seite", "lesion_id=Fall"]
            .map(|name| name.parse().unwrap())
            .to_vec(),
        inside: Some(Inside::Values(vec![1])),
        ..Default::default()
    };
    let mine = [place.path("mine")];
    let error = place.import(Origin::Folder, &mine).unwrap_err();
    says(
        &error,
        &["6 problems", "f0.png is not a mask", "convert-masks --inside 1"],
    );
    let done = place.import_with(Origin::Folder, &mine, &options).unwrap();
    assert_eq!((done.images, done.masks, done.splits), (6, 6, [2, 2, 2]));
    let folder = place.folder();
    assert!(
        folder
            .samples()
            .iter()
            .all(|s| s.anatom_site.as_deref() == Some("back") && s.other.contains_key("lesion_id"))
    );
    let error = place_again(&place, &mine);
    says(&error, &["out is there already", "choose another folder"]);
}

fn place_again(place: &Place, given: &[PathBuf]) -> String {
    import(Origin::Folder, given, &place.path("out"), &ImportOptions::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_cannot_be_imported_says_why() {
    let place = Place::new();
    place.file("data/images/a.png", &photo(0, ImageFormat::Png));
    place.file("data/images/b.png", &photo(1, ImageFormat::Png));
    place.file("data/images/c.png", &photo(2, ImageFormat::Png));
    place.file("data/more/a.png", &photo(0, ImageFormat::Png));
    let data = [place.path("data")];
    assert_eq!(
        place.import(Origin::Folder, &data).unwrap().images,
        3,
        "the same bytes twice are one photograph"
    );
    fs::remove_dir_all(place.path("out")).unwrap();
    place.file("data/more/a.png", &photo(3, ImageFormat::Png));
    place.file("data/more/b.jpg", &photo(3, ImageFormat::Jpeg));
    let error = place.import(Origin::Folder, &data).unwrap_err();
    says(
        &error,
        &[
            "2 problems",
            "data/images/a.png and data/more/a.png are both for `a`",
            "b.jpg",
        ],
    );
    fs::remove_dir_all(place.path("data/more")).unwrap();
    place.file("data/masks/a.png", &mask(5, ImageFormat::Png));
    says(
        &place.import(Origin::Folder, &data).unwrap_err(),
        &["mask ", "17x8", "12x8"],
    );
    fs::remove_dir_all(place.path("data/masks")).unwrap();
    place.file("data/images/d.gif", b"GIF89a");
    says(
        &place.import(Origin::Folder, &data).unwrap_err(),
        &["d.gif", "neither PNG, JPEG"],
    );
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    says(
        &place.import(Origin::Folder, &[empty]).unwrap_err(),
        &["no photographs were found"],
    );
    let evil = place.zip("evil.zip", &[("../evil.png".to_owned(), photo(0, ImageFormat::Png))]);
    says(
        &place.import(Origin::Folder, &[evil]).unwrap_err(),
        &["evil.zip", "`../evil.png` is not a path below"],
    );
    assert!(!Path::new(&place.path("evil.png")).exists());
    // Somebody's own folder of the name that is worked in is not touched.
    place.file("out.importing/mine.txt", b"precious");
    let error = place_again(&place, &data);
    says(&error, &["out.importing is in the way"]);
    assert_eq!(fs::read(place.path("out.importing/mine.txt")).unwrap(), b"precious");
    assert!(place.path("data/images/a.png").exists());
}

/// DICOM gives its pixels, and nothing of whom they are of.
#[cfg(all(feature = "dicom", feature = "tiff"))]
#[test]
fn dicom_photographs_and_tiff_masks() {
    let place = Place::new();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dicom/plain.dcm");
    for id in 0..3 {
        place.file(&format!("data/images/p{id}.dcm"), &fs::read(&stored).unwrap());
        let mask = encoded(&disc(12, 8).into(), ImageFormat::Tiff);
        place.file(&format!("data/masks/p{id}.tif"), &mask);
    }
    let done = place.import(Origin::Folder, &[place.path("data")]).unwrap();
    assert_eq!((done.images, done.masks), (3, 3));
    for sample in place.folder().samples() {
        assert_eq!(image::open(&sample.image).unwrap().into_rgb8(), stored_picture());
        let bytes = fs::read(&sample.image).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"Nobody"));
    }
}

#[cfg(all(feature = "dicom", feature = "tiff"))]
fn stored_picture() -> image::RgbImage {
    image::RgbImage::from_fn(12, 8, |x, y| image::Rgb([(x * 20) as u8, (y * 30) as u8, 100]))
}
