//! Weights of other programs: files that PyTorch wrote, those that are broken or hostile, names of other libraries, and what a
//! network takes over (`golden/weights.py` makes the files).

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use common::{filled, flat};
use htl_models::weights::{self, Naming, Scope};
use htl_models::{Architecture, ModelError, Network, Part};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/weights")
        .join(name)
}

fn small() -> Network {
    Network::build(&Architecture::unet(1).unwrap(), 0, &Device::Cpu).unwrap()
}

fn state(network: &Network) -> BTreeMap<String, Tensor> {
    network.state_dict(Naming::Htl).unwrap()
}

fn values(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Vec<f32>> {
    let numbers = |tensor: &Tensor| {
        tensor
            .flatten_all()
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap()
            .to_vec1()
            .unwrap()
    };
    tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), numbers(tensor)))
        .collect()
}

/// What the generator's tensors are, by our names.
fn expected(network: &Network) -> BTreeMap<String, Vec<f32>> {
    let all = network.parameters().all();
    let numbers = |tensor: Tensor| flat(&tensor).into_iter().map(|value| value as f32).collect();
    all.into_iter()
        .map(|(name, var)| (name.clone(), numbers(filled(&name, var.dims()))))
        .collect()
}

fn problem<T>(result: Result<T, ModelError>) -> String {
    result.err().expect("an error").to_string()
}

fn read_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.pth");
    std::fs::write(&path, bytes).unwrap();
    weights::read(&path)
}

/// Files of `torch.save`, new and old, bare and inside dictionaries, and safetensors.
#[test]
fn files_of_state_dicts_are_taken_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written.safetensors");
    let source = small();
    let tensors = source.parameters().all().into_iter();
    let tensors = tensors.map(|(name, var)| (name.clone(), filled(&name, var.dims()).to_dtype(DType::F32).unwrap()));
    weights::write(&written, &tensors.collect()).unwrap();
    for path in [golden("state.pth"), golden("nested.pth"), golden("legacy.pth"), written] {
        let network = small();
        let adopted = network.adopt(&weights::read(&path).unwrap(), Scope::Whole).unwrap();
        assert!(adopted.missed.is_empty() && adopted.left.is_empty() && adopted.misshapen.is_empty());
        assert_eq!(adopted.taken.len(), state(&network).len());
        let (found, expected) = (values(&state(&network)), expected(&network));
        for (name, expected) in &expected {
            // The old file has some convolutions as 16-bit numbers.
            let tolerance = if name.ends_with("0.0.weight") { 1e-3 } else { 0.0 };
            let pairs = found[name].iter().zip(expected);
            let error = pairs.fold(0f32, |error, (found, expected)| error.max((found - expected).abs()));
            assert!(error <= tolerance, "{}: {name}: {error}", path.display());
        }
        let adopted = small().adopt(&weights::read(&path).unwrap(), Scope::Encoder).unwrap();
        assert!(adopted.taken.iter().all(|name| name.starts_with("encoder.")));
        assert_eq!(adopted.left.len(), 3 * 10 + 2, "{:?}", adopted.left);
    }
}

/// Safetensors begin with the length of their header, which may look like a pickle or an archive.
#[test]
fn safetensors_are_known_whatever_they_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let zeros = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    for (begin, from) in [(&b"\x80"[..], 1), (b"PK", 19_000)] {
        let found = (from..from + 400).any(|length| {
            weights::write(&path, &BTreeMap::from([("x".repeat(length), zeros.clone())])).unwrap();
            std::fs::read(&path).unwrap().starts_with(begin)
        });
        assert!(found && weights::read(&path).is_ok_and(|tensors| tensors.len() == 1));
    }
}

/// Views, transposed tensors, scalars, empty ones and other types, by two versions of pickles.
#[test]
fn tensors_of_any_shape_are_read() {
    for name in ["odd.pth", "odd-protocol-4.pth"] {
        let tensors = weights::read(&golden(name)).unwrap();
        let found = values(&tensors);
        let count: Vec<f32> = (0u8..12).map(f32::from).collect();
        assert_eq!(found["whole"], count);
        assert_eq!(tensors["turned"].dims(), [4, 3]);
        assert_eq!(found["turned"], [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
        assert_eq!(found["part"], [5., 6., 7.]);
        assert_eq!((tensors["one"].rank(), found["one"][0]), (0, 2.5));
        assert_eq!(tensors["none"].dims(), [0, 4]);
        assert_eq!(tensors["bytes"].to_vec1::<u8>().unwrap(), [1, 0]);
        assert_eq!(tensors["long"].to_vec1::<i64>().unwrap(), [-1, 1 << 40]);
    }
}

#[test]
fn what_wants_to_run_something_is_refused_by_name() {
    for name in ["hostile.pth", "hostile-pickle.pth", "hostile-legacy.pth"] {
        let said = problem(weights::read(&golden(name)));
        assert!(said.contains("wants to run `os.system`"), "{name}: {said}");
        assert!(said.contains("torch.save(model.state_dict()"), "{name}: {said}");
    }
}

/// Cut anywhere, a file is an error in words, or its end was of no use; changed anywhere, it is never worse.
#[test]
fn broken_files_are_errors() {
    for name in ["state.pth", "legacy.pth", "odd.pth", "odd-protocol-4.pth"] {
        let whole = std::fs::read(golden(name)).unwrap();
        for end in (0..whole.len()).step_by(if whole.len() > 5000 { 397 } else { 41 }) {
            let said = problem(read_bytes(&whole[..end]));
            assert!(
                said.contains("no weights that can be read"),
                "{name} cut at {end}: {said}"
            );
        }
        for at in (0..whole.len()).step_by(if whole.len() > 5000 { 211 } else { 7 }) {
            for value in [0, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Ok(tensors) = read_bytes(&changed) {
                    let bytes: usize = tensors.values().map(|tensor| tensor.elem_count()).sum();
                    assert!(bytes <= 4 * whole.len(), "{name} changed at {at}");
                }
            }
        }
    }
    for (bytes, said) in [
        (&b""[..], "neither safetensors nor a file of torch.save"),
        (b"<html>log in</html>", "neither safetensors nor a file of torch.save"),
        (
            b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "`data.pkl` is missing",
        ),
        (b"PK\x03\x04", "not a whole ZIP archive"),
        (b"\x80\x02}q\0.", "a pickle, but not one of torch.save"),
        // A string of 4 GiB, a number of 255 bytes, an object that is not there.
        (b"\x80\x02X\xff\xff\xff\xff", "ends in the middle"),
        (b"\x80\x02\x8a\xff0", "a number that is too large"),
        (b"\x80\x02h\x05.", "pickle is damaged"),
        (b"\x08\0\0\0\0\0\0\0{}", "no weights that can be read"),
        (b"\x02\0\0\0\0\0\0\0{}", "holds no tensor"),
    ] {
        let found = problem(read_bytes(bytes));
        assert!(found.contains(said), "{found}");
    }
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(problem(read_bytes(&tar)).contains("TAR archive"));
    let said = problem(weights::read(&golden("missing.pth")));
    assert!(said.contains("cannot read"), "{said}");
}

/// Small pickles that claim to be large ones: objects inside each other, one object named many times.
#[test]
fn pickles_stay_small() {
    let magic = std::fs::read(golden("hostile-legacy.pth")).unwrap();
    let head = &magic[..magic.windows(2).rposition(|pair| pair == [0x80, 2]).unwrap()];
    let deep = [head, b"\x80\x02)", &b"\x85".repeat(1 << 20), b"."].concat();
    assert!(
        problem(read_bytes(&deep)).contains("storages is missing") || problem(read_bytes(&deep)).contains("middle")
    );
    // x = (x, x), sixty times: 2 to the 60 leaves if they were copied.
    let doubled = b"q\0h\0h\0\x86".repeat(60);
    let doubled = [head, b"\x80\x02}", &doubled[..], b".\x80\x02]."].concat();
    let said = problem(read_bytes(&doubled));
    assert!(said.contains("no dictionary of tensors"), "{said}");
    let many = [head, b"\x80\x02", &b"N".repeat(5 << 20)[..]].concat();
    assert!(problem(read_bytes(&many)).contains("more than 4194304 objects"));
}

#[derive(serde::Deserialize)]
struct Peer {
    encoder: String,
    decoder: Option<String>,
    head: Option<String>,
    names: Vec<(String, String)>,
    rest: Vec<String>,
}

/// Every tensor of networks that people know comes to its place, and what is left over is what has none.
#[test]
fn names_of_other_libraries_are_understood() {
    let text = std::fs::read_to_string(golden("names.json")).unwrap();
    let peers: BTreeMap<String, Peer> = serde_json::from_str(&text).unwrap();
    assert_eq!(peers.len(), 8);
    for (title, peer) in peers {
        let part = |text: &str| text.parse::<Part>().unwrap();
        let head = peer.head.as_deref().map_or(Part::new("classifier"), part);
        let architecture = Architecture::new(part(&peer.encoder), peer.decoder.as_deref().map(part), head, 3).unwrap();
        let network = Network::build(&architecture, 0, &Device::Cpu).unwrap();
        let shape = |ours: &str| {
            let var = network.parameters().get(ours);
            var.unwrap_or_else(|| panic!("{title}: {ours}")).dims().to_vec()
        };
        // A different number in each tensor is enough to tell them apart.
        let mut tensors = BTreeMap::new();
        for (at, (theirs, ours)) in peer.names.iter().enumerate() {
            let tensor = Tensor::full(1.0 + at as f32, shape(ours), &Device::Cpu).unwrap();
            tensors.insert(theirs.clone(), tensor);
        }
        for theirs in &peer.rest {
            tensors.insert(theirs.clone(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
        }
        let scope = if peer.decoder.is_some() {
            Scope::Whole
        } else {
            Scope::Encoder
        };
        for prefix in ["", "module.", "model.", "module.model.", "_orig_mod."] {
            let prefixed: BTreeMap<String, Tensor> = tensors
                .iter()
                .map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone()))
                .collect();
            let adopted = network.adopt(&prefixed, scope).unwrap();
            assert!(
                adopted.missed.is_empty() && adopted.misshapen.is_empty(),
                "{title}: {adopted}"
            );
            let mut rest: Vec<String> = peer.rest.iter().map(|name| format!("{prefix}{name}")).collect();
            rest.sort();
            assert_eq!(adopted.left, rest, "{title}");
            for (at, (_, ours)) in peer.names.iter().enumerate() {
                let var = network.parameters().get(ours).unwrap();
                let first = var.flatten_all().unwrap().get(0).unwrap().to_scalar::<f32>().unwrap();
                assert_eq!(first, 1.0 + at as f32, "{title}: {ours}");
            }
        }
        let identified = weights::identify(&tensors).unwrap().unwrap();
        assert_eq!(
            (identified.encoder, identified.in_channels),
            (part(&peer.encoder), 3),
            "{title}"
        );
        // Back again, where the library has the network.
        if title.starts_with("smp") {
            let theirs = network.state_dict(Naming::Smp).unwrap();
            let mut names: Vec<&String> = peer.names.iter().map(|(theirs, _)| theirs).collect();
            names.sort();
            assert_eq!(theirs.keys().collect::<Vec<_>>(), names, "{title}");
        }
    }
}

/// Whatever does not fit is said, and then nothing has been changed.
#[test]
fn what_does_not_fit_changes_nothing() {
    let network = small();
    let before = values(&state(&network));
    let whole = weights::read(&golden("state.pth")).unwrap();
    let refused = |tensors: &BTreeMap<String, Tensor>| {
        let said = [Scope::Encoder, Scope::Whole].map(|scope| problem(network.adopt(tensors, scope)));
        assert_eq!(values(&state(&network)), before, "{}", said[0]);
        assert_eq!(said[0], said[1]);
        said[0].clone()
    };
    let mut half = whole.clone();
    half.retain(|name, _| !name.starts_with("encoder.2.") && !name.starts_with("encoder.3."));
    assert_eq!(
        refused(&half),
        "the weights belong to another network: 20 of 40 tensors of the encoder plain are missing, the first is `encoder.2.0.weight`"
    );
    let with = |name: &str, tensor: Tensor| {
        let mut tensors = whole.clone();
        tensors.insert(name.to_owned(), tensor);
        tensors
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let said = refused(&with("encoder.0.0.weight", zeros(&[1, 1, 3, 3])));
    assert!(
        said.contains("`encoder.0.0.weight` is for images of 1 channels, and the network takes 3"),
        "{said}"
    );
    let said = refused(&with("encoder.1.1.bias", zeros(&[7])));
    assert!(
        said.contains("1 of 40 tensors of the encoder plain have other shapes: encoder.1.1.bias [7] instead of [2]"),
        "{said}"
    );
    let said = refused(&with("module.encoder.1.1.bias", zeros(&[2])));
    assert!(
        said.contains("`encoder.1.1.bias` and `module.encoder.1.1.bias` of the file are both `encoder.1.1.bias`"),
        "{said}"
    );
    let infinite = (zeros(&[2]) + f64::INFINITY).unwrap();
    let said = refused(&with("encoder.1.1.bias", infinite));
    assert!(
        said.contains("tensor `encoder.1.1.bias` holds inf at position 0"),
        "{said}"
    );
    let negative = (zeros(&[2]) - 1.0).unwrap();
    let said = refused(&with("encoder.1.1.running_var", negative));
    assert!(said.contains("a variance"), "{said}");
}

/// A file of another encoder is named, also where ours is a part of it.
#[test]
fn another_encoder_is_named() {
    let file = |name: &str| {
        let architecture = Architecture::classifier(Part::new(name), 2).unwrap();
        state(&Network::build(&architecture, 0, &Device::Cpu).unwrap())
    };
    let network = |name: &str| {
        let architecture = Architecture::classifier(Part::new(name), 2).unwrap();
        Network::build(&architecture, 0, &Device::Cpu).unwrap()
    };
    for (theirs, ours) in [
        ("resnet34", "resnet18"),
        ("resnet18", "resnet34"),
        ("efficientnet-lite2", "efficientnet-lite0"),
        ("mobilenet-v2", "efficientnet-lite0"),
    ] {
        let said = problem(network(ours).adopt(&file(theirs), Scope::Encoder));
        assert!(
            said.contains(&format!("they are of the encoder {theirs}, expected {ours}")),
            "{said}"
        );
    }
    let plain = problem(network("resnet18").adopt(&state(&small()), Scope::Encoder));
    assert!(plain.contains("they are of the encoder plain width=1"), "{plain}");
}

/// Decoder and head take what fits; the report says what did not.
#[test]
fn a_report_names_what_was_taken_and_left() {
    let mut tensors = weights::read(&golden("state.pth")).unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    tensors.insert("head.weight".into(), zeros(&[2, 1, 1, 1]));
    tensors.remove("decoder.1.0.weight");
    tensors.insert("fc.weight".into(), zeros(&[1000, 8]));
    let adopted = small().adopt(&tensors, Scope::Whole).unwrap();
    assert_eq!(
        adopted.to_string(),
        "taken: 70 tensors (decoder.0.0.weight, decoder.0.1.bias, decoder.0.1.running_mean, ...)\n\
         not in the file: 1 tensor (decoder.1.0.weight)\n\
         in the file in another shape: 1 tensor (head.weight [2, 1, 1, 1] instead of [1, 1, 1, 1])\n\
         left over in the file: 1 tensor (fc.weight)"
    );
}

#[test]
fn names_that_a_library_does_not_have_are_an_error() {
    let said = |architecture: Architecture| {
        let network = Network::build(&architecture, 0, &Device::Cpu).unwrap();
        problem(network.state_dict(Naming::Smp))
    };
    let plain = said(Architecture::unet(1).unwrap());
    assert!(
        plain.contains("segmentation_models_pytorch has no encoder `plain`"),
        "{plain}"
    );
    let encoder = || Part::new("mobilenet-v2");
    let lraspp = said(Architecture::localizer(encoder(), Part::new("lraspp")).unwrap());
    assert!(lraspp.contains("has no decoder `lraspp`"), "{lraspp}");
    let classifier = said(Architecture::classifier(encoder(), 2).unwrap());
    assert!(classifier.contains("has no classifiers alone"), "{classifier}");
}

/// Every published set of weights is of an encoder that is here, says what images it wants, and can be checked.
#[test]
fn published_weights_can_be_used() {
    let names: Vec<&str> = weights::PUBLISHED.iter().map(|row| row.name).collect();
    assert_eq!(
        names,
        ["lite0", "lite2", "mobilenet-v2", "resnet18", "resnet34", "resnet50"]
    );
    for row in weights::PUBLISHED {
        Architecture::classifier(Part::new(row.encoder), 2).unwrap();
        assert!(
            row.normalisation().is_some() && row.address.starts_with("https://"),
            "{row:?}"
        );
        let hash = row.member.map_or(row.sha256, |member| member.sha256);
        // Publishers put the first digits into names.
        assert!(hash.len() == 64 || row.file.contains(hash), "{row:?}");
        assert!(row.has(&format!("{hash:0<64}")) && !row.has(&"0".repeat(64)) && row.has(hash) == (hash.len() == 64));
    }
    assert!(problem(weights::published("resnet8")).contains("did you mean `resnet18`"));
}

/// A network of ours and its twin in segmentation_models_pytorch, which loads our file strictly, give the same logits.
#[test]
fn a_twin_in_python_gives_the_same_logits() {
    let python = std::env::var("HTL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let run = |arguments: &[&Path]| std::process::Command::new(&python).args(arguments).output();
    let asked = run(&[
        Path::new("-c"),
        Path::new("import segmentation_models_pytorch, safetensors.torch"),
    ]);
    if !asked.is_ok_and(|asked| asked.status.success()) {
        println!("skipped: no segmentation_models_pytorch for {python} (HTL_PYTHON says which)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let images = common::images([2, 3, 64, 96]).to_dtype(DType::F32).unwrap();
    weights::write(
        &path("images"),
        &BTreeMap::from([("images".to_owned(), images.clone())]),
    )
    .unwrap();
    for (encoder, decoder, head, twin, kind) in [
        ("resnet18", "unet", "localizer kernel=3", "resnet18", "Unet"),
        (
            "efficientnet-lite0",
            "unet",
            "localizer kernel=3",
            "tu-tf_efficientnet_lite0",
            "Unet",
        ),
        (
            "mobilenet-v2",
            "fpn pyramid=256 width=128",
            "localizer",
            "tu-mobilenetv2_100",
            "FPN",
        ),
    ] {
        let part = |text: &str| text.parse::<Part>().unwrap();
        let architecture = Architecture::new(part(encoder), Some(part(decoder)), part(head), 3).unwrap();
        let network = Network::build(&architecture, 3, &Device::Cpu).unwrap();
        // Initial weights would leave the logits next to nothing.
        let filled: BTreeMap<String, Tensor> = network
            .parameters()
            .all()
            .into_iter()
            .map(|(name, var)| (name.clone(), filled(&name, var.dims())))
            .collect();
        network.parameters().load(&filled).unwrap();
        weights::write(&path("weights"), &network.state_dict(Naming::Smp).unwrap()).unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/smp_twin.py");
        let arguments = [
            script,
            twin.into(),
            kind.into(),
            path("weights"),
            path("images"),
            path("out"),
        ];
        let ran = run(&arguments.each_ref().map(PathBuf::as_path)).unwrap();
        assert!(ran.status.success(), "{twin}: {}", String::from_utf8_lossy(&ran.stderr));
        let theirs = candle_core::safetensors::load(path("out"), &Device::Cpu).unwrap();
        let theirs = flat(&theirs["logits"].to_dtype(DType::F64).unwrap());
        let ours = network.forward(&images, htl_models::Mode::Evaluate).unwrap();
        let ours = flat(&ours.to_dtype(DType::F64).unwrap());
        assert_eq!(ours.len(), theirs.len());
        let largest = theirs.iter().fold(0f64, |largest, value| largest.max(value.abs()));
        let error = ours
            .iter()
            .zip(&theirs)
            .fold(0f64, |error, (a, b)| error.max((a - b).abs()));
        assert!(
            largest > 0.1 && error < 1e-4 * largest.max(1.0),
            "{twin}: {error} of {largest}"
        );
    }
}
