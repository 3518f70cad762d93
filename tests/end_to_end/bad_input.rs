//! Bad input through the real program: each mistake gets a message that names it, and nothing is lost.

use htl_tests::{Example, SIDE, fails_with, finds, htl, id, must, run, run_htl, stderr, succeeds};
use image::{DynamicImage, GrayImage, ImageFormat};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Arguments from strings and paths.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$(std::ffi::OsString::from($arg)),*] };
}

#[test]
fn the_example_itself_is_good() {
    let example = Example::new();
    succeeds(&example.verify());
    let config = example.config("train.toml", "supervised", "");
    succeeds(&example.train(&config, &example.path("run")));
    assert!(example.path("run").join("checkpoint.safetensors").exists());
}

#[test]
fn a_missing_image_is_named() {
    let example = Example::new();
    must(fs::remove_file(example.image(3)));
    fails_with(&example.verify(), &["metadata.csv", &id(3)]);
}

/// A mask may be missing, but not where it is asked for.
#[test]
fn a_missing_mask_is_named_where_it_is_needed() {
    let example = Example::new();
    must(fs::remove_file(example.mask(3)));
    succeeds(&example.verify());
    let list = example.path("labelled.csv");
    must(fs::write(&list, format!("image_id\n{}\n{}\n", id(2), id(3))));
    let config = example.config("train.toml", "supervised", &format!("labelled = '{}'", list.display()));
    fails_with(&example.train(&config, &example.path("run")), &[&id(3), "mask"]);
    assert!(!example.path("run").join("checkpoint.safetensors").exists());
}

#[test]
fn a_mask_of_another_size_is_named_with_both_sizes() {
    let example = Example::new();
    must(GrayImage::new(SIDE, SIDE / 2).save(example.mask(5)));
    let size = format!("{SIDE}x{}", SIDE / 2);
    let output = example.verify();
    finds(&output, &[&text(&example.mask(5))]);
    let said = String::from_utf8_lossy(&output.stdout)
        .replace(" x ", "x")
        .replace('×', "x");
    assert!(
        said.contains(&size) && said.contains(&format!("{SIDE}x{SIDE}")),
        "{said}"
    );
}

#[test]
fn a_corrupt_jpeg_is_named() {
    let example = Example::new();
    let jpeg = example.image(4).with_extension("jpg");
    must(
        must(image::open(example.image(4)))
            .to_rgb8()
            .save_with_format(&jpeg, ImageFormat::Jpeg),
    );
    must(fs::remove_file(example.image(4)));
    succeeds(&example.verify());
    let mut bytes = must(fs::read(&jpeg));
    let quarter = bytes.len() / 4;
    bytes[2..quarter].fill(0x55);
    must(fs::write(&jpeg, &bytes));
    finds(&example.verify(), &[&text(&jpeg)]);
}

#[test]
fn a_truncated_png_is_named() {
    for mask in [false, true] {
        let example = Example::new();
        let path = if mask { example.mask(6) } else { example.image(6) };
        let bytes = must(fs::read(&path));
        must(fs::write(&path, &bytes[..bytes.len() / 2]));
        finds(&example.verify(), &[&text(&path)]);
        let config = example.config("train.toml", "supervised", "");
        fails_with(&example.train(&config, &example.path("run")), &[&text(&path)]);
    }
}

#[test]
fn an_empty_file_is_named() {
    let example = Example::new();
    must(fs::write(example.image(7), ""));
    finds(&example.verify(), &[&text(&example.image(7))]);
}

/// Grey, 16-bit, alpha: images of other kinds are read as RGB.
#[test]
fn other_kinds_of_images_are_accepted() {
    let example = Example::new();
    let open = |index| must(image::open(example.image(index)));
    must(DynamicImage::ImageLuma8(open(0).to_luma8()).save(example.image(0)));
    must(DynamicImage::ImageRgba8(open(1).to_rgba8()).save(example.image(1)));
    must(DynamicImage::ImageRgb16(open(2).to_rgb16()).save(example.image(2)));
    must(DynamicImage::ImageLuma16(open(3).to_luma16()).save(example.image(3)));
    succeeds(&example.verify());
    let config = example.config("train.toml", "supervised", "");
    succeeds(&example.train(&config, &example.path("run")));
}

#[test]
fn a_table_without_ids_is_refused_and_other_headers_are_read() {
    let example = Example::new();
    example.edit_metadata(|table| table.replace("sex", "gender").replace("age_approx", "age"));
    succeeds(&example.verify());
    example.edit_metadata(|table| table.replace("image_id", "Bild"));
    fails_with(&example.verify(), &["metadata.csv", "image_id", "--map image_id=NAME"]);
}

#[test]
fn a_duplicate_id_is_named_with_its_line() {
    let example = Example::new();
    example.edit_metadata(|table| table.replace(&id(9), &id(8)));
    fails_with(&example.verify(), &["metadata.csv", &id(8), "line 11"]);
}

#[test]
fn an_age_that_is_no_number_is_named_with_its_line() {
    let example = Example::new();
    example.edit_metadata(|table| table.replace(",34,", ",thirty-four,"));
    fails_with(
        &example.verify(),
        &["metadata.csv", "line 4", "age_approx", "thirty-four"],
    );
}

#[test]
fn an_empty_split_is_named() {
    let example = Example::new();
    example.edit_metadata(|table| table.replace(",val,", ",train,"));
    fails_with(&example.verify(), &["val", "empty"]);
}

#[test]
fn an_unknown_split_is_named() {
    let example = Example::new();
    example.edit_metadata(|table| table.replace(",val,", ",held-out,"));
    fails_with(&example.verify(), &["held-out", "train, val or test"]);
}

#[test]
fn a_folder_that_is_no_data_folder() {
    let folder = must(tempfile::tempdir());
    fails_with(&run_htl(args!["data", "verify", "--data", folder.path()]), &["images"]);
    fails_with(
        &run_htl(args!["data", "verify", "--data", folder.path().join("nowhere")]),
        &["nowhere"],
    );
}

#[test]
fn a_checkpoint_of_another_network_is_named() {
    let example = Example::new();
    let dense = example.config("dense.toml", "supervised", "");
    succeeds(&example.train(&dense, &example.path("dense")));
    let checkpoint = example.path("dense").join("checkpoint.safetensors");
    // Another width.
    let wider = example.config(
        "wider.toml",
        "supervised",
        &format!("init = '{}'", checkpoint.display()),
    );
    must(fs::write(
        &wider,
        must(fs::read_to_string(&wider)).replace("width = 2", "width = 4"),
    ));
    fails_with(&example.train(&wider, &example.path("wider")), &[&text(&checkpoint)]);
    // A localizer where a classifier is expected.
    let init = format!("init = '{}'", checkpoint.display());
    let classifier = example.config("classifier.toml", "weakly-supervised", &init);
    fails_with(
        &example.train(&classifier, &example.path("classifier")),
        &[&text(&checkpoint)],
    );
    // A file that is no checkpoint at all.
    let other = example.path("other.safetensors");
    must(fs::write(&other, "not tensors"));
    let output = run_htl(args![
        "evaluate",
        "--checkpoint",
        &other,
        "--data",
        example.data(),
        "--split",
        "test",
        "--out",
        example.path("e.csv")
    ]);
    fails_with(&output, &[&text(&other)]);
    assert!(!example.path("e.csv").exists());
}

#[test]
fn sparsity_outside_its_range_is_named() {
    let example = Example::new();
    let config = example.config("train.toml", "supervised", "");
    succeeds(&example.train(&config, &example.path("dense")));
    let checkpoint = example.path("dense").join("checkpoint.safetensors");
    for sparsity in ["1", "1.5", "-0.1", "NaN"] {
        let pruned = example.path("pruned.safetensors");
        let flag = format!("--sparsity={sparsity}");
        let output = run_htl(args!["prune", "--checkpoint", &checkpoint, &flag, "--out", &pruned]);
        fails_with(&output, &["sparsity", "[0, 1)"]);
        assert!(!pruned.exists());
    }
}

#[test]
fn an_unknown_key_is_named() {
    let example = Example::new();
    let config = example.config("train.toml", "supervised", "learning_rat = 0.1");
    let output = example.train(&config, &example.path("run"));
    fails_with(&output, &[&text(&config), "learning_rat"]);
    let good = example.config("good.toml", "supervised", "");
    let output = run_htl(args![
        "train",
        "--config",
        &good,
        "--set",
        "sede=1",
        "--out",
        example.path("run")
    ]);
    fails_with(&output, &["sede"]);
}

#[test]
fn an_unknown_device_is_named() {
    let example = Example::new();
    let config = example.config("train.toml", "supervised", "");
    let output = run_htl(args![
        "--device",
        "tpu",
        "train",
        "--config",
        &config,
        "--out",
        example.path("run")
    ]);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("tpu") && said.contains("cpu"), "{said}");
    #[cfg(target_os = "linux")]
    {
        let output = run_htl(args![
            "--device",
            "metal",
            "train",
            "--config",
            &config,
            "--out",
            example.path("run")
        ]);
        fails_with(&output, &["metal"]);
    }
    assert!(!example.path("run").exists());
}

/// Root may write everywhere, so the folder is one that nobody can make: below a file.
#[test]
fn an_output_that_cannot_be_written_is_named() {
    let example = Example::new();
    let config = example.config("train.toml", "supervised", "");
    let below_a_file = config.join("run");
    fails_with(&example.train(&config, &below_a_file), &[&text(&below_a_file)]);
    succeeds(&example.train(&config, &example.path("run")));
    let checkpoint = example.path("run").join("checkpoint.safetensors");
    let out = config.join("e.csv");
    let output = run_htl(args![
        "evaluate",
        "--checkpoint",
        &checkpoint,
        "--data",
        example.data(),
        "--split",
        "test",
        "--out",
        &out
    ]);
    fails_with(&output, &[&text(&out)]);
}

/// Runs `htl` in a world where no file may grow beyond `blocks` of 512 or 1,024 bytes, as if the disk were full.
#[cfg(unix)]
fn with_full_disk(blocks: u32, args: &[std::ffi::OsString]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    run(Command::new("/bin/sh").args(["-c", &script]).arg(htl()).args(args))
}

/// A full disk ends a training with the name of the file; what was there before stays as it was.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let example = Example::new();
    let config = example.config("train.toml", "supervised", "");
    let (run_folder, pruned) = (example.path("run"), example.path("pruned.safetensors"));
    let output = with_full_disk(
        4,
        args!["--device", "cpu", "train", "--config", &config, "--out", &run_folder],
    );
    fails_with(&output, &[&text(&run_folder)]);
    assert!(
        !run_folder.join("checkpoint.safetensors").exists(),
        "a half-written checkpoint"
    );
    // With room again the same command finishes.
    succeeds(&example.train(&config, &run_folder));

    let checkpoint = run_folder.join("checkpoint.safetensors");
    let prune = |sparsity: &str| -> Vec<std::ffi::OsString> {
        args![
            "prune",
            "--checkpoint",
            &checkpoint,
            "--sparsity",
            sparsity,
            "--out",
            &pruned
        ]
        .to_vec()
    };
    succeeds(&run(Command::new(htl()).args(prune("0.5"))));
    let before = must(fs::read(&pruned));
    fails_with(&with_full_disk(4, &prune("0.9")), &[&text(&pruned)]);
    assert!(must(fs::read(&pruned)) == before, "the earlier file was lost");
}

/// A whole run on a full disk says so, and goes on when there is room again.
#[cfg(unix)]
#[test]
fn reproduce_survives_a_full_disk() {
    let folder = must(tempfile::tempdir());
    let command = htl_tests::reproduce_tiny(folder.path());
    // Room for the plan, but not for the state of a training.
    let script = "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\"";
    let output = run(Command::new("/bin/sh")
        .args(["-c", script])
        .arg(command.get_program())
        .args(command.get_args()));
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("stage") && !said.contains("panicked"), "{said}");
    assert!(!folder.path().join("results.json").exists());
    succeeds(&run(&mut htl_tests::reproduce_tiny(folder.path())));
}

/// Data that is bad is refused by `reproduce` before any training.
#[test]
fn reproduce_checks_the_data_first() {
    let example = Example::new();
    must(fs::write(example.mask(6), "no png"));
    let out = must(tempfile::tempdir());
    let output = run(htl_tests::reproduce_tiny(out.path()).arg("--data").arg(example.data()));
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&text(&example.mask(6))), "{}", stderr(&output));
    assert!(!out.path().join("stages").exists());
    let output = run(htl_tests::reproduce_tiny(out.path())
        .arg("--data")
        .arg(out.path().join("nowhere")));
    assert!(!output.status.success() && stderr(&output).contains("nowhere"));
}

/// Label maps are refused with what was found, and become masks when it is said what means inside; what is in the way or cannot be
/// converted is named, and then nothing is written.
#[test]
fn label_maps_are_refused_and_converted() {
    let example = Example::new();
    let labels = GrayImage::from_fn(SIDE, SIDE, |x, y| {
        image::Luma([u8::from(x + y > SIDE) + u8::from(x > SIDE / 2)])
    });
    must(labels.save(example.mask(3)));
    finds(&example.verify(), &[&id(3), "largest value is 2", "convert-masks"]);

    let (source, out) = (example.path("labels"), example.path("converted"));
    must(fs::create_dir_all(&source));
    must(labels.save(source.join("a.png")));
    let convert = |arguments: &[&str]| {
        let mut command = Command::new(htl());
        command
            .args(["data", "convert-masks"])
            .arg(&source)
            .arg("--out")
            .arg(&out);
        run(command.args(arguments))
    };
    assert_eq!(convert(&[]).status.code(), Some(2));
    succeeds(&convert(&["--inside", "1,2"]));
    let mask = must(image::open(out.join("a.png"))).into_luma8();
    let inside = |x: u32, y: u32| labels.get_pixel(x, y).0[0] > 0;
    assert!(
        mask.enumerate_pixels()
            .all(|(x, y, pixel)| pixel.0[0] == if inside(x, y) { 255 } else { 0 })
    );
    must(fs::copy(out.join("a.png"), example.mask(3)));
    succeeds(&example.verify());
    fails_with(&convert(&["--inside", "1"]), &["a.png is there already"]);
    must(fs::write(source.join("b.png"), "text"));
    must(fs::remove_dir_all(&out));
    fails_with(&convert(&["--above", "0"]), &["nothing was written", "b.png"]);
    assert!(!out.exists());
}
