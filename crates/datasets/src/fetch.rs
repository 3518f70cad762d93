use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ureq::{Agent, http::StatusCode};

use crate::{DatasetError, sha256_file};

/// What [`fetch`] brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256: write it down if the publisher states none.
    pub sha256: String,
    /// How many bytes were already here from an earlier attempt.
    pub resumed_from: u64,
}

/// Downloads `url` to `path`, resuming an earlier attempt.
///
/// Bytes go to `<path>.part`, which is kept when the connection breaks and continued by an HTTP range request the next
/// time (from the start if the server does not support ranges), checked, and renamed. A file already at `path` is not fetched
/// again, only checked. `progress` receives the bytes so far and the total where the server states it.
///
/// # Errors
/// [`DatasetError::Fetch`] names address and reason; [`DatasetError::Checksum`] if `sha256` is given and differs (then
/// the download is deleted; a file that was at `path` before is left alone); [`DatasetError::Write`].
pub fn fetch(
    url: &str,
    path: &Path,
    sha256: Option<&str>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Fetched, DatasetError> {
    if path.exists() {
        let found = checked(url, path, sha256)?;
        let bytes = fs::metadata(path).map_err(DatasetError::read(path))?.len();
        return Ok(Fetched {
            path: path.into(),
            bytes,
            sha256: found,
            resumed_from: bytes,
        });
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(DatasetError::write(folder))?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let resumed_from = download(url, &part, progress)?;
    let found = checked(url, &part, sha256).inspect_err(|error| {
        if matches!(error, DatasetError::Checksum { .. }) {
            let _ = fs::remove_file(&part);
        }
    })?;
    fs::rename(&part, path).map_err(DatasetError::write(path))?;
    let bytes = fs::metadata(path).map_err(DatasetError::read(path))?.len();
    Ok(Fetched {
        path: path.into(),
        bytes,
        sha256: found,
        resumed_from,
    })
}

fn checked(url: &str, path: &Path, expected: Option<&str>) -> Result<String, DatasetError> {
    let found = sha256_file(path)?;
    match expected {
        Some(expected) if !expected.eq_ignore_ascii_case(&found) => Err(DatasetError::Checksum {
            url: url.to_owned(),
            expected: expected.to_owned(),
            found,
        }),
        _ => Ok(found),
    }
}

/// Fills `part` to its end; returns how much was kept from before.
fn download(url: &str, part: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<u64, DatasetError> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .build()
        .into();
    let have = fs::metadata(part).map_or(0, |found| found.len());
    let failed = |reason: String| DatasetError::Fetch {
        url: url.to_owned(),
        reason,
        resumable: part.exists(),
    };
    let ask = |from: u64| {
        let request = agent.get(url);
        // Compressed transfer would make byte ranges meaningless.
        let request = request.header("Accept-Encoding", "identity");
        let request = if from > 0 {
            request.header("Range", format!("bytes={from}-"))
        } else {
            request
        };
        request.call().map_err(|error| failed(error.to_string()))
    };
    let mut response = ask(have)?;
    let mut from = have;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let size = header(&response, "content-range").and_then(|range| range.rsplit('/').next()?.parse::<u64>().ok());
        if have > 0 && size == Some(have) {
            progress(have, size);
            return Ok(have);
        }
        from = 0;
        response = ask(0)?;
    }
    match response.status() {
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(from) => {}
        StatusCode::OK => from = 0,
        StatusCode::PARTIAL_CONTENT => return Err(failed("the server sent another range than asked".to_owned())),
        status => return Err(failed(format!("the server answered {status}; check the address"))),
    }
    let total = header(&response, "content-length")
        .and_then(|n| n.parse::<u64>().ok())
        .map(|n| n + from);
    let mut file: File = if from > 0 {
        OpenOptions::new()
            .append(true)
            .open(part)
            .map_err(DatasetError::write(part))?
    } else {
        File::create(part).map_err(DatasetError::write(part))?
    };
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let (mut buffer, mut so_far) = (vec![0u8; 1 << 16], from);
    progress(so_far, total);
    loop {
        let count = body
            .read(&mut buffer)
            .map_err(|error| failed(format!("after {so_far} bytes: {error}")))?;
        if count == 0 {
            break;
        }
        file.write_all(buffer.get(..count).unwrap_or_default())
            .map_err(DatasetError::write(part))?;
        so_far += count as u64;
        progress(so_far, total);
    }
    file.sync_all().map_err(DatasetError::write(part))?;
    match total {
        Some(total) if total != so_far => Err(failed(format!("the connection ended after {so_far} of {total} bytes"))),
        _ => Ok(from),
    }
}

fn header<'a>(response: &'a ureq::http::Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn range_start(response: &ureq::http::Response<ureq::Body>) -> Option<u64> {
    header(response, "content-range")?
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}
