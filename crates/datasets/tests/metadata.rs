//! The parser of `metadata.csv` on any input.

use std::path::Path;

use htl_datasets::{COLUMNS, parse_metadata};
use htl_vocabulary::known;
use proptest::prelude::*;

proptest! {
    /// Bytes of any kind give rows or an error, never a panic.
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_metadata(&bytes, Path::new("metadata.csv"));
    }

    /// So does text that looks like a table, and an error names the file.
    #[test]
    fn tables_never_panic(body in "([a-c]{0,3},(train|val|test|x|),[0-9a-]{0,3},[ -~]{0,4},,(\"|)[a-z]{0,3}\n){0,9}") {
        let text = format!("{}\n{body}", COLUMNS.join(","));
        match parse_metadata(text.as_bytes(), Path::new("some/metadata.csv")) {
            Ok(rows) => prop_assert!(rows.len() <= 9 && rows.iter().all(|row| !row.image_id.is_empty())),
            Err(error) => prop_assert!(error.to_string().contains("some/metadata.csv"), "{}", error),
        }
    }

    /// What is written is read, columns in any order.
    #[test]
    fn values_come_back(ages in proptest::collection::vec(0u32..131, 1..30), site in "[a-z][a-z ]{0,8}[a-z]", rotate in 0usize..7) {
        let mut header = COLUMNS.to_vec();
        header.push("camera");
        header.rotate_left(rotate);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&header).unwrap();
        for (index, age) in ages.iter().enumerate() {
            let record = header.iter().map(|column| match *column {
                "image_id" => format!("id, \"{index}\""),
                "split" => "Val ".to_owned(),
                "age_approx" => age.to_string(),
                "anatom_site" => site.clone(),
                "camera" => format!("c{index}"),
                _ => String::new(),
            });
            writer.write_record(record).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let rows = parse_metadata(&text, Path::new("metadata.csv")).unwrap();
        prop_assert_eq!(rows.len(), ages.len());
        for (index, (row, age)) in rows.iter().zip(ages).enumerate() {
            prop_assert_eq!(&row.image_id, &format!("id, \"{index}\""));
            prop_assert_eq!(row.line, index as u64 + 2);
            prop_assert_eq!(row.split, Some(htl_datasets::Split::Val));
            prop_assert_eq!(row.age_approx, Some(f64::from(age)));
            prop_assert_eq!(row.anatom_site.as_deref(), known(&site));
            prop_assert_eq!(&row.sex, &None);
            prop_assert_eq!(&row.other["camera"], &format!("c{index}"));
        }
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = b"\xef\xbb\xbfimage_id,split,age_approx,sex,anatom_site,dx\r\na,train,1,,,\r\n";
    assert_eq!(parse_metadata(text, Path::new("m.csv")).unwrap()[0].image_id, "a");
}

#[test]
fn an_empty_file_lacks_ids() {
    let error = parse_metadata(b"", Path::new("m.csv")).unwrap_err();
    assert!(error.to_string().contains("m.csv: no column `image_id`"), "{error}");
}

/// Whatever words stand for nothing do so in every column, those of groups among them.
#[test]
fn nothing_is_known_where_nothing_is_said() {
    let text =
        b"image_id,split,lesion_id,patient_id,camera,sex\na,NaN,NA,n/a,missing,unknown\nb,Validation,L1,?,none,-\n";
    let rows = parse_metadata(text, Path::new("m.csv")).unwrap();
    assert!(rows[0].split.is_none() && rows[0].other.is_empty() && rows[0].sex.is_none());
    assert_eq!(rows[1].split, Some(htl_datasets::Split::Val));
    assert_eq!(rows[1].other.keys().collect::<Vec<_>>(), ["lesion_id"]);
}

/// All that is wrong is said at once.
#[test]
fn bad_splits_are_named_together() {
    let error = parse_metadata(b"image_id,split\na,x\nb,train\nc,y\n", Path::new("m.csv")).unwrap_err();
    for part in [
        "2 problems",
        "line 2: split of `a` is `x`",
        "line 4: split of `c` is `y`",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
