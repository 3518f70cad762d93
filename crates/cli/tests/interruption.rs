//! `htl train` that is told to end: exit code 75, and the same bytes after it has continued.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

/// Dark squares on light ground, six for training and two for each other split.
fn data_folder(root: &Path) {
    let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
    for kind in ["images", "masks"] {
        fs::create_dir_all(root.join(kind)).unwrap();
    }
    for i in 0..10u32 {
        let inside = |x: u32, y: u32| (2 + i % 4..9 + i % 4).contains(&x) && (3..10).contains(&y);
        let colour = |x, y| image::Rgb(if inside(x, y) { [90, 60, 50] } else { [220, 180, 160] });
        let mask = |x, y| image::Luma([if inside(x, y) { 255u8 } else { 0 }]);
        let image = image::RgbImage::from_fn(16, 16, colour);
        image.save(root.join(format!("images/i{i}.png"))).unwrap();
        let mask = image::GrayImage::from_fn(16, 16, mask);
        mask.save(root.join(format!("masks/i{i}.png"))).unwrap();
        let split = ["train", "val", "test"][i.saturating_sub(4) as usize / 2];
        table.push_str(&format!("i{i},{split},,,,\n"));
    }
    fs::write(root.join("metadata.csv"), table).unwrap();
}

/// Runs `htl train`, and sends a signal once some steps are done.
fn train(root: &Path, out: &str, mut signal: Option<&str>) -> (ExitStatus, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_htl"))
        .args(["--device", "cpu", "train", "--config"])
        .arg(root.join("config.toml"))
        .arg("--out")
        .arg(root.join(out))
        .env("HTL_PROGRESS", "lines")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = String::new();
    for line in lines {
        let line = line.unwrap();
        told += &line;
        // There are at most a hundred of these lines, so not one for every step.
        let steps = line
            .strip_prefix("progress ")
            .and_then(|line| line.split(' ').next()?.parse::<usize>().ok());
        if steps.is_some_and(|steps| steps >= 3)
            && let Some(signal) = signal.take()
        {
            let sent = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap();
            assert!(sent.success());
        }
    }
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap() + &told)
}

#[test]
fn signals_save_the_state_and_ask_to_be_run_again() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    data_folder(&root.join("data"));
    let data = root.join("data");
    let config =
        format!("setting = \"supervised\"\ndata = {data:?}\nsize = 16\nwidth = 2\nbatch = 2\nimage_steps = 2000\n");
    fs::write(root.join("config.toml"), config).unwrap();
    let (status, _) = train(root, "whole", None);
    assert!(status.success());
    for signal in ["-TERM", "-USR1"] {
        let out = &signal[1..];
        let (status, said) = train(root, out, Some(signal));
        assert_eq!(status.code(), Some(75), "{said}");
        assert!(said.contains("run the same command"), "{said}");
        assert!(!root.join(out).join("checkpoint.safetensors").exists());
        let (status, said) = train(root, out, None);
        assert!(status.success() && said.contains("continues after step"), "{said}");
        for name in ["checkpoint.safetensors", "history.csv"] {
            let [whole, stopped] = ["whole", out].map(|folder| fs::read(root.join(folder).join(name)).unwrap());
            assert!(whole == stopped, "{signal}: {name}");
        }
        let (status, said) = train(root, out, None);
        assert!(status.success() && said.contains("nothing trained"), "{said}");
    }
}

/// Several seeds in one call are single trainings, each in its folder; a second call finds them done.
#[test]
fn seeds_are_single_trainings() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    data_folder(&root.join("data"));
    let data = root.join("data");
    let config = format!(
        "setting = \"supervised\"\ndata = {data:?}\nsize = 16\nwidth = 2\nbatch = 2\nimage_steps = 40\nseed = 3\n"
    );
    fs::write(root.join("config.toml"), config).unwrap();
    let call = |out: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_htl"))
            .args(["--device", "cpu", "train", "--config"])
            .arg(root.join("config.toml"))
            .arg("--out")
            .arg(root.join(out))
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(call("alone", &[]).0, Some(0));
    let (code, said) = call("several", &["--seeds", "2..4"]);
    assert_eq!(code, Some(0), "{said}");
    for seed in ["seed-2", "seed-3"] {
        assert!(said.contains(&format!("{seed}/checkpoint.safetensors")), "{said}");
    }
    let checkpoint = |folder: &str| fs::read(root.join(folder).join("checkpoint.safetensors")).unwrap();
    assert!(checkpoint("alone") == checkpoint("several/seed-3"));
    assert!(checkpoint("several/seed-2") != checkpoint("several/seed-3"));
    let (code, said) = call("several", &["--seeds", "2..4"]);
    assert!(
        code == Some(0) && said.matches("nothing trained").count() == 2,
        "{said}"
    );
    let (code, said) = call("several", &["--seeds", "4..4"]);
    assert!(code == Some(2) && said.contains("such as 0..4"), "{said}");
}

/// Of two trainings into one folder the second is refused, and says so; the first ends as if it had been alone. What a killed
/// one held is free at once.
#[test]
fn a_folder_has_one_training_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    data_folder(&root.join("data"));
    let data = root.join("data");
    let config =
        format!("setting = \"supervised\"\ndata = {data:?}\nsize = 16\nwidth = 2\nbatch = 2\nimage_steps = 400000\n");
    fs::write(root.join("config.toml"), config).unwrap();
    let mut first = Command::new(env!("CARGO_BIN_EXE_htl"))
        .args(["--device", "cpu", "train", "--config"])
        .arg(root.join("config.toml"))
        .arg("--out")
        .arg(root.join("run"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = || root.join("run/config.toml").exists();
    for _ in 0..600 {
        if begun() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(begun());
    let (status, said) = train(root, "run", None);
    assert!(!status.success() && said.contains("another training"), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    let short = fs::read_to_string(root.join("run/config.toml"))
        .unwrap()
        .replace("400000", "40");
    fs::write(root.join("config.toml"), short).unwrap();
    fs::remove_dir_all(root.join("run")).unwrap();
    let (status, said) = train(root, "run", None);
    assert!(status.success(), "{said}");
}

/// A search of a sparsity that is told to end leaves nothing beside its target, and asks to be run again.
#[test]
fn a_stopped_search_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    data_folder(&root.join("data"));
    let data = root.join("data");
    let config = |steps: usize| {
        format!("setting = \"supervised\"\ndata = {data:?}\nsize = 16\nwidth = 2\nbatch = 2\nimage_steps = {steps}\n")
    };
    fs::write(root.join("config.toml"), config(40)).unwrap();
    let (status, said) = train(root, "dense", None);
    assert!(status.success(), "{said}");
    fs::write(root.join("config.toml"), config(400_000)).unwrap();
    let mut search = Command::new(env!("CARGO_BIN_EXE_htl"))
        .args(["--device", "cpu", "sparsity", "--candidates", "0.5", "--config"])
        .arg(root.join("config.toml"))
        .arg("--checkpoint")
        .arg(root.join("dense/checkpoint.safetensors"))
        .arg("--out")
        .arg(root.join("found/sparsity.json"))
        .env("HTL_PROGRESS", "lines")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(search.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let work = root.join("found/.sparsity.json.work");
    assert!(work.is_dir());
    let sent = Command::new("kill")
        .args(["-TERM", &search.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    drop(lines);
    let output = search.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("nothing is kept"), "{said}");
    assert_eq!(fs::read_dir(root.join("found")).unwrap().count(), 0);
}

/// A command that has nothing to save says so when it is ended, and ends as the signal wants it.
#[test]
fn other_commands_say_that_they_end() {
    use std::os::unix::process::ExitStatusExt;

    let place = tempfile::tempdir().unwrap();
    let never_written = place.path().join("results.csv");
    assert!(Command::new("mkfifo").arg(&never_written).status().unwrap().success());
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        let child = Command::new(env!("CARGO_BIN_EXE_htl"))
            .args(["check", "--baseline", "none.json", "--results"])
            .arg(&never_written)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), Some(number), "{said}");
        assert!(said.contains("begins anew"), "{said}");
    }
}
