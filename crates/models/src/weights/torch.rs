use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;

use candle_core::{DType, Device, Tensor};
use zip::ZipArchive;

use super::pickle::{Id, Import, Object, Pickle, SAVE_TENSORS};
use super::storages::{Storages, stored};

/// What a file of PyTorch before 1.6 begins with, pickled, and the version of its form.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Under which keys training programs keep the state dict, the likelier first.
const KEYS: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "network",
    "net",
    "weights",
    "params",
    "module",
];

/// How many dictionaries deep a state dict is looked for.
const DEPTH: usize = 4;

/// How many times as large as the file its tensors may be together: some share storages.
const MOST_GROWTH: usize = 4;

/// Most axes of a tensor.
const MOST_AXES: usize = 8;

/// The tensors of a ZIP archive written by `torch.save` of PyTorch 1.6 and later.
pub(super) fn archive(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| format!("it is not a whole ZIP archive ({error}): fetch or copy it again"))?;
    let mut names = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|error| error.to_string())?;
        names.push(entry.name().map_err(|error| error.to_string())?.into_owned());
    }
    let folders: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .collect();
    let [folder] = folders[..] else {
        let inside = names
            .iter()
            .find(|name| name.ends_with(".pth") || name.ends_with(".pt"));
        return Err(match inside {
            Some(name) => format!(
                "it is an archive in which `{}` lies: unpack that",
                htl_vocabulary::readable(name)
            ),
            None => "it is a ZIP archive, but not one of torch.save: `data.pkl` is missing".to_owned(),
        });
    };
    let mut bytes_left = bytes.len();
    let order = format!("{folder}byteorder");
    if names.contains(&order) && stored(&mut zip, &order, &mut bytes_left)? != b"little" {
        return Err(big_endian());
    }
    let program = stored(&mut zip, &format!("{folder}data.pkl"), &mut bytes_left)?;
    let pickle = Pickle::read(&mut program.as_slice())?;
    tensors(&pickle, &Storages::archive(zip, folder, bytes_left), bytes.len())
}

/// The tensors of a file written by `torch.save` before PyTorch 1.6: pickles of the magic number, the version, the system, the
/// object and the list of its storages, then these.
pub(super) fn sequence(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut rest = bytes;
    let number = |pickle: &Pickle| match pickle.get(pickle.root) {
        Object::Int(value) => Some(*value),
        _ => None,
    };
    if number(&Pickle::read(&mut rest)?) != Some(MAGIC) {
        return Err(format!("it is a pickle, but not one of torch.save; {SAVE_TENSORS}"));
    }
    if number(&Pickle::read(&mut rest)?) != Some(VERSION) {
        return Err(format!("it is of another version of torch.save; {SAVE_TENSORS}"));
    }
    let system = Pickle::read(&mut rest)?;
    if let Some(order) = value(&system, system.root, "little_endian")
        && matches!(system.get(order), Object::Bool(false))
    {
        return Err(big_endian());
    }
    let pickle = Pickle::read(&mut rest)?;
    tensors(&pickle, &Storages::sequence(&pickle, rest)?, bytes.len())
}

fn big_endian() -> String {
    format!("its numbers begin with the highest byte, which is not read; {SAVE_TENSORS}")
}

/// The tensors of the state dict.
fn tensors(pickle: &Pickle, storages: &Storages<'_>, bytes: usize) -> Result<BTreeMap<String, Tensor>, String> {
    let dict = state_dict(pickle).ok_or_else(|| no_state_dict(pickle))?;
    let mut bytes_left = bytes.saturating_mul(MOST_GROWTH);
    let mut tensors = BTreeMap::new();
    for (key, value) in dict {
        let (Some(name), Some(arguments)) = (pickle.text(*key), tensor(pickle, *value)) else {
            continue;
        };
        let read = dense(pickle, arguments, storages, &mut bytes_left);
        let problem = |problem| format!("tensor `{}`: {problem}", htl_vocabulary::readable(name));
        tensors.insert(name.to_owned(), read.map_err(problem)?);
    }
    Ok(tensors)
}

/// The dictionary that holds tensors: the outermost, or the nearest inside.
fn state_dict(pickle: &Pickle) -> Option<&[(Id, Id)]> {
    let mut seen = HashSet::new();
    let mut level = vec![pickle.root];
    for _ in 0..DEPTH {
        let mut inside = Vec::new();
        for id in level {
            let Object::Dict(items) = pickle.get(id) else {
                continue;
            };
            if !seen.insert(id) {
                continue;
            }
            if items.iter().any(|(_, value)| tensor(pickle, *value).is_some()) {
                return Some(items);
            }
            inside.extend(KEYS.iter().filter_map(|key| value(pickle, id, key)));
        }
        level = inside;
    }
    None
}

/// The value under a key: of several the last, as in Python.
fn value(pickle: &Pickle, dict: Id, key: &str) -> Option<Id> {
    let Object::Dict(items) = pickle.get(dict) else {
        return None;
    };
    let found = items.iter().rev().find(|(name, _)| pickle.text(*name) == Some(key));
    found.map(|(_, value)| *value)
}

fn no_state_dict(pickle: &Pickle) -> String {
    let names: Vec<String> = match pickle.get(pickle.root) {
        Object::Dict(items) => {
            let texts = items.iter().filter_map(|(key, _)| pickle.text(*key));
            texts.take(8).map(htl_vocabulary::readable).collect()
        }
        _ => Vec::new(),
    };
    let found = match names.is_empty() {
        true => "no dictionary of tensors".to_owned(),
        false => format!("only {}", names.join(", ")),
    };
    let keys = KEYS.join(", ");
    format!("it holds {found}; tensors are looked for at the top and under {keys}; {SAVE_TENSORS}")
}

/// The arguments from which a tensor is made.
fn tensor(pickle: &Pickle, id: Id) -> Option<&[Id]> {
    let id = match pickle.get(id) {
        Object::Call(Import::RebuildParameter, arguments) => *arguments.first()?,
        _ => id,
    };
    match pickle.get(id) {
        Object::Call(Import::RebuildTensor, arguments) => Some(arguments),
        _ => None,
    }
}

/// What a pickle says of numbers outside.
pub(super) struct Storage {
    pub key: String,
    pub dtype: DType,
    count: usize,
}

impl Storage {
    /// `("storage", type, key, device, count)`, in old files with a view behind it, which must be none.
    pub fn described(pickle: &Pickle, id: Id) -> Result<Self, String> {
        let damaged = || "its storage is not described as torch.save does".to_owned();
        let Object::Tuple(items) = pickle.get(id) else {
            return Err(damaged());
        };
        let [_, kind, key, _, count, rest @ ..] = &items[..] else {
            return Err(damaged());
        };
        let Object::Import(Import::Storage(dtype)) = pickle.get(*kind) else {
            return Err(damaged());
        };
        if rest.iter().any(|view| !matches!(pickle.get(*view), Object::Nothing)) {
            return Err(format!(
                "its storage is a view of another, which is not read; {SAVE_TENSORS}"
            ));
        }
        Ok(Self {
            key: pickle.text(*key).ok_or_else(damaged)?.to_owned(),
            dtype: *dtype,
            count: pickle.size(*count).ok_or_else(damaged)?,
        })
    }
}

/// The tensor of `(storage, offset, sizes, strides, ...)`, its numbers in the order of its axes.
fn dense(pickle: &Pickle, arguments: &[Id], storages: &Storages<'_>, bytes_left: &mut usize) -> Result<Tensor, String> {
    let damaged = || "it is not described as torch.save does".to_owned();
    let [outside, offset, sizes, strides, ..] = arguments else {
        return Err(damaged());
    };
    let Object::Outside(described) = pickle.get(*outside) else {
        return Err(damaged());
    };
    let storage = Storage::described(pickle, *described)?;
    let offset = pickle.size(*offset).ok_or_else(damaged)?;
    let sizes = pickle.sizes(*sizes).ok_or_else(damaged)?;
    let strides = pickle.sizes(*strides).ok_or_else(damaged)?;
    if sizes.len() != strides.len() || sizes.len() > MOST_AXES {
        return Err(damaged());
    }
    let absurd = || {
        format!(
            "{sizes:?} numbers at strides {strides:?} are more than its storage of {} has",
            storage.count
        )
    };
    let count = sizes.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    let count = count.filter(|count| *count <= storage.count).ok_or_else(absurd)?;
    let width = storage.dtype.size_in_bytes();
    let wanted = count.checked_mul(width).ok_or_else(absurd)?;
    *bytes_left = bytes_left
        .checked_sub(wanted)
        .ok_or_else(|| format!("all tensors together are more than {MOST_GROWTH} times as large as the file"))?;
    let numbers = storages.numbers(&storage.key)?;
    if storage
        .count
        .checked_mul(width)
        .is_none_or(|bytes| bytes > numbers.len())
    {
        return Err(format!(
            "its storage of {} numbers has only {} bytes",
            storage.count,
            numbers.len()
        ));
    }
    let mut last = offset;
    for (size, stride) in sizes.iter().zip(&strides) {
        let reach = size.saturating_sub(1).checked_mul(*stride);
        last = reach.and_then(|reach| last.checked_add(reach)).ok_or_else(absurd)?;
    }
    if count > 0 && last >= storage.count {
        return Err(absurd());
    }
    let bytes = match count == 0 || in_order(&sizes, &strides) {
        true => numbers[if count == 0 {
            0..0
        } else {
            offset * width..offset * width + wanted
        }]
        .to_vec(),
        false => gathered(&numbers, width, offset, &sizes, &strides),
    };
    Tensor::from_raw_buffer(&bytes, storage.dtype, &sizes, &Device::Cpu).map_err(|error| error.to_string())
}

/// Whether numbers stand one behind the other in the order of the axes.
fn in_order(sizes: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    sizes.iter().zip(strides).rev().all(|(size, stride)| {
        let right = *size == 1 || *stride == expected;
        expected *= size;
        right
    })
}

/// The numbers in the order of the axes; every place is known to be inside.
fn gathered(numbers: &[u8], width: usize, offset: usize, sizes: &[usize], strides: &[usize]) -> Vec<u8> {
    let count: usize = sizes.iter().product();
    let mut bytes = Vec::with_capacity(count * width);
    let mut at = vec![0; sizes.len()];
    for _ in 0..count {
        let place: usize = offset + at.iter().zip(strides).map(|(at, stride)| at * stride).sum::<usize>();
        bytes.extend_from_slice(&numbers[place * width..(place + 1) * width]);
        for axis in (0..sizes.len()).rev() {
            at[axis] += 1;
            if at[axis] < sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    bytes
}
