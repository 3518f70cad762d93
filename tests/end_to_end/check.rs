//! `htl check` as a CI calls it: its exit codes are its answer.

use htl_tests::{must, run_htl, stderr};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Test results of 60 images, a third of them of a rare diagnosis: each image's Jaccard is its own, lower by `loss` in the
/// rare third.
fn results(folder: &Path, seed: usize, loss: f64) -> PathBuf {
    let mut text = String::from("image_id,jaccard,tp,fp,fn,tn,lesion_id,dx\n");
    for image in 0..60 {
        let noise = ((image * 31 + seed * 17) % 23) as f64 / 23.0 - 0.5;
        let luck = [0.001, -0.003, 0.004, -0.002, 0.0, 0.002][seed % 6];
        let (dx, lost) = if image % 3 == 0 {
            ("rare", loss)
        } else {
            ("common", 0.0)
        };
        let value = 0.7 + 0.02 * noise + luck - lost;
        text.push_str(&format!("i{image:02},{value:.6},1,1,1,1,L{image},{dx}\n"));
    }
    let path = folder.join(format!("seed-{seed}-{loss}.csv"));
    must(fs::write(&path, text));
    path
}

fn check(results: &[PathBuf], baseline: &Path, more: &[&str]) -> Output {
    let mut args: Vec<String> = vec!["check".into(), "--results".into()];
    args.extend(results.iter().map(|path| path.display().to_string()));
    args.extend(["--baseline".into(), baseline.display().to_string()]);
    args.extend(more.iter().map(|word| (*word).to_owned()));
    run_htl(&args)
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_exit_code_is_the_answer() {
    let folder = must(tempfile::tempdir());
    let baseline = folder.path().join("baseline.json");
    let runs: Vec<PathBuf> = (0..5).map(|seed| results(folder.path(), seed, 0.0)).collect();
    let made = check(&runs, &baseline, &["--update"]);
    assert!(
        code(&made) == 0 && !stderr(&made).contains("warning"),
        "{}",
        stderr(&made)
    );
    let fresh = [results(folder.path(), 5, 0.0)];
    let good = check(&fresh, &baseline, &[]);
    assert!(
        code(&good) == 0 && said(&good).contains("inside the noise band"),
        "{}",
        said(&good)
    );
    // A third of the images loses three points: the mean one.
    let worse = check(&[results(folder.path(), 5, 0.03)], &baseline, &[]);
    assert_eq!(code(&worse), 1, "{}", said(&worse));
    for words in ["dx = rare (20 images)", "Holm p"] {
        assert!(said(&worse).contains(words), "{words} is not in\n{}", said(&worse));
    }
    let missing = check(&fresh, &folder.path().join("nothing.json"), &[]);
    assert!(
        code(&missing) == 2 && stderr(&missing).contains("--update"),
        "{}",
        stderr(&missing)
    );
}

/// One or two runs cannot tell, and say how to get more; three can, with a warning.
#[test]
fn few_runs_cannot_tell() {
    let folder = must(tempfile::tempdir());
    for count in 1..=3 {
        let baseline = folder.path().join(format!("{count}.json"));
        let runs: Vec<PathBuf> = (0..count).map(|seed| results(folder.path(), seed, 0.0)).collect();
        let made = check(&runs, &baseline, &["--update"]);
        assert!(
            code(&made) == 0 && stderr(&made).contains("warning"),
            "{}",
            stderr(&made)
        );
        let found = check(&[results(folder.path(), 4, 0.0)], &baseline, &[]);
        if count < 3 {
            assert_eq!(code(&found), 2);
            for words in [&format!("{count} run"), "train more seeds", "--update"] {
                assert!(stderr(&found).contains(words), "{words} is not in {}", stderr(&found));
            }
        } else {
            assert!(
                code(&found) == 0 && stderr(&found).contains("3 runs"),
                "{}",
                stderr(&found)
            );
        }
    }
}

/// Named seeds that the baseline knows are paired: half a point and a bit is found that is not otherwise.
#[test]
fn shared_seeds_are_paired() {
    let folder = must(tempfile::tempdir());
    let baseline = folder.path().join("baseline.json");
    let runs: Vec<PathBuf> = (0..5).map(|seed| results(folder.path(), seed, 0.0)).collect();
    let seeds = ["--seeds", "0", "1", "2", "3", "4"];
    assert_eq!(code(&check(&runs, &baseline, &[&["--update"], &seeds[..]].concat())), 0);
    let fresh: Vec<PathBuf> = (0..5).map(|seed| results(folder.path(), seed, 0.018)).collect();
    let (paired, unpaired) = (check(&fresh, &baseline, &seeds), check(&fresh, &baseline, &[]));
    assert!(said(&paired).contains("same seed") && said(&unpaired).contains("median of 5"));
    assert!(
        said(&paired).contains("WORSE than the noise band allows"),
        "{}",
        said(&paired)
    );
    assert!(
        !said(&unpaired).contains("WORSE than the noise band"),
        "{}",
        said(&unpaired)
    );
    let short = check(&fresh, &baseline, &["--seeds", "0"]);
    assert!(
        code(&short) == 2 && stderr(&short).contains("--seeds"),
        "{}",
        stderr(&short)
    );
}

/// A metric that one of the tables does not have is named with the table.
#[test]
fn a_missing_column_is_named() {
    let folder = must(tempfile::tempdir());
    let baseline = folder.path().join("baseline.json");
    let runs = [results(folder.path(), 0, 0.0)];
    let output = check(&runs, &baseline, &["--update", "--metric", "hd95"]);
    assert!(
        code(&output) == 2 && stderr(&output).contains("`hd95`"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("seed-0"), "{}", stderr(&output));
}
