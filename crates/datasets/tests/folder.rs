//! Opening data folders: what is read, what is refused and in which words.

mod common;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
};

use common::{Folder, GOOD, HEADER, good, says};
use htl_datasets::{DataFolder, FolderStats, MadeSplit, OpenOptions, Split};

#[test]
fn a_good_folder_is_read() {
    let folder = good();
    folder.table(
        &format!("{HEADER},lesion_id"),
        &GOOD.map(|row| format!("{row},L1")).each_ref().map(String::as_str),
    );
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(data.samples().len(), 4);
    assert_eq!(
        data.split(Split::Train)
            .iter()
            .map(|s| s.image_id.as_str())
            .collect::<Vec<_>>(),
        ["a", "d"]
    );
    let c = data.get("c").unwrap();
    assert_eq!(
        (c.age_approx, c.sex.as_deref(), c.dx.as_deref()),
        (Some(55.5), Some("female"), Some("mel"))
    );
    assert_eq!(c.anatom_site, None);
    assert_eq!(c.other.get("lesion_id").map(String::as_str), Some("L1"));
    assert_eq!(c.field("lesion_id").as_deref(), Some("L1"));
    assert!(c.mask.as_ref().unwrap().ends_with("masks/c.png"));
    let d = data.get("d").unwrap();
    assert_eq!(
        (d.age_approx, &d.sex),
        (Some(0.), &None),
        "age 0 is an age, `unknown` is nothing"
    );
    let b = data.get("b").unwrap();
    assert_eq!((b.age_approx, &b.sex, &b.dx), (None, &None, &None));
    assert!(data.get("e").is_none() && data.splits_file().is_none());
    assert_eq!(data.problems().len(), 0);
    assert!(!folder.path("splits.csv").exists());
}

/// Capital letters and blanks around a split are no other split, in `metadata.csv` and in `splits.csv`.
#[test]
fn splits_are_read_whatever_their_case() {
    let folder = good();
    let expected = DataFolder::open(folder.root()).unwrap();
    let rows = GOOD.map(|row| row.replace(",train,", ", Train ,").replace(",val,", ",VAL,"));
    folder.table(HEADER, &rows.each_ref().map(String::as_str));
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(data.samples(), expected.samples());
    let rows: Vec<String> = GOOD
        .iter()
        .map(|row| row.replace(",train,", ",,").replace(",val,", ",,"))
        .collect();
    let rows: Vec<String> = rows.iter().map(|row| row.replace(",test,", ",,")).collect();
    folder.table(HEADER, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let splits: Vec<String> = expected
        .samples()
        .iter()
        .map(|sample| format!("{},{} ", sample.image_id, sample.split.name().to_uppercase()))
        .collect();
    fs::write(
        folder.path("splits.csv"),
        format!("image_id,split\n{}\n", splits.join("\n")),
    )
    .unwrap();
    assert_eq!(DataFolder::open(folder.root()).unwrap().samples(), expected.samples());
}

#[test]
fn masks_are_optional_and_may_have_the_challenge_name() {
    let folder = good();
    fs::rename(folder.path("masks/a.png"), folder.path("masks/a_segmentation.png")).unwrap();
    fs::remove_file(folder.path("masks/b.png")).unwrap();
    let data = DataFolder::open(folder.root()).unwrap();
    assert!(data.get("a").unwrap().mask.is_some() && data.get("b").unwrap().mask.is_none());
    fs::copy(folder.path("masks/c.png"), folder.path("masks/a.png")).unwrap();
    says(&folder.problem(), &["a.png", "a_segmentation.png", "remove one"]);
    fs::remove_dir_all(folder.path("masks")).unwrap();
    assert!(
        DataFolder::open(folder.root())
            .unwrap()
            .samples()
            .iter()
            .all(|sample| sample.mask.is_none())
    );
}

#[test]
fn a_list_of_ids_is_looked_up() {
    let folder = good();
    let data = DataFolder::open(folder.root()).unwrap();
    let path = folder.path("list.csv");
    let listed = |text: &str| {
        fs::write(&path, text).unwrap();
        data.listed(&path)
    };
    let found = listed("note,image_id\nx,c\n,a\n").unwrap();
    assert_eq!(
        found.iter().map(|sample| sample.image_id.as_str()).collect::<Vec<_>>(),
        ["c", "a"]
    );
    says(
        &listed("image_id\na\nz\n").unwrap_err().to_string(),
        &["list.csv: 1 of 2 ids are not in", "`z`"],
    );
    says(
        &listed("image_id\na\nb\na\n").unwrap_err().to_string(),
        &["line 4", "`a` was already on line 2"],
    );
    says(
        &listed("id\na\n").unwrap_err().to_string(),
        &["no column `image_id`; found `id`"],
    );
    // Blanks at the ends and names of files make no difference, several unknown ones are counted.
    let found = listed("image_id\n c \ntrain/a.jpg\nb.PNG\n").unwrap();
    let ids: Vec<&str> = found.iter().map(|sample| sample.image_id.as_str()).collect();
    assert_eq!(ids, ["c", "a", "b"]);
    says(
        &listed("image_id;note\nx.jpg;\na;\ny;\n").unwrap_err().to_string(),
        &["2 of 3 ids", "`x.jpg`, `y`"],
    );
}

/// Only ids are required, and other names of columns are understood.
#[test]
fn columns_may_be_missing_or_have_other_names() {
    let folder = good();
    folder.table(
        "isic_id,split,age,gender,diagnosis",
        &["a,train,85+,M,NV", "b,val,,male,nv", "c,test,NA,,nv", "d,train,,,"],
    );
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(data.columns(), ["image_id", "split", "age_approx", "sex", "dx"]);
    let a = data.get("a").unwrap();
    assert_eq!(
        (a.age_approx, a.sex.as_deref(), a.dx.as_deref(), &a.anatom_site),
        (Some(85.0), Some("male"), Some("nv"), &None)
    );
    assert_eq!(data.merged().len(), 2);
    folder.table("Bild,split", &["a,train", "b,val", "c,test", "d,train"]);
    says(
        &folder.problem(),
        &["no column `image_id`; found `Bild`", "--map image_id=NAME"],
    );
    let options = OpenOptions {
        columns: vec!["image_id=Bild".parse().unwrap()],
        ..Default::default()
    };
    assert_eq!(
        DataFolder::open_with(folder.root(), &options).unwrap().samples().len(),
        4
    );
    folder.table("image_id,split,age_approx,sex,anatom_site,dx,sex", &[]);
    says(&folder.problem(), &["`sex` occurs more than once"]);
}

#[test]
fn bad_rows_are_named_by_line() {
    let folder = good();
    let with = |row: &'static str| {
        let mut rows = GOOD;
        rows[3] = row;
        folder.table(HEADER, &rows);
        folder.problem()
    };
    says(
        &with("a,train,40,male,back,nv"),
        &["metadata.csv line 5", "`a`", "line 2", "one row"],
    );
    says(
        &with("d,train,forty,,,"),
        &["line 5", "age_approx of `d` is `forty`", "blank if unknown"],
    );
    says(&with("d,train,-3,,,"), &["`-3`"]);
    says(&with("d,train,inf,,,"), &["`inf`"]);
    says(
        &with("d,held-out,40,,,"),
        &["line 5", "split of `d` is `held-out`", "train, val or test"],
    );
    says(&with("d,,40,,,"), &["line 5", "split of `d` is ``"]);
    says(&with("d,train,40,,"), &["line 5", "5 field(s)", "6"]);
    says(&with(",train,40,,,"), &["line 5", "image_id is blank"]);
    says(
        &with("e,train,40,,,"),
        &["line 5", "no image for `e`", "images", "e.jpg"],
    );
    fs::write(
        folder.path("metadata.csv"),
        [HEADER.as_bytes(), b"\na,train,1,m\xff,,\n"].concat(),
    )
    .unwrap();
    says(&folder.problem(), &["line 2", "UTF-8"]);
}

#[test]
fn splits_must_all_have_rows() {
    let folder = good();
    folder.table(HEADER, &["a,train,,,,", "b,train,,,,", "c,test,,,,", "d,test,,,,"]);
    says(
        &folder.problem(),
        &[
            "metadata.csv",
            "split `val` is empty",
            "leave the whole split column blank",
        ],
    );
}

#[test]
fn images_without_a_row_are_named() {
    let folder = good();
    folder.table(HEADER, &GOOD[..3]);
    says(&folder.problem(), &["1 image(s)", "`d`", "metadata.csv"]);
    // Whatever does not match is said at once, and what lies there instead.
    fs::write(folder.path("images/e.bmp"), "").unwrap();
    folder.table(HEADER, &["a,train,,,,", "e,val,,,,", "f,test,,,,"]);
    says(
        &folder.problem(),
        &[
            "3 problems",
            "line 3: no image for `e`",
            "but e.bmp",
            "line 4: no image for `f`",
            "3 image(s) have no row",
        ],
    );
}

#[test]
fn two_files_for_one_id_are_refused() {
    let folder = good();
    common::picture(12, 8).save(folder.path("images/a.jpg")).unwrap();
    says(&folder.problem(), &["a.jpg", "a.png", "`a`", "remove one"]);
}

#[test]
fn other_folders_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let message = |path| DataFolder::open(path).unwrap_err().to_string();
    says(
        &message(empty.path().to_path_buf()),
        &["is not a data folder", "images/<id>.jpg"],
    );
    says(&message(empty.path().join("none")), &["none", "is not a data folder"]);
    fs::create_dir(empty.path().join("images")).unwrap();
    says(&message(empty.path().to_path_buf()), &["images", "holds no"]);
}

fn many() -> (Folder, Vec<String>) {
    let ids: Vec<String> = (0..40).map(|index| format!("id{index:02}")).collect();
    (
        Folder::without_table(&ids.iter().map(String::as_str).collect::<Vec<_>>()),
        ids,
    )
}

#[test]
fn a_missing_split_is_made_grouped_kept_and_read_again() {
    let (folder, ids) = many();
    let rows: Vec<String> = ids
        .iter()
        .enumerate()
        .map(|(i, id)| format!("{id},train,,,,,L{},P{}", i / 2, i % 2 * 100 + i / 4))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    folder.table(&format!("{HEADER},lesion_id,patient_id"), &rows);
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(data.splits_file(), Some(folder.path("splits.csv").as_path()));
    let mut side = HashMap::new();
    for sample in data.samples() {
        for column in ["lesion_id", "patient_id"] {
            let key = (column, sample.other[column].clone());
            assert_eq!(*side.entry(key).or_insert(sample.split), sample.split);
        }
    }
    assert!(Split::ALL.iter().all(|split| !data.split(*split).is_empty()));

    // What is written rules, whatever the seed.
    let again = DataFolder::open_with(
        folder.root(),
        &OpenOptions {
            split_seed: 9,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(again.samples(), data.samples());
    assert_eq!(again.sha256().unwrap(), data.sha256().unwrap());
    let elsewhere = folder.path("other.csv");
    let options = OpenOptions {
        split_seed: 9,
        splits_file: Some(elsewhere.clone()),
        ..Default::default()
    };
    let other = DataFolder::open_with(folder.root(), &options).unwrap();
    assert!(elsewhere.exists() && other.samples() != data.samples());
    assert_ne!(
        other.sha256().unwrap(),
        data.sha256().unwrap(),
        "another split is other data"
    );
}

#[test]
fn no_table_means_a_made_split_too() {
    let (folder, ids) = many();
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(data.samples().len(), ids.len());
    let counts = Split::ALL.map(|split| data.split(split).len());
    assert_eq!(counts, [24, 4, 12]);
    let text = fs::read_to_string(folder.path("splits.csv")).unwrap();
    assert!(text.starts_with("image_id,split\nid00,") && text.lines().count() == 41);
}

#[test]
fn a_split_that_cannot_be_written_says_where_else() {
    let (folder, _) = many();
    // A file in place of a folder stands for a read-only folder: the superuser may write anywhere.
    let options = OpenOptions {
        splits_file: Some(folder.path("images/id00.png/splits.csv")),
        ..Default::default()
    };
    let message = DataFolder::open_with(folder.root(), &options).unwrap_err().to_string();
    says(
        &message,
        &["cannot be kept", "images/id00.png/splits.csv", "column `split`"],
    );
}

#[test]
fn a_subset_is_a_data_folder_again() {
    let folder = good();
    fs::rename(folder.path("masks/a.png"), folder.path("masks/a_segmentation.png")).unwrap();
    fs::remove_file(folder.path("masks/b.png")).unwrap();
    let data = DataFolder::open(folder.root()).unwrap();
    let to = tempfile::tempdir().unwrap();
    data.copy_subset(to.path(), &["a", "b", "c"].into()).unwrap();
    let subset = DataFolder::open(to.path()).unwrap();
    assert_eq!(subset.samples().len(), 3);
    for (copied, sample) in subset.samples().iter().zip(data.samples()) {
        assert_eq!(
            (&copied.image_id, copied.split, &copied.dx),
            (&sample.image_id, sample.split, &sample.dx)
        );
        assert_eq!(fs::read(&copied.image).unwrap(), fs::read(&sample.image).unwrap());
        assert_eq!(copied.mask.is_some(), sample.mask.is_some());
    }
    let table = fs::read_to_string(to.path().join("metadata.csv")).unwrap();
    assert_eq!(table, format!("{HEADER}\n{}\n", GOOD[..3].join("\n")));
    let error = data.copy_subset(to.path(), &["z"].into()).unwrap_err();
    says(&error.to_string(), &["chosen images", "found z"]);
}

#[test]
fn a_subset_keeps_the_splits_that_were_made() {
    let (folder, _) = many();
    let data = DataFolder::open(folder.root()).unwrap();
    let train = data.split(Split::Train);
    let rest = data.samples().iter().filter(|sample| sample.split != Split::Train);
    let chosen: BTreeSet<&str> = rest
        .chain(train[..5].iter().copied())
        .map(|s| s.image_id.as_str())
        .collect();
    let to = tempfile::tempdir().unwrap();
    data.copy_subset(to.path(), &chosen).unwrap();
    let subset = DataFolder::open(to.path()).unwrap();
    assert_eq!(subset.samples().len(), chosen.len());
    for sample in subset.samples() {
        assert_eq!(Some(sample.split), data.get(&sample.image_id).map(|s| s.split));
    }
}

/// Images come and go: nobody changes sides, and a new image of a known lesion goes where the lesion is.
#[test]
fn a_folder_grows_and_shrinks_and_nobody_moves() {
    let (folder, ids) = many();
    let table = |extra: &[&str]| {
        let rows = ids.iter().enumerate().map(|(i, id)| format!("{id},,,,,,L{}", i / 2));
        let rows: Vec<String> = rows.chain(extra.iter().map(|row| (*row).to_owned())).collect();
        let there = rows
            .iter()
            .filter(|row| folder.path(&format!("images/{}.png", &row[..4])).exists());
        folder.table(
            &format!("{HEADER},lesion_id"),
            &there.map(String::as_str).collect::<Vec<_>>(),
        );
    };
    table(&[]);
    let before = DataFolder::open(folder.root()).unwrap();
    let side = |data: &DataFolder, id: &str| data.get(id).unwrap().split;
    for name in ["new1", "new2"] {
        common::picture(4, 4)
            .save(folder.path(&format!("images/{name}.png")))
            .unwrap();
    }
    fs::rename(folder.path("images/id07.png"), folder.path("id07.png")).unwrap();
    table(&["new1,,,,,,L0", "new2,,,,,,"]);
    let options = OpenOptions {
        made_split: MadeSplit::Forgotten,
        ..Default::default()
    };
    let looked_at = DataFolder::open_with(folder.root(), &options).unwrap();
    assert!(
        !fs::read_to_string(folder.path("splits.csv")).unwrap().contains("new"),
        "looking writes nothing"
    );
    let after = DataFolder::open(folder.root()).unwrap();
    assert_eq!(looked_at.samples(), after.samples());
    assert_eq!(after.samples().len(), 41);
    for sample in after
        .samples()
        .iter()
        .filter(|sample| sample.image_id.starts_with("id"))
    {
        assert_eq!(sample.split, side(&before, &sample.image_id));
    }
    assert_eq!(side(&after, "new1"), side(&before, "id00"));
    // What went keeps its side for when it comes back.
    fs::rename(folder.path("id07.png"), folder.path("images/id07.png")).unwrap();
    table(&["new1,,,,,,L0", "new2,,,,,,"]);
    let back = DataFolder::open(folder.root()).unwrap();
    assert_eq!(side(&back, "id07"), side(&before, "id07"));
    assert_eq!(side(&back, "new2"), side(&after, "new2"));
}

#[test]
fn a_splits_file_of_other_data_is_refused() {
    let (folder, _) = many();
    fs::write(folder.path("splits.csv"), "image_id,split\nx,train\ny,val\nz,test\n").unwrap();
    says(
        &folder.problem(),
        &["splits.csv", "none of its 3 rows is of an image", "delete it"],
    );
    fs::write(folder.path("splits.csv"), "image_id,split\nid00,later\n").unwrap();
    says(&folder.problem(), &["splits.csv line 2", "`later`"]);
    fs::write(folder.path("splits.csv"), "image_id\nid00\n").unwrap();
    says(&folder.problem(), &["splits.csv", "`split`"]);
}

#[test]
fn the_checksum_follows_content_and_not_place() {
    let (one, two) = (good(), good());
    let sum = |folder: &Folder| DataFolder::open(folder.root()).unwrap().sha256().unwrap();
    assert_eq!(sum(&one), sum(&two));
    common::picture(12, 9).save(two.path("images/b.png")).unwrap();
    let changed_image = sum(&two);
    assert_ne!(sum(&one), changed_image);
    fs::copy(one.path("images/b.png"), two.path("images/b.png")).unwrap();
    assert_eq!(sum(&one), sum(&two));
    fs::remove_file(two.path("masks/b.png")).unwrap();
    assert_ne!(sum(&one), sum(&two));
    assert_eq!(sum(&one).len(), 64);
}

#[test]
fn stats_count_splits_fields_and_areas() {
    let folder = good();
    let stats = FolderStats::of(&DataFolder::open(folder.root()).unwrap()).unwrap();
    assert_eq!(stats.images[&Split::Train], 2);
    assert_eq!(stats.masks[&Split::Test], 1);
    assert_eq!(stats.fields["sex"]["unknown"][&Split::Train], 1);
    assert_eq!(stats.fields["age_approx"]["50-59"][&Split::Test], 1);
    assert_eq!(stats.fields["dx"]["nv"][&Split::Train], 2);
    let white = common::disc(12, 8).iter().filter(|value| **value > 0).count() as f64 / 96.;
    assert_eq!(stats.area[&Split::Val].median, white);
    assert!(
        serde_json::to_string(&stats)
            .unwrap()
            .contains("\"50-59\":{\"test\":1}")
    );
}
