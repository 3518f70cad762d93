//! `htl campaign` and `htl data plant` as a user calls them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use htl_report::CampaignRow;
use htl_tests::{fails_with, htl, must, root, run, run_htl, stderr, succeeds};
use htl_vocabulary::{file, read_rows};

const CAMPAIGN: &str = r#"
setting = "supervised"
[profile]
base = "tiny"
[screen]
seeds = 2
[confirm]
seeds = 2
best = 1
[[scenario]]
name = "small"
rare = "lowest:area_fraction"
keep = 0.4
[[form]]
name = "rank-7"
[form.train.attention]
dose = "rank"
weight = 7
after = 0.25
[[form]]
name = "slow"
[form.train]
learning_rate = 0.0001
[[control]]
name = "random"
[control.train.attention]
set = "random"
[[ceiling]]
name = "parity"
[ceiling.train.attention]
scores = "$planted"
weight = "$parity"
"#;

fn campaign(text: &str, folder: &Path) -> Command {
    let path = folder.join("small.toml");
    must(fs::write(&path, text));
    let mut command = Command::new(htl());
    command.args(["--device", "cpu", "campaign"]).arg(path);
    command.arg("--out").arg(folder.join("out")).current_dir(root());
    command.stdin(Stdio::null());
    command
}

/// Weights of the command line are those that trainings begin with; a form may do without.
#[test]
fn weights_are_those_of_the_command_line() {
    let folder = must(tempfile::tempdir());
    let place = folder.path();
    let config = "setting = \"supervised\"\nsize = 16\nwidth = 4\nimage_steps = 16\nbatch = 8\n";
    let data = root().join("data-manifest/embedded");
    must(fs::write(
        place.join("first.toml"),
        format!("{config}data = \"{}\"\n", data.display()),
    ));
    let first = place.join("first");
    succeeds(&run(Command::new(htl())
        .args(["--device", "cpu", "train", "--config"])
        .arg(place.join("first.toml"))
        .arg("--out")
        .arg(&first)));
    let text = "setting = \"supervised\"\n[profile]\nbase = \"tiny\"\nimage_steps = 64\n[screen]\nseeds = 1\n\
        [[form]]\nname = \"scratch\"\n[form.train.network]\npretrained = \"$own\"\npretrained_sha256 = \"$own\"\n";
    let weights = first.join("checkpoint.safetensors");
    succeeds(&run(campaign(text, place).arg("--pretrained").arg(&weights)));
    let stages = must(fs::read_dir(place.join("out/stages"))).flatten();
    let mut begun = Vec::new();
    for stage in stages {
        let name = stage.file_name().to_string_lossy().into_owned();
        if let Ok(config) = fs::read_to_string(stage.path().join("config.toml")) {
            begun.push((name.contains("scratch"), config.contains("pretrained_sha256")));
        }
    }
    begun.sort_unstable();
    assert_eq!(begun, [(false, true), (true, false)]);
}

/// Both phases in one command; the table says who was screened and who was confirmed, on other images and seeds. The same
/// command again finds everything done and makes the same table; looks at test images are counted.
#[test]
fn a_campaign_screens_and_confirms() {
    let folder = must(tempfile::tempdir());
    let out = folder.path().join("out");
    succeeds(&run(&mut campaign(CAMPAIGN, folder.path())));
    let rows: Vec<CampaignRow> = must(read_rows(&out.join(file::CAMPAIGN_TABLE)));
    let arms = |phase: &str| -> Vec<&str> {
        let of_phase = rows.iter().filter(|row| row.phase == phase);
        of_phase.map(|row| row.arm.as_str()).collect()
    };
    assert_eq!(arms("screen"), ["baseline", "rank-7", "slow", "parity"]);
    let best = rows.iter().find(|row| row.phase == "screen" && row.rank == Some(1));
    match best.map(|row| row.arm.as_str()) {
        Some("rank-7") => assert_eq!(arms("confirm"), ["baseline", "rank-7", "rank-7.random", "parity"]),
        Some("slow") => assert_eq!(arms("confirm"), ["baseline", "slow", "parity"]),
        other => panic!("{other:?} is no form"),
    }
    for row in &rows {
        assert_eq!((row.seeds, row.images), (2, 3), "{}", row.arm);
        assert_eq!(row.gain.is_none(), row.role == "baseline");
    }
    let page = must(fs::read_to_string(out.join(file::CAMPAIGN_PAGE)));
    assert!(page.contains("Confirm: small") && page.contains("lowest:area_fraction, 40 % kept"));
    assert!(must(fs::read_to_string(out.join(file::CAMPAIGN_MARKDOWN))).contains("| rank-7 | Form |"));

    let before = must(fs::read(out.join(file::CAMPAIGN_TABLE)));
    let written = |path: &Path| must(must(fs::metadata(path)).modified());
    let stages: Vec<_> = must(fs::read_dir(out.join("stages")))
        .map(|entry| must(entry).path())
        .collect();
    let times: Vec<_> = stages.iter().map(|stage| written(stage)).collect();
    succeeds(&run(&mut campaign(CAMPAIGN, folder.path())));
    assert!(must(fs::read(out.join(file::CAMPAIGN_TABLE))) == before);
    assert!(
        stages.iter().zip(times).all(|(stage, time)| written(stage) == time),
        "a stage was run again"
    );
    let looks = must(fs::read_to_string(out.join(file::LOOKS)));
    assert_eq!(looks.lines().count(), 1 + 4, "{looks}");
    assert!(looks.contains(",small,screen,first,small,2,"), "{looks}");
}

const PURCHASES: &str = r#"
setting = "supervised"
[profile]
base = "tiny"
[screen]
seeds = 2
[baseline.query]
start = 4
budget = 2
strategy = "random"
[[form]]
name = "clustered"
[form.query]
strategy = "top"
by = "forgetting"
clusters = 2
[[form]]
name = "represented"
[form.query]
representative = true
"#;

/// Labels are bought by clusters, and from a start that stands for all; the table says what it takes to annotate them.
#[test]
fn labels_are_bought() {
    let folder = must(tempfile::tempdir());
    let out = folder.path().join("out");
    succeeds(&run(&mut campaign(PURCHASES, folder.path())));
    let rows: Vec<CampaignRow> = must(read_rows(&out.join(file::CAMPAIGN_TABLE)));
    let arms: Vec<&str> = rows.iter().map(|row| row.arm.as_str()).collect();
    assert_eq!(arms, ["baseline", "clustered", "represented"]);
    for row in &rows {
        assert_eq!(row.labels, Some(2.0), "{}", row.arm);
        let (area, outline) = (row.label_area.unwrap_or(0.0), row.label_outline.unwrap_or(0.0));
        assert!(
            area > 0.0 && area < 1.0 && outline > 0.1,
            "{}: {area}, {outline}",
            row.arm
        );
    }
    assert!(must(fs::read_to_string(out.join(file::CAMPAIGN_MARKDOWN))).contains("2 labels bought"));
}

/// A query needs something to choose by, and clusters of the images that it chooses among.
#[test]
fn senseless_queries_are_refused() {
    let folder = must(tempfile::tempdir());
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        must(fs::write(&path, text));
        path.to_string_lossy().into_owned()
    };
    let scores = at(
        "scores.csv",
        "image_id,setting,fold,entropy,htl\na,,,0.1,0\nb,,,0.2,0\nc,,,0.3,0\n",
    );
    let features = at("features.csv", "image_id,f0\na,1\nb,2\n");
    let out = folder.path().join("query.csv").to_string_lossy().into_owned();
    let query = |arguments: &[&str]| {
        let all = [&["query", "--budget", "2", "--out", out.as_str()], arguments].concat();
        run_htl(&all)
    };
    let misused: [(&[&str], &str); 3] = [
        (&[], "--scores"),
        (&["--representative"], "--features"),
        (
            &["--representative", "--features", &features, "--scores", &scores],
            "--scores",
        ),
    ];
    for (arguments, word) in misused {
        let output = query(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    let refused: [(&[&str], &[&str]); 4] = [
        (&["--features", &features, "--clusters", "2"], &["`c`", "clusters"]),
        (&["--features", &features, "--clusters", "9"], &["9", "2"]),
        (&["--features", &scores], &["no number"]),
        (&["--without-suspects"], &["--without-suspects", "suspect_label"]),
    ];
    for (arguments, words) in refused {
        let by_score = ["--scores", scores.as_str(), "--by", "entropy"];
        fails_with(&query(&[&by_score[..], arguments].concat()), words);
    }
    succeeds(&query(&["--representative", "--features", &features]));
    assert_eq!(must(fs::read_to_string(&out)).lines().count(), 3);
}

/// What a training does not know is said before anything runs.
#[test]
fn senseless_campaigns_run_nothing() {
    let folder = must(tempfile::tempdir());
    for (from, to, words) in [
        ("dose = \"rank\"", "dose = \"ranks\"", &["small/rank-7", "ranks"][..]),
        (
            "weight = 7",
            "weight = 7\nform = \"prayer\"",
            &["small/rank-7", "prayer", "sampling"],
        ),
        (
            "after = 0.25",
            "after = 1.5",
            &["small/rank-7", "attention.after", "1.5"],
        ),
        (
            "learning_rate = 0.0001",
            "learning_speed = 2",
            &["small/slow", "learning_speed"],
        ),
        // Wrong in confirmation only.
        (
            "set = \"random\"",
            "set = \"random\"\nform = \"adaptive\"",
            &["small/rank-7.random", "attention.scores"],
        ),
        ("keep = 0.4", "keep = 4.0", &["small.toml", "found 4"]),
    ] {
        let output = run(&mut campaign(&CAMPAIGN.replacen(from, to, 1), folder.path()));
        fails_with(&output, words);
        assert!(!folder.path().join("out/stages").exists(), "{to}");
    }
}

/// A group nobody is in, everybody is in, or nobody is left of: said when the data are made.
#[test]
fn scenarios_that_leave_nobody_are_refused() {
    let folder = must(tempfile::tempdir());
    let text = CAMPAIGN.replacen("lowest:area_fraction", "sex=neither", 1);
    fails_with(&run(&mut campaign(&text, folder.path())), &["sex=neither", "no image"]);
}

/// A planted folder is a data folder, and the truth lies beside it; a folder with something in it is left alone.
#[test]
fn a_weakness_can_be_planted() {
    let folder = must(tempfile::tempdir());
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let data = root().join("data-manifest/embedded").to_string_lossy().into_owned();
    let (out, truth) = (path("rare"), path("truth"));
    let plant = |more: &[&str]| {
        let mut args = vec!["data", "plant", "--data", &data, "--out", &out, "--truth", &truth];
        args.extend(more);
        run_htl(&args)
    };
    fails_with(&plant(&[]), &["--rare", "--noise"]);
    fails_with(
        &plant(&["--rare", "lowest:area_fraction", "--keep", "0.001"]),
        &["larger share"],
    );
    let output = plant(&["--rare", "lowest:area_fraction", "--keep", "0.1"]);
    succeeds(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("168 training images, 72 removed; 8 planted"), "{said}");
    let planted = must(fs::read_to_string(folder.path().join("truth/planted.csv")));
    assert_eq!(planted.lines().count(), 1 + 8);
    succeeds(&run_htl(&["data", "verify", "--data", &out]));
    fails_with(&plant(&["--noise", "swapped", "--share", "0.1"]), &["not empty"]);
}
