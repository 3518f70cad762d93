use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use htl_datasets::{
    ImportOptions, Manifest, Origin, import, parse_metadata, read_ids, read_mask, read_prediction, read_rgb,
};
use htl_experiment::{Profile, campaign::Campaign};
use htl_metrics::{BandParams, Baseline, Better, ImageScores, Mask, PerImage, PerImageRow, Runs};
use htl_mining::{Encoding, FeatureTable, Population, ScoreRow, ScoreTable};
use htl_models::weights::{self, Scope};
use htl_models::{Architecture, Checkpoint, Network};
use htl_trainers::TrainConfig;
use htl_vocabulary::{Results, read_history};

use crate::{NOT_FINITE, Reader};

/// Every reader of a file that people or other programs may have made.
pub const READERS: &[Reader] = &[
    Reader {
        name: "png-image",
        file: "image.png",
        corpus: |_| vec![golden("rgba.png"), golden("palette.png"), golden("grey16.png")],
        read: |path| said(read_rgb(path)).map(drop),
    },
    Reader {
        name: "jpeg-image",
        file: "image.jpg",
        corpus: |_| {
            vec![
                golden("baseline.jpg"),
                golden("progressive.jpg"),
                golden("oriented.jpg"),
            ]
        },
        read: |path| said(read_rgb(path)).map(drop),
    },
    Reader {
        name: "mask",
        file: "mask.png",
        corpus: |_| vec![golden("one_bit.png")],
        read: |path| {
            // What a truth is, a prediction is, too.
            let mask = said(read_mask(path))?;
            match mask == said(read_prediction(path))? {
                true => Ok(()),
                false => Err(format!("{NOT_FINITE}: a truth reads as another prediction")),
            }
        },
    },
    Reader {
        name: "archive",
        file: "photos",
        corpus: |_| vec![golden("archives/photos.zip"), golden("archives/photos.tar.gz")],
        read: |path| imported(Origin::Folder, &[path.to_path_buf()]),
    },
    Reader {
        name: "coco",
        file: "coco.json",
        corpus: |_| vec![golden("archives/coco.json")],
        read: |path| {
            let photos = Path::new(GOLDEN).join("archives/photos.zip");
            imported(Origin::Coco, &[photos, path.to_path_buf()])
        },
    },
    Reader {
        name: "metadata",
        file: "metadata.csv",
        corpus: |_| vec![METADATA.into(), METADATA.replace(',', ";").into()],
        read: |path| {
            let text = std::fs::read(path).map_err(|error| error.to_string())?;
            let rows = said(parse_metadata(&text, path))?;
            finite(rows.iter().filter_map(|row| row.age_approx))
        },
    },
    Reader {
        name: "ids",
        file: "ids.csv",
        corpus: |_| {
            vec![
                b"image_id\nISIC_1\n\"b,c\"\n".into(),
                b"image_id,note\r\nISIC_1,x\r\n".into(),
            ]
        },
        read: |path| said(read_ids(path)).map(drop),
    },
    Reader {
        name: "manifest",
        file: "manifest.json",
        corpus: |_| vec![std::fs::read(data_folder().join("manifest.json")).unwrap_or_default()],
        read: |path| said(Manifest::read(path)).map(drop),
    },
    Reader {
        name: "scores",
        file: "scores.csv",
        corpus: |folder| vec![written(folder, "scores.csv", |path| scores().write(path).unwrap())],
        read: |path| {
            let table = said(ScoreTable::read(path))?;
            finite(table.rows().iter().flat_map(|row| row.scores.iter().flatten().copied()))
        },
    },
    Reader {
        name: "features",
        file: "features.csv",
        corpus: |folder| {
            let ids = vec!["a".into(), "b".into()];
            let table = FeatureTable::new(ids, &[vec![0.5, 1.0], vec![-2.0, 0.25]]).unwrap();
            vec![written(folder, "features.csv", |path| table.write(path).unwrap())]
        },
        read: |path| said(FeatureTable::read(path)).map(drop),
    },
    Reader {
        name: "maps",
        file: "maps.safetensors",
        corpus: |folder| {
            let of = |encoding| {
                written(folder, "maps.safetensors", |path| {
                    population().save(path, encoding).unwrap()
                })
            };
            vec![of(Encoding::F32), of(Encoding::U8)]
        },
        read: |path| {
            let maps = said(Population::load(path))?;
            let planes: Vec<Vec<f32>> = said(
                (0..maps.len())
                    .map(|image| maps.planes(image))
                    .collect::<Result<Vec<_>, _>>(),
            )?
            .concat();
            finite(planes.into_iter().flatten().map(f64::from))
        },
    },
    Reader {
        name: "checkpoint",
        file: "checkpoint.safetensors",
        corpus: |folder| vec![written(folder, "checkpoint.safetensors", checkpoint)],
        read: |path| {
            let (_, network) = said(Checkpoint::load(path, &Device::Cpu))?;
            let mut values = Vec::new();
            for (_, tensor) in network.parameters().all() {
                values.extend(said(tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()))?);
            }
            finite(values.into_iter().map(f64::from))
        },
    },
    Reader {
        name: "weights",
        file: "weights.pth",
        corpus: |_| {
            ["state.pth", "legacy.pth", "odd.pth", "odd-protocol-4.pth"]
                .map(of_models)
                .into()
        },
        read: |path| {
            let tensors = said(weights::read(path))?;
            let network = said(Architecture::unet(1).and_then(|unet| Network::build(&unet, 0, &Device::Cpu)))?;
            // Whether they fit or not: a network never holds what it cannot compute with.
            let _ = network.adopt(&tensors, Scope::Whole);
            said(network.parameters().check_finite()).map_err(|error| format!("{NOT_FINITE}: {error}"))
        },
    },
    Reader {
        name: "configuration",
        file: "train.toml",
        corpus: |_| vec![CONFIGURATION.into()],
        read: |path| {
            let config = said(TrainConfig::read(path, &[]))?;
            said(config.check()).map(drop)
        },
    },
    Reader {
        name: "profile",
        file: "profile.toml",
        corpus: |_| vec![b"base = \"tiny\"\nimage_steps = 320\ncandidates = [0.5, 0.7]\ntolerance = 0.02\n".into()],
        read: |path| said(Profile::from_file(path)).map(drop),
    },
    Reader {
        name: "campaign",
        file: "campaign.toml",
        corpus: |_| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/campaigns");
            ["long.toml", "query.toml"]
                .map(|name| std::fs::read(folder.join(name)).unwrap_or_default())
                .into()
        },
        read: |path| said(Campaign::read(path)).map(drop),
    },
    Reader {
        name: "per-image",
        file: "per_image.csv",
        corpus: |_| vec![per_image().to_csv().unwrap()],
        read: |path| {
            let text = std::fs::read(path).map_err(|error| error.to_string())?;
            let table = said(PerImage::from_csv(&text))?;
            finite(table.rows.iter().map(|row| row.scores.jaccard))
        },
    },
    Reader {
        name: "baseline",
        file: "baseline.json",
        corpus: |_| vec![serde_json::to_vec_pretty(&baseline()).unwrap()],
        read: |path| {
            let text = std::fs::read(path).map_err(|error| error.to_string())?;
            let baseline: Baseline = said(serde_json::from_slice(&text))?;
            said(baseline.validate())?;
            finite(baseline.run_means.iter().copied().chain(baseline.band_for(1)))
        },
    },
    Reader {
        name: "history",
        file: "history.csv",
        corpus: |_| vec![HISTORY.into()],
        read: |path| said(read_history(path)).map(drop),
    },
    Reader {
        name: "results",
        file: "results.json",
        corpus: |_| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../baselines/embedded-results.json");
            vec![std::fs::read(path).unwrap_or_default()]
        },
        read: |path| said(Results::read(path)).map(drop),
    },
];

const METADATA: &str = "image_id,split,age_approx,sex,anatom_site,dx,lesion_id\n\
    ISIC_1,train,55,female,anterior torso,nv,l1\nISIC_2,val,,male,,mel,l2\nISIC_3,test,85,,head/neck,,\n";

const HISTORY: &str = "epoch,step,learning_rate,train_loss,val_quality\n1,15,0.0002,1.3,\n2,30,0.003,0.9,0.5\n";

const CONFIGURATION: &str = "setting = \"supervised\"\ndata = \"data\"\nsize = 64\nwidth = 8\nbatch = 16\nimage_steps = 6000\n\
    learning_rate = 0.003\n[attention]\nscores = \"scores.csv\"\ndose = \"rank\"\npower = 2\nweight = 7\n";

fn said<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}

/// Numbers that a reader handed out.
fn finite(mut values: impl Iterator<Item = f64>) -> Result<(), String> {
    match values.find(|value| !value.is_finite()) {
        Some(odd) => Err(format!("{NOT_FINITE}: {odd}")),
        None => Ok(()),
    }
}

fn data_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded")
}

/// Small committed files of htl-datasets.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/datasets/tests/golden");

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(GOLDEN).join(name)).unwrap_or_default()
}

/// Small committed files of weights.
fn of_models(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/models/tests/golden/weights");
    std::fs::read(Path::new(folder).join(name)).unwrap_or_default()
}

/// Imports into a folder of its own; nothing else may be there afterwards.
fn imported(origin: Origin, given: &[PathBuf]) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let outcome = said(import(
        origin,
        given,
        &place.path().join("out"),
        &ImportOptions::default(),
    ));
    let entries = std::fs::read_dir(place.path()).map_err(|error| error.to_string())?;
    match entries.count() == usize::from(outcome.is_ok()) {
        true => outcome.map(drop),
        false => Err(format!("{NOT_FINITE}: it left something behind, or nothing")),
    }
}

fn written(folder: &Path, name: &str, write: impl FnOnce(&Path)) -> Vec<u8> {
    let path = folder.join(name);
    write(&path);
    std::fs::read(path).unwrap_or_default()
}

fn scores() -> ScoreTable {
    let mut table = ScoreTable::new(["disagreement", "forgetting_raw"]);
    for (image_id, score, htl) in [("ISIC_1", 0.25, false), ("ISIC_2", 0.5, true)] {
        let row = ScoreRow {
            image_id: image_id.into(),
            setting: "supervised".into(),
            scores: vec![Some(score), None],
            htl,
            ..ScoreRow::default()
        };
        table.push(row).unwrap();
    }
    table
}

fn population() -> Population {
    let values: Vec<f32> = (0..2 * 16).map(|at| at as f32 / 31.0).collect();
    let maps = Tensor::from_vec(values, (2, 4, 4), &Device::Cpu).unwrap();
    Population::new(vec!["ISIC_1".into(), "ISIC_2".into()], vec![maps.clone(), maps]).unwrap()
}

fn checkpoint(path: &Path) {
    let architecture = Architecture::unet(1).unwrap();
    let network = Network::build(&architecture, 0, &Device::Cpu).unwrap();
    Checkpoint::new(architecture).save(&network, path).unwrap();
}

fn per_image() -> PerImage {
    let row = |id: &str, inside: usize| {
        let mask = |count: usize| Mask::new(4, 4, (0..16).map(|at| u8::from(at < count)).collect()).unwrap();
        PerImageRow {
            scores: ImageScores::of(id, &mask(inside), &mask(8)).unwrap(),
            calibration: None,
            lesion_id: Some(format!("l{id}")),
            patient_id: None,
            groups: vec!["female".into()],
        }
    };
    PerImage {
        group_columns: vec!["sex".into()],
        rows: vec![row("a", 8), row("b", 5), row("c", 0)],
    }
}

fn baseline() -> Baseline {
    let run = |shift: f64| ["a", "b", "c"].map(|id| (id.to_owned(), 0.7 + shift)).to_vec();
    let runs = Runs::new(&[run(0.0), run(0.01), run(-0.02)]).unwrap();
    Baseline::from_runs("jaccard", Better::Higher, &runs, BandParams::default()).unwrap()
}
