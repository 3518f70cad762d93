//! The whole experiment, tiny: its files, its repeatability, and what a kill does to it.

use htl_tests::{must, reproduce_tiny, run, stderr, succeeds};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

/// Finished stages and when their records were written.
fn finished(out: &Path) -> BTreeMap<String, SystemTime> {
    let Ok(entries) = fs::read_dir(out.join("stages")) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let written = fs::metadata(entry.path().join("stage.json")).ok()?.modified().ok()?;
            (!name.ends_with(".partial")).then_some((name, written))
        })
        .collect()
}

fn results(out: &Path) -> Vec<u8> {
    must(fs::read(out.join("results.json")))
}

/// Every promised file, every setting with its arms; the report stands alone and says what it is not.
#[test]
fn writes_what_it_promises() {
    let folder = must(tempfile::tempdir());
    succeeds(&run(&mut reproduce_tiny(folder.path())));
    for file in [
        "report.html",
        "results.json",
        "htl/scores.csv",
        "demographics.csv",
        "manifest.json",
    ] {
        let length = must(fs::metadata(folder.path().join(file))).len();
        assert!(length > 0, "{file} is empty");
    }
    let results: serde_json::Value = must(serde_json::from_slice(&results(folder.path())));
    for (setting, control, others) in [
        ("supervised", "random", vec!["oracle", "pruned", "sham"]),
        (
            "semi-supervised",
            "without-outline",
            vec!["oracle", "labelled-only", "htl-query"],
        ),
        ("weakly-supervised", "random", vec![]),
        (
            "weakly-supervised-boxes",
            "without-outline",
            vec!["oracle", "filled-box", "ellipse"],
        ),
        ("label-free", "prior-filter", vec!["oracle", "next-cycle"]),
    ] {
        let found = &results["settings"][setting];
        for arm in ["baseline", "htl", control].into_iter().chain(others) {
            let jaccard = found["arms"][arm]["seeds"][0]["test"]["jaccard"].as_f64();
            assert!(
                jaccard.is_some_and(|value| (0.0..=1.0).contains(&value)),
                "{setting} {arm}: {jaccard:?}"
            );
        }
        for gain in ["htl-vs-baseline".to_owned(), format!("htl-vs-{control}")] {
            assert!(found["gain"][&gain]["jaccard"]["mean"].is_f64(), "{setting} {gain}");
        }
        assert!(folder.path().join(format!("htl/{setting}.csv")).exists());
    }
    for predictor in ["whole-image", "centred-disc", "otsu", "colour-prior"] {
        assert!(results["trivial"][predictor]["jaccard"].is_f64(), "{predictor}");
    }
    let header = must(fs::read_to_string(folder.path().join("htl/scores.csv")));
    for column in ["image_id", "setting", "fold", "htl"] {
        assert!(
            header
                .lines()
                .next()
                .is_some_and(|line| line.split(',').any(|name| name == column)),
            "{column}"
        );
    }
    let report = must(fs::read_to_string(folder.path().join("report.html")));
    assert!(report.to_lowercase().contains("not a medical device"));
    for outside in [
        "src=\"http",
        "href=\"http://fonts",
        "@import",
        "<link rel=\"stylesheet\"",
    ] {
        assert!(!report.contains(outside), "the report is not self-contained: {outside}");
    }
}

/// The number of stages at a time changes nothing; a second call does nothing again.
#[test]
fn the_same_bytes_every_time() {
    let folders = [must(tempfile::tempdir()), must(tempfile::tempdir())];
    for (folder, jobs) in folders.iter().zip(["1", "3"]) {
        succeeds(&run(reproduce_tiny(folder.path()).args(["--jobs", jobs])));
    }
    let [a, b] = [results(folders[0].path()), results(folders[1].path())];
    assert!(a == b, "results.json depends on the number of jobs");
    let before = finished(folders[0].path());
    let begin = Instant::now();
    succeeds(&run(&mut reproduce_tiny(folders[0].path())));
    println!("a second call took {:?}", begin.elapsed());
    assert_eq!(finished(folders[0].path()), before, "finished stages were done again");
    assert!(results(folders[0].path()) == a);
}

/// Killed at several moments and started again: the same bytes, and nothing finished is done again.
#[test]
fn a_killed_run_goes_on_where_it_was() {
    let whole = must(tempfile::tempdir());
    let begin = Instant::now();
    succeeds(&run(&mut reproduce_tiny(whole.path())));
    let duration = begin.elapsed();
    println!("an undisturbed run takes {duration:?}");

    let folder = must(tempfile::tempdir());
    let mut known = BTreeMap::new();
    let mut kills = 0;
    for share in [0.05, 0.12, 0.2, 0.25, 0.3, 0.35] {
        let mut child = must(reproduce_tiny(folder.path()).stderr(Stdio::null()).spawn());
        std::thread::sleep(duration.mul_f64(share));
        // SIGKILL on Unix: no chance to tidy up.
        if must(child.try_wait()).is_none() {
            must(child.kill());
            kills += 1;
        }
        must(child.wait());
        let now = finished(folder.path());
        for (stage, written) in &known {
            assert_eq!(now.get(stage), Some(written), "{stage} was done again");
        }
        known = now;
        println!("killed after {share} of the time with {} stages finished", known.len());
    }
    assert!(kills >= 3, "only {kills} kills came before the end");
    let last = run(&mut reproduce_tiny(folder.path()));
    succeeds(&last);
    let now = finished(folder.path());
    for (stage, written) in &known {
        assert_eq!(now.get(stage), Some(written), "{stage} was done again");
    }
    assert!(
        results(folder.path()) == results(whole.path()),
        "results.json differs after kills"
    );
    let leftovers: Vec<_> = must(fs::read_dir(folder.path().join("stages")))
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".partial"))
        .collect();
    assert!(leftovers.is_empty(), "unfinished folders are left: {leftovers:?}");
}

/// Two runs in one folder would destroy each other; the second says so.
#[test]
fn one_run_per_folder() {
    let folder = must(tempfile::tempdir());
    let mut first = must(reproduce_tiny(folder.path()).stderr(Stdio::null()).spawn());
    let deadline = Instant::now() + Duration::from_secs(20);
    while finished(folder.path()).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = run(&mut reproduce_tiny(folder.path()));
    let still_running = must(first.try_wait()).is_none();
    must(first.kill());
    must(first.wait());
    if still_running {
        assert!(!second.status.success());
        assert!(
            stderr(&second).contains("another reproduce is running"),
            "{}",
            stderr(&second)
        );
    }
}

/// An output folder that cannot be written is an error before any work.
#[test]
fn an_impossible_output_folder() {
    let file = must(tempfile::NamedTempFile::new());
    for out in [file.path().join("out"), Path::new("/proc/htl-out").to_path_buf()] {
        let output = run(&mut reproduce_tiny(&out));
        assert!(!output.status.success());
        let text = stderr(&output);
        assert!(text.contains("output folder") && text.contains("--out"), "{text}");
    }
}
