use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Deref;
use std::rc::Rc;

use candle_core::DType;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Object, Pickle};
use super::torch::Storage;

/// Where the numbers of a file written by `torch.save` stand.
pub(super) enum Storages<'a> {
    /// As members of a ZIP archive, `data/KEY` each.
    Archive(RefCell<Archive<'a>>),
    /// One behind the other after the pickles.
    Sequence(BTreeMap<String, &'a [u8]>),
}

pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
    bytes_left: usize,
    read: BTreeMap<String, Rc<[u8]>>,
}

/// A storage's bytes.
pub(super) enum Numbers<'a> {
    There(&'a [u8]),
    Read(Rc<[u8]>),
}

impl Deref for Numbers<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::There(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

impl<'a> Storages<'a> {
    /// The numbers behind the pickles of a file from before PyTorch 1.6: a pickled list of keys, and of each the count and the
    /// numbers.
    pub fn sequence(pickle: &Pickle, mut rest: &'a [u8]) -> Result<Self, String> {
        let list = Pickle::read(&mut rest)?;
        let Object::List(keys) = list.get(list.root) else {
            return Err("its list of storages is missing: fetch or copy it again".to_owned());
        };
        let described: BTreeMap<String, DType> = pickle
            .objects()
            .filter_map(|object| match object {
                Object::Outside(id) => Storage::described(pickle, *id).ok(),
                _ => None,
            })
            .map(|storage| (storage.key, storage.dtype))
            .collect();
        let mut storages = BTreeMap::new();
        for key in keys {
            let key = list.text(*key).unwrap_or_default();
            let dtype = described.get(key).ok_or_else(|| {
                format!(
                    "nothing says of what type its storage `{}` is",
                    htl_vocabulary::readable(key)
                )
            })?;
            let cut = || "it ends in the middle of its numbers: fetch or copy it again".to_owned();
            let (count, behind) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            let bytes = usize::try_from(u64::from_le_bytes(*count))
                .ok()
                .and_then(|count| count.checked_mul(dtype.size_in_bytes()));
            let (numbers, behind) = behind.split_at_checked(bytes.ok_or_else(cut)?).ok_or_else(cut)?;
            storages.insert(key.to_owned(), numbers);
            rest = behind;
        }
        Ok(Self::Sequence(storages))
    }

    /// The members of the archive beside `folder`'s pickle.
    pub fn archive(zip: ZipArchive<Cursor<&'a [u8]>>, folder: &str, bytes: usize) -> Self {
        Self::Archive(RefCell::new(Archive {
            zip,
            folder: folder.to_owned(),
            // Members that overlap would let a small file hold much.
            bytes_left: bytes,
            read: BTreeMap::new(),
        }))
    }

    /// The numbers of a storage.
    pub fn numbers(&self, key: &str) -> Result<Numbers<'a>, String> {
        match self {
            Self::Archive(archive) => Ok(Numbers::Read(archive.borrow_mut().bytes(key)?)),
            Self::Sequence(storages) => storages
                .get(key)
                .copied()
                .map(Numbers::There)
                .ok_or_else(|| missing(key)),
        }
    }
}

impl Archive<'_> {
    fn bytes(&mut self, key: &str) -> Result<Rc<[u8]>, String> {
        if let Some(bytes) = self.read.get(key) {
            return Ok(bytes.clone());
        }
        let name = format!("{}data/{key}", self.folder);
        let bytes: Rc<[u8]> = stored(&mut self.zip, &name, &mut self.bytes_left)?.into();
        self.read.insert(key.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

/// A member that is stored as it is, as `torch.save` does with all.
pub(super) fn stored(
    zip: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    bytes_left: &mut usize,
) -> Result<Vec<u8>, String> {
    let broken = |error: &dyn std::fmt::Display| {
        let name = htl_vocabulary::readable(name);
        format!("its part `{name}` cannot be read ({error}): fetch or copy it again")
    };
    let entry = zip.by_name(name).map_err(|error| broken(&error))?;
    if entry.compression() != CompressionMethod::Stored {
        return Err("its parts are compressed, which torch.save does not do: unpack and save it again".to_owned());
    }
    let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
    *bytes_left = bytes_left
        .checked_sub(size)
        .ok_or_else(|| "its parts are larger than the file".to_owned())?;
    let mut bytes = Vec::with_capacity(size);
    entry
        .take(size as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| broken(&error))?;
    match bytes.len() == size {
        true => Ok(bytes),
        false => Err(broken(&"it is cut off")),
    }
}

fn missing(key: &str) -> String {
    let key = htl_vocabulary::readable(key);
    format!("its storage `{key}` is missing: fetch or copy it again")
}
