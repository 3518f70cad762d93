//! Archives unpacked so that nothing in them does harm: no path leaves the folder, no links, no file twice, and no more bytes
//! than an archive of photographs can hold.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::DatasetError;

/// The most files in an archive.
const MOST_FILES: usize = 1_000_000;
/// Photographs and masks are compressed already; what grows more than this, and beyond a gigabyte, is a bomb.
const MOST_GROWTH: u64 = 100;
const NEVER_A_BOMB: u64 = 1 << 30;

/// Kinds of archives, told from their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveKind {
    Zip,
    Tar,
    GzippedTar,
    /// One that is not read, with what it is.
    Foreign(&'static str),
}

impl ArchiveKind {
    /// What a file is, if it is an archive.
    pub(super) fn of(path: &Path) -> Result<Option<Self>, DatasetError> {
        let mut first = Vec::with_capacity(512);
        let file = File::open(path).map_err(DatasetError::read(path))?;
        file.take(512)
            .read_to_end(&mut first)
            .map_err(DatasetError::read(path))?;
        let starts = |bytes: &[u8]| first.starts_with(bytes);
        let kind = if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
            Self::Zip
        } else if starts(&[0x1f, 0x8b]) {
            Self::GzippedTar
        } else if first.get(257..262) == Some(b"ustar") {
            Self::Tar
        } else if starts(b"Rar!") {
            Self::Foreign("RAR")
        } else if starts(b"7z\xbc\xaf\x27\x1c") {
            Self::Foreign("7-Zip")
        } else if starts(b"\xfd7zXZ") || starts(b"BZh") {
            Self::Foreign("xz or bzip2")
        } else {
            return Ok(None);
        };
        Ok(Some(kind))
    }
}

/// Unpacks an archive into a folder that is made for it.
pub(super) fn unpack(archive: &Path, kind: ArchiveKind, into: &Path) -> Result<(), DatasetError> {
    let file = File::open(archive).map_err(DatasetError::read(archive))?;
    let packed = file.metadata().map_err(DatasetError::read(archive))?.len();
    let mut unpacking = Unpacking {
        archive,
        into,
        files_left: MOST_FILES,
        bytes_left: packed.saturating_mul(MOST_GROWTH).max(NEVER_A_BOMB),
    };
    let most = unpacking.bytes_left;
    match kind {
        ArchiveKind::Zip => unpacking.zip(file),
        ArchiveKind::Tar => unpacking.tar(BufReader::new(file)),
        ArchiveKind::GzippedTar => {
            unpacking.tar(flate2::read::MultiGzDecoder::new(BufReader::new(file)).take(most.saturating_add(1)))
        }
        ArchiveKind::Foreign(name) => Err(unpacking.refused(format!(
            "{name} archives are not read; unpack it and give the folder, or pack it as ZIP or TAR"
        ))),
    }
}

struct Unpacking<'a> {
    archive: &'a Path,
    into: &'a Path,
    files_left: usize,
    bytes_left: u64,
}

impl Unpacking<'_> {
    fn refused(&self, reason: String) -> DatasetError {
        DatasetError::Archive {
            path: self.archive.into(),
            reason,
        }
    }

    fn zip(&mut self, file: File) -> Result<(), DatasetError> {
        let damaged = |error: zip::result::ZipError| error.to_string();
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| self.refused(damaged(error)))?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| self.refused(damaged(error)))?;
            let name = entry.name().map_err(|error| self.refused(damaged(error)))?.into_owned();
            if entry.is_dir() {
                continue;
            }
            if entry.is_symlink() {
                return Err(self.link(&name));
            }
            self.file(&name, &mut entry)?;
        }
        Ok(())
    }

    fn tar(&mut self, stream: impl Read) -> Result<(), DatasetError> {
        let mut archive = tar::Archive::new(stream);
        let damaged = |error: io::Error| DatasetError::Archive {
            path: self.archive.into(),
            reason: error.to_string(),
        };
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(|error| self.refused(error.to_string()))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let kind = entry.header().entry_type();
            if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
                self.file(&name, &mut entry)?;
            } else if kind.is_symlink() || kind.is_hard_link() {
                return Err(self.link(&name));
            } else if !kind.is_dir() && !kind.is_pax_global_extensions() {
                return Err(self.refused(format!("`{}` is neither a file nor a folder", name.escape_debug())));
            }
        }
        Ok(())
    }

    fn link(&self, name: &str) -> DatasetError {
        self.refused(format!(
            "`{}` is a link, and links are not followed; unpack it by hand and give the folder if you trust it",
            name.escape_debug()
        ))
    }

    /// Writes one file; what systems add (`__MACOSX/`, `._name`) is left out.
    fn file(&mut self, name: &str, content: &mut impl Read) -> Result<(), DatasetError> {
        let relative = self.inside(name)?;
        if relative
            .components()
            .any(|part| is_hidden(&part.as_os_str().to_string_lossy()))
        {
            return Ok(());
        }
        self.files_left = self
            .files_left
            .checked_sub(1)
            .ok_or_else(|| self.refused(format!("it holds more than {MOST_FILES} files")))?;
        let path = self.into.join(relative);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(DatasetError::write(folder))?;
        }
        let mut target = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.refused(format!("it holds `{}` twice", name.escape_debug())));
            }
            other => other.map_err(DatasetError::write(&path))?,
        };
        let written = copy(content, &mut target, self.bytes_left.saturating_add(1));
        let written = written.map_err(|error| match error {
            Copy::Reading(error) => self.refused(format!("`{}`: {error}", name.escape_debug())),
            Copy::Writing(error) => DatasetError::write(&path)(error),
        })?;
        self.bytes_left = self.bytes_left.checked_sub(written).ok_or_else(|| {
            self.refused(format!(
                "unpacked it is more than {MOST_GROWTH} times as large as packed: no archive of photographs is"
            ))
        })?;
        Ok(())
    }

    /// The path of an entry below the folder.
    fn inside(&self, name: &str) -> Result<PathBuf, DatasetError> {
        let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| *part != ".").collect();
        let leaves = parts
            .iter()
            .any(|part| part.is_empty() || *part == ".." || part.contains([':', '\0']));
        if leaves || parts.is_empty() {
            return Err(self.refused(format!(
                "`{}` is not a path below the archive's folder; nothing was imported",
                name.escape_debug()
            )));
        }
        Ok(parts.iter().collect())
    }
}

/// Whether a file or folder is one that systems leave.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

enum Copy {
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies at most so many bytes.
fn copy(from: &mut impl Read, to: &mut impl io::Write, most: u64) -> Result<u64, Copy> {
    let (mut buffer, mut total) = (vec![0; 1 << 16], 0u64);
    while total < most {
        let wanted = (most - total).min(buffer.len() as u64) as usize;
        let read = match from.read(&mut buffer[..wanted]) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(Copy::Reading)?,
        };
        to.write_all(&buffer[..read]).map_err(Copy::Writing)?;
        total += read as u64;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// A TAR entry as bytes: the crate's own writer refuses hostile names.
    fn tarred(name: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Result<(tempfile::TempDir, Vec<String>), DatasetError> {
        let place = tempfile::tempdir().unwrap();
        let (archive, into) = (place.path().join("archive"), place.path().join("into"));
        fs::write(&archive, bytes).unwrap();
        let kind = ArchiveKind::of(&archive).unwrap().unwrap();
        let result = unpack(&archive, kind, &into);
        let outside = fs::read_dir(place.path()).unwrap().count();
        assert!(outside <= 2, "something was written beside the folder");
        result?;
        let mut names = Vec::new();
        let mut folders = vec![into.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    names.push(path.strip_prefix(&into).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        Ok((place, names))
    }

    #[test]
    fn archives_as_published_are_unpacked() {
        let entries: [(&str, &[u8]); 4] = [
            ("a/b.txt", b"hello"),
            ("c.txt", b""),
            ("__MACOSX/a/._b.txt", b"x"),
            ("a/.DS_Store", b"x"),
        ];
        let (place, names) = unpacked(&zipped(&entries)).unwrap();
        assert_eq!(names, ["a/b.txt", "c.txt"]);
        assert_eq!(fs::read(place.path().join("into/a/b.txt")).unwrap(), b"hello");
        let mut plain = tarred("./d/", tar::EntryType::Directory, b"");
        plain.extend(tarred("./d/e.txt", tar::EntryType::Regular, b"tar"));
        plain.extend([0; 1024]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&plain).unwrap();
        for bytes in [plain, gzip.finish().unwrap()] {
            let (place, names) = unpacked(&bytes).unwrap();
            assert_eq!(names, ["d/e.txt"]);
            assert_eq!(fs::read(place.path().join("into/d/e.txt")).unwrap(), b"tar");
        }
    }

    #[test]
    fn nothing_leaves_the_folder() {
        for name in ["../x", "a/../../x", "/etc/x", "C:\\x", "a\\..\\..\\x", "a//b"] {
            for bytes in [zipped(&[(name, b"x")]), tarred(name, tar::EntryType::Regular, b"x")] {
                let error = unpacked(&bytes).unwrap_err().to_string();
                assert!(error.contains("not a path below"), "{name}: {error}");
            }
        }
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
            let error = unpacked(&tarred("x", kind, b"")).unwrap_err().to_string();
            assert!(error.contains("is a link"), "{error}");
        }
        let mut link = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        link.add_symlink("x", "/etc/passwd", zip::write::SimpleFileOptions::default())
            .unwrap();
        let error = unpacked(&link.finish().unwrap().into_inner()).unwrap_err().to_string();
        assert!(error.contains("is a link"), "{error}");
        let error = unpacked(&tarred("x", tar::EntryType::Fifo, b""))
            .unwrap_err()
            .to_string();
        assert!(error.contains("neither a file nor a folder"), "{error}");
    }

    #[test]
    fn what_is_damaged_twice_or_foreign_is_said() {
        let whole = zipped(&[("a.txt", &[7; 5000])]);
        assert!(unpacked(&whole[..whole.len() / 2]).is_err());
        let twice = [
            tarred("a", tar::EntryType::Regular, b"1"),
            tarred("a", tar::EntryType::Regular, b"2"),
        ]
        .concat();
        let error = unpacked(&twice).unwrap_err().to_string();
        assert!(error.contains("`a` twice"), "{error}");
        let error = unpacked(b"Rar!\x1a\x07\x00").unwrap_err().to_string();
        assert!(error.contains("RAR archives are not read; unpack it"), "{error}");
    }

    /// A bomb ends where an archive of photographs would have ended, whatever sizes it states.
    #[test]
    fn bombs_end() {
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join("archive");
        let mut unpacking = Unpacking {
            archive: &archive,
            into: place.path(),
            files_left: 2,
            bytes_left: 1000,
        };
        unpacking.file("small", &mut &[0u8; 400][..]).unwrap();
        let error = unpacking.file("large", &mut io::repeat(0)).unwrap_err().to_string();
        assert!(error.contains("100 times"), "{error}");
        assert_eq!(fs::metadata(place.path().join("large")).unwrap().len(), 601);
        let error = unpacking.file("third", &mut io::empty()).unwrap_err().to_string();
        assert!(error.contains("more than 1000000 files"), "{error}");
    }
}
