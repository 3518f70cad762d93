//! `htl refer` through the real program: risk-coverage, a threshold of the val split, routing, groups; and bad input.

use htl_tests::{Example, fails_with, htl, id, misused, must, run, stderr, succeeds};
use htl_vocabulary::read_rows;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Three dense networks that found something, and their sparse copies.
struct Trained {
    example: Example,
    dense: Vec<PathBuf>,
    sparse: Vec<PathBuf>,
}

fn trained(networks: usize) -> Trained {
    let example = Example::new();
    let mut found = Trained {
        example,
        dense: Vec::new(),
        sparse: Vec::new(),
    };
    for seed in 0..networks {
        let example = &found.example;
        let config = example.config(&format!("{seed}.toml"), "supervised", &format!("seed = {seed}"));
        let text = must(fs::read_to_string(&config)).replace("image_steps = 8", "image_steps = 400");
        must(fs::write(&config, text.replace("width = 2", "width = 4")));
        let out = example.path(&format!("dense-{seed}"));
        succeeds(&example.train(&config, &out));
        let checkpoint = out.join("checkpoint.safetensors");
        let pruned = example.path(&format!("pruned-{seed}.safetensors"));
        let prune = run(Command::new(htl())
            .args(["prune", "--sparsity", "0.5", "--checkpoint"])
            .arg(&checkpoint)
            .arg("--out")
            .arg(&pruned));
        succeeds(&prune);
        found.dense.push(checkpoint);
        found.sparse.push(pruned);
    }
    found
}

impl Trained {
    fn refer(&self, dense: usize, sparse: usize, out: &str, more: &[&str]) -> Output {
        let mut command = Command::new(htl());
        command
            .args(["--device", "cpu", "refer", "--dense"])
            .args(&self.dense[..dense]);
        if sparse > 0 {
            command.arg("--sparse").args(&self.sparse[..sparse]);
        }
        command.arg("--data").arg(self.example.data());
        command.args(["--permutations", "99", "--resamples", "200", "--out"]);
        run(command.arg(self.example.path(out)).args(more))
    }

    fn rows(&self, out: &str, table: &str) -> Vec<BTreeMap<String, String>> {
        rows(&self.example.path(out).join(table))
    }

    fn choice(&self, out: &str) -> serde_json::Value {
        let text = must(fs::read_to_string(self.example.path(out).join("referral.json")));
        must(serde_json::from_str(&text))
    }
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    must(read_rows(path))
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    must(row[column].parse::<f64>())
}

const SIGNALS: [&str; 12] = [
    "forgetting",
    "forgetting-raw",
    "noise",
    "disagreement",
    "second-network",
    "spread",
    "views",
    "entropy",
    "entropy-over-area",
    "area",
    "random",
    "oracle",
];

#[test]
fn uncertain_images_are_referred() {
    let trained = trained(3);
    let output = trained.refer(3, 3, "out", &["--refer", "0.25"]);
    succeeds(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "4 images (test)",
        "forgetting is above",
        "second-network",
        "dense-and-sparse",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }

    let signals = trained.rows("out", "referral.csv");
    let keys: Vec<&str> = signals.iter().map(|row| row["signal"].as_str()).collect();
    assert_eq!(keys, SIGNALS);
    let of = |key: &str| signals.iter().find(|row| row["signal"] == key).unwrap();
    let oracle = number(of("oracle"), "aurc");
    for row in &signals {
        assert!(
            number(row, "aurc") >= oracle - 1e-12 && row["missing"].is_empty(),
            "{row:?}"
        );
    }
    let random = of("random");
    assert!((number(random, "aurc") - (1.0 - number(random, "jaccard"))).abs() < 1e-12);
    assert_eq!(
        (&of("forgetting")["passes"], &of("forgetting")["trainings"]),
        (&"7".into(), &"1".into())
    );
    assert_eq!(
        (&of("disagreement")["fine_tunings"], &of("second-network")["trainings"]),
        (&"1".into(), &"2".into())
    );

    let curves = trained.rows("out", "risk_coverage.csv");
    assert_eq!(curves.len(), 4 * SIGNALS.len());
    assert!(!trained.rows("out", "referral_differences.csv").is_empty());

    let referred = trained.rows("out", "referred.csv");
    assert_eq!(referred.len(), 3 * 4);
    let choice = trained.choice("out");
    for (network, threshold) in choice["thresholds"].as_array().unwrap().iter().enumerate() {
        let above = threshold["above"].as_f64().unwrap();
        for row in referred.iter().filter(|row| row["network"] == network.to_string()) {
            assert_eq!(row["referred"] == "1", number(row, "forgetting") > above, "{row:?}");
            assert!((number(row, "oracle") - (1.0 - number(row, "jaccard"))).abs() < 1e-12);
        }
    }

    let ensembles = trained.rows("out", "ensembles.csv");
    let names: Vec<&str> = ensembles.iter().map(|row| row["predictor"].as_str()).collect();
    assert_eq!(
        names,
        ["network", "views", "ensemble", "ensemble-views", "dense-and-sparse"]
    );

    // Routed or not, the ends are the predictors of the table above.
    let routing = trained.rows("out", "routing.csv");
    assert_eq!(routing.len(), 5 * SIGNALS.len());
    for row in &routing {
        let end = match row["share"].as_str() {
            "0" | "0.0" => 0,
            "1" | "1.0" => 3,
            _ => continue,
        };
        assert!(
            (number(row, "jaccard") - number(&ensembles[end], "jaccard")).abs() < 1e-9,
            "{row:?}"
        );
    }
    let groups = trained.rows("out", "groups.csv");
    assert!(groups.iter().any(|row| row["attribute"] == "sex" && row["n"] == "2"));

    // The same bytes again.
    succeeds(&trained.refer(3, 3, "again", &["--refer", "0.25"]));
    for table in [
        "referral.csv",
        "referred.csv",
        "routing.csv",
        "groups.csv",
        "referral.json",
    ] {
        let [a, b] = ["out", "again"].map(|out| must(fs::read(trained.example.path(out).join(table))));
        assert!(a == b, "{table}");
    }

    // One predictor of all networks has one threshold.
    succeeds(&trained.refer(3, 0, "ensemble", &["--predictor", "ensemble", "--by", "spread"]));
    let choice = trained.choice("ensemble");
    assert_eq!(choice["thresholds"].as_array().unwrap().len(), 1);
    assert_eq!(trained.rows("ensemble", "referred.csv").len(), 4);

    // Several networks, and views, are predictors elsewhere, too.
    let evaluate = |out: &str, networks: usize, views: bool| {
        let mut command = Command::new(htl());
        command
            .args(["--device", "cpu", "evaluate", "--checkpoint"])
            .args(&trained.dense[..networks]);
        if views {
            command.args(["--views", "symmetries"]);
        }
        command.arg("--data").arg(trained.example.data()).arg("--out");
        succeeds(&run(command.arg(trained.example.path(out).join("per_image.csv"))));
        let rows = trained.rows(out, "per_image.csv");
        rows.iter().map(|row| number(row, "jaccard")).sum::<f64>() / rows.len() as f64
    };
    for (name, networks, views, row) in [("e", 3, false, 2), ("ev", 3, true, 3)] {
        let found = evaluate(name, networks, views);
        let expected = number(&ensembles[row], "jaccard");
        // Sums in another order move a pixel at most.
        assert!((found - expected).abs() < 0.01, "{name}: {found} {expected}");
    }
    let predict = run(Command::new(htl())
        .args(["--device", "cpu", "predict", "--views", "symmetries", "--checkpoint"])
        .arg(&trained.dense[0])
        .arg("--checkpoint")
        .arg(&trained.dense[1])
        .arg(trained.example.image(0))
        .arg("--out")
        .arg(trained.example.path("predicted")));
    succeeds(&predict);
    assert!(
        trained
            .example
            .path("predicted")
            .join(format!("masks/{}.png", id(0)))
            .exists()
    );
}

/// One network and no mask: what needs more is blank and said, and who is referred is known all the same.
#[test]
fn new_images_need_no_mask() {
    let trained = trained(1);
    succeeds(&trained.refer(1, 0, "chosen", &["--refer", "0.5"]));
    must(fs::remove_dir_all(trained.example.data().join("masks")));
    let choice = trained.example.path("chosen").join("referral.json");
    let choice = choice.display().to_string();
    let output = trained.refer(1, 0, "applied", &["--threshold", &choice]);
    succeeds(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "20 images (all)",
        "none has a mask",
        "second-network is left out",
        "oracle is left out: it needs masks",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    let referred = trained.rows("applied", "referred.csv");
    assert_eq!(referred.len(), 20);
    assert!(
        referred
            .iter()
            .all(|row| row["jaccard"].is_empty() && row["second-network"].is_empty())
    );
    // The same images, the same decision.
    let earlier = trained.rows("chosen", "referred.csv");
    for row in &earlier {
        let again = referred
            .iter()
            .find(|other| other["image_id"] == row["image_id"])
            .unwrap();
        assert_eq!(again["referred"], row["referred"]);
    }
    assert_eq!(
        trained.choice("applied")["thresholds"][0]["above"],
        trained.choice("chosen")["thresholds"][0]["above"]
    );
    let signals = trained.rows("applied", "referral.csv");
    assert!(signals.iter().all(|row| row["aurc"].is_empty() && row["images"] == "0"));
    for empty in [
        "risk_coverage.csv",
        "routing.csv",
        "ensembles.csv",
        "referral_differences.csv",
    ] {
        assert!(trained.rows("applied", empty).is_empty(), "{empty}");
    }
}

#[test]
fn bad_input_is_named() {
    let trained = trained(2);
    let refer = |dense, sparse, more: &[&str]| trained.refer(dense, sparse, "bad", more);
    fails_with(&refer(2, 1, &[]), &["1 sparse", "2 dense"]);
    fails_with(&refer(2, 0, &["--refer", "1"]), &["--refer", "(0, 1)"]);
    fails_with(&refer(2, 0, &["--refer", "NaN"]), &["--refer"]);
    fails_with(
        &refer(1, 0, &["--by", "second-network"]),
        &["second-network", "a second dense network"],
    );
    fails_with(&refer(2, 0, &["--by", "disagreement"]), &["disagreement", "fine-tuned"]);
    fails_with(&refer(2, 0, &["--by", "oracle"]), &["oracle", "masks"]);
    fails_with(
        &refer(2, 0, &["--sparsities", "0.9,0.5"]),
        &["--sparsities", "ascending"],
    );
    misused(&refer(2, 0, &["--by", "nothing"]), &["nothing", "forgetting"]);
    assert!(!trained.example.path("bad").exists());

    // Thresholds are those of the networks that they were chosen for.
    succeeds(&trained.refer(1, 0, "one", &["--by", "entropy"]));
    let choice = trained.example.path("one").join("referral.json");
    let choice = choice.display().to_string();
    fails_with(
        &refer(2, 0, &["--threshold", &choice]),
        &["referral.json", "other networks"],
    );
    misused(&refer(1, 0, &["--threshold", &choice, "--by", "entropy"]), &["--by"]);

    // A signal by which all images tie refers nobody, and says so.
    let flat = trained.refer(2, 0, "flat", &["--sparsities", "0", "--by", "forgetting-raw"]);
    succeeds(&flat);
    let said = String::from_utf8_lossy(&flat.stdout).into_owned();
    assert!(said.contains("refers 0 %") && said.contains("images tie"), "{said}");

    // Networks that see other sizes, and such as give no numbers.
    let config = trained.example.config("small.toml", "supervised", "");
    let text = must(fs::read_to_string(&config)).replace("size = 16", "size = 24");
    must(fs::write(&config, text.replace("width = 2", "width = 4")));
    succeeds(&trained.example.train(&config, &trained.example.path("small")));
    let small = trained.example.path("small").join("checkpoint.safetensors");
    let other = run(Command::new(htl())
        .args(["refer", "--dense"])
        .args([&trained.dense[0], &small])
        .arg("--data")
        .arg(trained.example.data())
        .arg("--out")
        .arg(trained.example.path("bad")));
    fails_with(&other, &[&small.display().to_string(), "24", "16"]);
    assert!(!trained.example.path("bad").exists(), "{}", stderr(&other));
}

/// Class maps are judged as localization maps are; they have no entropy.
#[test]
fn classifiers_are_referred_too() {
    let example = Example::new();
    let config = example.config("classes.toml", "weakly-supervised", "");
    succeeds(&example.train(&config, &example.path("dense")));
    let output = run(Command::new(htl())
        .args(["--device", "cpu", "refer", "--sparsities", "0.5,0.9", "--dense"])
        .arg(example.path("dense").join("checkpoint.safetensors"))
        .arg("--data")
        .arg(example.data())
        .arg("--out")
        .arg(example.path("out")));
    succeeds(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("entropy is left out: it needs probability maps"),
        "{said}"
    );
    assert_eq!(rows(&example.path("out").join("referred.csv")).len(), 4);
}
