//! `htl predict`, `evaluate` and `refer` with ensembles, views, tiles and the largest component, and each of them asked for wrongly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use htl_models::{Architecture, Checkpoint, Mode, Network, Part, Preprocessing};
use htl_vocabulary::read_rows;

/// Ten photographs of 96 by 80 pixels with a lesion, and checkpoints of networks that nobody trained.
struct Case {
    folder: tempfile::TempDir,
}

const WIDTH: u32 = 96;
const HEIGHT: u32 = 80;

impl Case {
    fn new() -> Self {
        let case = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for kind in ["images", "masks"] {
            std::fs::create_dir_all(case.path(&format!("data/{kind}"))).unwrap();
        }
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        let splits = [("train", 2), ("val", 4), ("test", 4)];
        let splits = splits.iter().flat_map(|(split, count)| vec![*split; *count]);
        for (index, split) in (0u32..).zip(splits) {
            let inside = |x: u32, y: u32| x.abs_diff(30 + 6 * index).pow(2) + y.abs_diff(40).pow(2) < 300;
            let pixel = |x: u32, y: u32| {
                let grain = ((x * 7 + y * 13 + index * 5) % 23) as u8;
                match inside(x, y) {
                    true => image::Rgb([90 + grain, 60, 50]),
                    false => image::Rgb([220 - grain, 180, 160 + grain]),
                }
            };
            let mask = |x: u32, y: u32| image::Luma([if inside(x, y) { 255 } else { 0 }]);
            let path = |kind: &str| case.path(&format!("data/{kind}/i{index}.png"));
            image::RgbImage::from_fn(WIDTH, HEIGHT, pixel)
                .save(path("images"))
                .unwrap();
            image::GrayImage::from_fn(WIDTH, HEIGHT, mask)
                .save(path("masks"))
                .unwrap();
            table.push_str(&format!("i{index},{split},,,,\n"));
        }
        std::fs::write(case.path("data/metadata.csv"), table).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn photograph(&self) -> PathBuf {
        self.path("data/images/i6.png")
    }

    fn save(&self, name: &str, architecture: &Architecture, size: usize, classes: &[&str]) -> PathBuf {
        let network = Network::build(architecture, 3, &Device::Cpu).unwrap();
        // Statistics of something: a network as it was drawn is nearly flat.
        let noise = Tensor::rand(-2f32, 2.0, (8, 3, size, size), &Device::Cpu).unwrap();
        network.forward(&noise, Mode::Recalibrate { before: 0 }).unwrap();
        let checkpoint = Checkpoint {
            preprocessing: Preprocessing {
                size,
                ..Preprocessing::default()
            },
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            ..Checkpoint::new(architecture.clone())
        };
        let path = self.path(name);
        checkpoint.save(&network, &path).unwrap();
        path
    }

    fn localizer(&self) -> PathBuf {
        self.save("localizer.safetensors", &Architecture::unet(4).unwrap(), 32, &[])
    }

    /// Of another architecture, that sees larger squares.
    fn other(&self) -> PathBuf {
        let encoder = Part::new("efficientnet-lite0");
        let architecture = Architecture::localizer(encoder, Part::new("unet").with("width", 4)).unwrap();
        self.save("other.safetensors", &architecture, 64, &[])
    }

    fn classifier(&self, name: &str, classes: &[&str]) -> PathBuf {
        let architecture = Architecture::classifier(Part::new("plain").with("width", 4), classes.len()).unwrap();
        self.save(name, &architecture, 32, classes)
    }

    fn htl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_htl"));
        command.args(["--device", "cpu"]).args(arguments);
        command.output().unwrap()
    }

    fn predict(&self, checkpoints: &[&Path], out: &str, more: &[&str]) -> Output {
        let (photograph, out) = (text(&self.photograph()), text(&self.path(out)));
        let mut arguments = vec!["predict".to_owned(), photograph, "--out".into(), out];
        for checkpoint in checkpoints {
            arguments.extend(["--checkpoint".into(), text(checkpoint)]);
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self.htl(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn evaluate(&self, checkpoints: &[&Path], out: &str, more: &[&str]) -> Output {
        let (data, out) = (text(&self.path("data")), text(&self.path(out).join("per_image.csv")));
        let mut arguments = vec!["evaluate".to_owned(), "--data".into(), data, "--out".into(), out];
        for checkpoint in checkpoints {
            arguments.extend(["--checkpoint".into(), text(checkpoint)]);
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self.htl(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Map and mask of the photograph at its size.
    fn found(&self, out: &str) -> (Vec<u8>, Vec<u8>) {
        let grey = |kind: &str| {
            let path = self.path(out).join(format!("{kind}/i6.png"));
            let picture = image::open(path).unwrap().into_luma8();
            assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
            picture.into_raw()
        };
        (grey("maps"), grey("masks"))
    }

    fn summary(&self, out: &str) -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(self.path(out).join("summary.json")).unwrap()).unwrap()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn parts_of(mask: &[u8]) -> usize {
    htl_metrics::label_components(HEIGHT as usize, WIDTH as usize, mask).count
}

/// An ensemble of one network, twice, is the network; one of two is the mean of both, of whatever size they see.
#[test]
fn several_checkpoints_are_averaged() {
    let case = Case::new();
    let (a, b) = (case.localizer(), case.other());
    succeeds(&case.predict(&[&a], "a", &["--maps"]));
    succeeds(&case.predict(&[&a, &a], "aa", &["--maps"]));
    assert_eq!(case.found("a"), case.found("aa"));
    succeeds(&case.predict(&[&b], "b", &["--maps"]));
    let said = succeeds(&case.predict(&[&a, &b], "ab", &["--maps", "--json"]));
    let row: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!((&row["networks"], &row["views"]), (&2.into(), &"plain".into()));
    assert!(row["tiles"].is_null() && row["overlap"].is_null() && row["largest_component"] == false);
    let [a, b, both] = ["a", "b", "ab"].map(|out| case.found(out).0);
    assert_ne!(a, b);
    for ((a, b), both) in a.iter().zip(&b).zip(&both) {
        let mean = (f32::from(*a) + f32::from(*b)) / 2.0;
        assert!((mean - f32::from(*both)).abs() <= 1.0, "{a} {b} {both}");
    }
}

/// Every option does what it says, and the files say what was used.
#[test]
fn options_go_together() {
    let case = Case::new();
    let a = case.localizer();
    succeeds(&case.predict(&[&a], "plain", &["--maps"]));
    let (plain, _) = case.found("plain");
    for (views, out) in [("flips", "flips"), ("symmetries", "symmetries")] {
        succeeds(&case.predict(&[&a], out, &["--maps", "--views", views]));
        assert_ne!(case.found(out).0, plain, "{views}");
    }
    assert_ne!(case.found("flips").0, case.found("symmetries").0);
    // One tile holds the photograph; smaller ones see it larger.
    succeeds(&case.predict(&[&a], "one", &["--maps", "--tiles", "96"]));
    assert_eq!(case.found("one").0, plain);
    succeeds(&case.predict(&[&a], "tiles", &["--maps", "--tiles", "48"]));
    assert_ne!(case.found("tiles").0, plain);

    // A threshold at which the mask falls into parts.
    let cut = |grey: u8| plain.iter().map(|pixel| u8::from(*pixel > grey)).collect::<Vec<_>>();
    let grey = (0..255).max_by_key(|grey| parts_of(&cut(*grey))).unwrap();
    assert!(parts_of(&cut(grey)) > 1, "no threshold makes parts");
    let threshold = format!("{}", (f32::from(grey) + 0.5) / 255.0);
    let of = |out: &str, more: &[&str]| {
        succeeds(&case.predict(&[&a], out, &[&["--maps", "--threshold", &threshold], more].concat()));
        case.found(out).1
    };
    let all = of("parts", &[]);
    let largest = of("largest", &["--largest-component"]);
    assert!(parts_of(&all) > 1 && parts_of(&largest) == 1);
    assert!(all.iter().zip(&largest).all(|(all, kept)| kept <= all));

    let b = case.other();
    let more = [
        "--views",
        "flips",
        "--tiles",
        "48",
        "--overlap",
        "0.5",
        "--largest-component",
    ];
    succeeds(&case.predict(&[&a, &b], "every", &more));
    let rows: Vec<BTreeMap<String, String>> = read_rows(&case.path("every/predictions.csv")).unwrap();
    let cells = ["networks", "views", "tiles", "overlap", "largest_component"].map(|column| rows[0][column].as_str());
    assert_eq!(cells, ["2", "flips", "48", "0.5", "true"]);

    // The same words mean the same predictor to `evaluate`.
    succeeds(&case.evaluate(&[&a, &b], "evaluated", &more));
    let summary = case.summary("evaluated");
    let predictor = &summary["predictor"];
    assert_eq!(
        (&predictor["views"], &predictor["tiles"]),
        (&"flips".into(), &48.into())
    );
    assert_eq!(
        (&predictor["overlap"], &predictor["largest_component"]),
        (&0.5.into(), &true.into())
    );
    assert_eq!(predictor["checkpoints"].as_array().unwrap().len(), 2);
    let mask = image::open(case.path("every/masks/i6.png")).unwrap().into_luma8();
    let truth = image::open(case.path("data/masks/i6.png")).unwrap().into_luma8();
    let [mask, truth] =
        [mask, truth].map(|grey| htl_metrics::Mask::from_luma(HEIGHT as usize, WIDTH as usize, grey.as_raw()).unwrap());
    let jaccard = htl_metrics::Confusion::of(&mask, &truth).unwrap().jaccard();
    let rows: Vec<BTreeMap<String, String>> = read_rows(&case.path("evaluated/per_image.csv")).unwrap();
    let row = rows.iter().find(|row| row["image_id"] == "i6").unwrap();
    assert!(
        (row["jaccard"].parse::<f64>().unwrap() - jaccard).abs() < 1e-9,
        "{row:?} {jaccard}"
    );

    // Without options the record says so.
    succeeds(&case.evaluate(&[&a], "alone", &[]));
    let record = case.summary("alone")["predictor"].clone();
    assert_eq!(
        (&record["views"], &record["tiles"]),
        (&"plain".into(), &serde_json::Value::Null)
    );
}

/// Classifiers can be averaged and looked at from all sides, but not cut into tiles.
#[test]
fn classifiers_have_views() {
    let case = Case::new();
    let a = case.classifier("a.safetensors", &["nv", "mel"]);
    succeeds(&case.evaluate(&[&a, &a], "out", &["--views", "symmetries", "--largest-component"]));
    let tiled = case.evaluate(&[&a], "tiled", &["--tiles", "48"]);
    refused(&tiled, &["tiles need a localizer", "class activation maps"]);
    assert!(!case.path("tiled").exists());
}

#[test]
fn misuse_is_told() {
    let case = Case::new();
    let a = case.localizer();
    for out in ["predict", "evaluate"] {
        let run = |checkpoints: &[&Path], more: &[&str]| match out {
            "predict" => case.predict(checkpoints, "out", more),
            _ => case.evaluate(checkpoints, "out", more),
        };
        refused(
            &run(&[&a], &["--tiles", "0"]),
            &["tiles must be from 32 to 8192", "found 0"],
        );
        refused(&run(&[&a], &["--tiles", "9000"]), &["found 9000"]);
        refused(&run(&[&a], &["--tiles", "many"]), &["--tiles", "many"]);
        refused(
            &run(&[&a], &["--tiles", "48", "--overlap", "0.95"]),
            &["overlap", "[0, 0.9]", "0.95"],
        );
        refused(
            &run(&[&a], &["--tiles", "48", "--overlap", "-0.1"]),
            &["overlap", "-0.1"],
        );
        refused(&run(&[&a], &["--tiles", "48", "--overlap", "NaN"]), &["overlap", "NaN"]);
        refused(&run(&[&a], &["--overlap", "0.5"]), &["--tiles"]);
        refused(
            &run(&[&a], &["--views", "sideways"]),
            &["sideways", "flips", "symmetries"],
        );
        let classifier = case.classifier("c.safetensors", &["nv", "mel"]);
        refused(&run(&[&a, &classifier], &[]), &["member 2", "another kind"]);
        let other = case.classifier("d.safetensors", &["nv", "bcc"]);
        refused(&run(&[&classifier, &other], &[]), &["member 2", "other classes"]);
        assert!(!case.path("out").exists());
    }
    let trivial = case.evaluate(&[], "out", &["--predictor", "otsu", "--views", "flips"]);
    refused(&trivial, &["--predictor", "--views"]);
}

/// Referral has the same words where they make sense, and remembers them with its threshold.
#[test]
fn referral_takes_views_and_components() {
    let case = Case::new();
    let a = case.localizer();
    let refer = |out: &str, more: &[&str]| {
        let (a, data, out) = (text(&a), text(&case.path("data")), text(&case.path(out)));
        let arguments = [
            "refer",
            "--dense",
            &a,
            "--data",
            &data,
            "--out",
            &out,
            "--permutations",
            "9",
        ];
        case.htl(&[&arguments[..], &["--resamples", "100"], more].concat())
    };
    let chosen = ["--refer", "0.5", "--by", "views", "--sparsities", "0.5"];
    succeeds(&refer(
        "flips",
        &[&chosen[..], &["--views", "flips", "--largest-component"]].concat(),
    ));
    let choice: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(case.path("flips/referral.json")).unwrap()).unwrap();
    assert_eq!(
        (&choice["views"], &choice["largest_component"]),
        (&"flips".into(), &true.into())
    );
    let passes = |out: &str| -> BTreeMap<String, String> {
        let rows: Vec<BTreeMap<String, String>> = read_rows(&case.path(out).join("referral.csv")).unwrap();
        rows.into_iter()
            .map(|row| (row["signal"].clone(), row["passes"].clone()))
            .collect()
    };
    assert_eq!(passes("flips")["views"], "4");
    succeeds(&refer("all", &chosen));
    assert_eq!(passes("all")["views"], "8");

    let threshold = text(&case.path("flips/referral.json"));
    succeeds(&refer("again", &["--threshold", &threshold]));
    let other = refer("bad", &["--threshold", &threshold, "--views", "symmetries"]);
    refused(&other, &["--views flips", "--largest-component"]);
    refused(&refer("bad", &["--tiles", "48"]), &["--tiles"]);
    assert!(!case.path("bad").exists());
}
