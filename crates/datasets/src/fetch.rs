use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use htl_vocabulary::write_whole;
use serde::{Deserialize, Serialize};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::{DatasetError, sha256_file};

/// What [`fetch`] brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256; `<path>.sha256` keeps it.
    pub sha256: String,
    /// How many bytes were already here from an earlier attempt.
    pub resumed_from: u64,
}

/// What a download must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchLimits {
    /// The most bytes that a file may have.
    pub most_bytes: u64,
    /// The time in which [`least_bytes`](Self::least_bytes) have to come.
    pub window: Duration,
    /// The bytes that have to come in each [`window`](Self::window); what is slower is given up.
    pub least_bytes: u64,
}

impl Default for FetchLimits {
    /// 64 GiB, and 1 KiB a second over each minute.
    fn default() -> Self {
        Self {
            most_bytes: 64 << 30,
            window: Duration::from_secs(60),
            least_bytes: 60 << 10,
        }
    }
}

/// What is remembered of a download that is not complete, in `<path>.part.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attempt {
    url: String,
    /// The server's name for this very content: a strong entity tag, else the time of its last change.
    validator: Option<String>,
    total: Option<u64>,
}

/// Downloads `url` to `path`, resuming an earlier attempt.
///
/// Bytes go to `<path>.part`, which is kept when the connection breaks and continued by an HTTP range request the next
/// time, if the server says that the content is still the same or `sha256` will tell; else it starts again. What came is
/// compared with the size that the server states and with `sha256`; without one, with `<path>.sha256`, where the checksum is
/// written at first sight. The first digits of `sha256` are enough, eight at least. Then it is renamed. A file already at `path` is not fetched again, only checked. Of an `https`
/// address, redirects to others than `https` are refused. `progress` receives the bytes so far and the total where the server
/// states it.
///
/// # Errors
/// [`DatasetError::Fetch`] names address and reason, such as a server that is too slow, encodes what it sends, or sends
/// a page in place of an archive; [`DatasetError::Checksum`] if the checksum differs (then the download is deleted; a file that
/// was at `path` before is left alone); [`DatasetError::Write`].
pub fn fetch(
    url: &str,
    path: &Path,
    sha256: Option<&str>,
    limits: &FetchLimits,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Fetched, DatasetError> {
    let record = beside(path, ".sha256");
    let recorded = fs::read_to_string(&record).ok();
    let recorded = recorded.as_deref().and_then(|text| text.split_whitespace().next());
    let expected = sha256.or(recorded);
    if path.exists() {
        let bytes = fs::metadata(path).map_err(DatasetError::read(path))?.len();
        return fetched(url, path, path, expected, bytes);
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(DatasetError::write(folder))?;
    }
    let download = Download {
        url,
        part: beside(path, ".part"),
        notes: beside(path, ".part.json"),
        limits,
        checked: expected.is_some(),
    };
    let resumed_from = download.run(progress)?;
    let found = fetched(url, &download.part, path, expected, resumed_from).inspect_err(|_| download.forget())?;
    fs::rename(&download.part, path).map_err(DatasetError::write(path))?;
    download.forget();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    write_whole(&record, format!("{}  {name}\n", found.sha256)).map_err(DatasetError::NotWritten)?;
    Ok(found)
}

/// Whom this machine trusts, as its browsers and pip do: networks of hospitals and companies often have an authority of their own.
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name others; Mozilla's list stands in where there is none.
fn authorities() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let found: Vec<_> = found
        .iter()
        .map(|found| Certificate::from_der(found).to_owned())
        .collect();
    match found.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::new_with_certs(&found),
    }
}

/// A file's name with something behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// What is in `file`, for `path`, if it is what it should be.
fn fetched(
    url: &str,
    file: &Path,
    path: &Path,
    expected: Option<&str>,
    resumed_from: u64,
) -> Result<Fetched, DatasetError> {
    let found = sha256_file(file)?;
    match expected {
        Some(expected) if is_hash(&found, expected) => {}
        Some(expected) => {
            return Err(DatasetError::Checksum {
                url: url.to_owned(),
                expected: expected.to_owned(),
                found,
                kept: file == path,
            });
        }
        None => is_what_its_name_says(file, path).map_err(|reason| DatasetError::Fetch {
            url: url.to_owned(),
            reason,
            resumable: false,
        })?,
    }
    let bytes = fs::metadata(file).map_err(DatasetError::read(file))?.len();
    Ok(Fetched {
        path: path.into(),
        bytes,
        sha256: found,
        resumed_from,
    })
}

/// Fewest digits of a checksum that tell files apart: as many as torchvision puts into names.
const LEAST_DIGITS: usize = 8;

/// Whether a checksum is the expected one, or begins with it.
fn is_hash(found: &str, expected: &str) -> bool {
    expected.len() >= LEAST_DIGITS && found.starts_with(&expected.to_ascii_lowercase())
}

/// Networks that want a log-in answer everything with a page of theirs: the first bytes of archives and tables tell.
fn is_what_its_name_says(file: &Path, path: &Path) -> Result<(), String> {
    let mut head = Vec::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened
        .take(64)
        .read_to_end(&mut head)
        .map_err(|error| error.to_string())?;
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    let text = String::from_utf8_lossy(&head).trim_start().to_lowercase();
    let right = match extension.as_deref() {
        Some("zip") => head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06"),
        Some("gz" | "tgz") => head.starts_with(&[0x1f, 0x8b]),
        Some("html" | "htm") => true,
        _ => !text.starts_with("<!doctype html") && !text.starts_with("<html"),
    };
    if right {
        return Ok(());
    }
    Err(format!(
        "it is no {}: it begins with `{}`; does the network or the server want you to log in?",
        extension.as_deref().unwrap_or("file"),
        text.chars().take(24).collect::<String>().escape_debug()
    ))
}

/// A download on its way.
struct Download<'a> {
    url: &'a str,
    part: PathBuf,
    notes: PathBuf,
    limits: &'a FetchLimits,
    /// Whether a checksum will tell if the parts fit together.
    checked: bool,
}

impl Download<'_> {
    fn failed(&self, reason: String) -> DatasetError {
        DatasetError::Fetch {
            url: self.url.to_owned(),
            reason,
            resumable: self.part.exists(),
        }
    }

    /// Removes what is kept of it.
    fn forget(&self) {
        let _ = fs::remove_file(&self.part);
        let _ = fs::remove_file(&self.notes);
    }

    /// The bytes that are here and what is known of them; none that came from elsewhere, or through a link.
    fn earlier(&self) -> (u64, Option<Attempt>) {
        let notes = fs::read_to_string(&self.notes).ok();
        let notes = notes.and_then(|text| serde_json::from_str::<Attempt>(&text).ok());
        let notes = notes.filter(|notes| notes.url == self.url);
        let known = self.checked || notes.as_ref().is_some_and(|notes| notes.validator.is_some());
        match fs::symlink_metadata(&self.part) {
            Ok(found) if found.is_file() && known => (found.len(), notes),
            _ => (0, None),
        }
    }

    fn ask(&self, from: u64, notes: Option<&Attempt>) -> Result<Response<Body>, DatasetError> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(self.url.starts_with("https://"))
            .tls_config(TlsConfig::builder().root_certs(authorities()).build())
            .timeout_resolve(Some(Duration::from_secs(30)))
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build()
            .into();
        // Compressed transfer would make byte ranges meaningless.
        let mut request = agent.get(self.url).header("Accept-Encoding", "identity");
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
            if let Some(validator) = notes.and_then(|notes| notes.validator.as_ref()) {
                request = request.header("If-Range", validator);
            }
        }
        request.call().map_err(|error| self.failed(error.to_string()))
    }

    /// Fills the part to its end; returns how much was kept from before.
    fn run(&self, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<u64, DatasetError> {
        let (mut from, notes) = self.earlier();
        let mut response = self.ask(from, notes.as_ref())?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            let size = range(&response).and_then(|range| range.total);
            if from > 0 && size == Some(from) {
                progress(from, size);
                return Ok(from);
            }
            from = 0;
            response = self.ask(0, None)?;
        }
        let encoding = header(&response, "content-encoding").unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            return Err(self.failed(format!(
                "the server sent it encoded as `{encoding}`, which was not asked"
            )));
        }
        let length = header(&response, "content-length").and_then(|length| length.parse::<u64>().ok());
        let total = match response.status() {
            StatusCode::OK => {
                from = 0;
                length
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = range(&response).filter(|range| range.start == from);
                let range = range.ok_or_else(|| self.failed("the server sent another range than asked".to_owned()))?;
                range.total.or(length.map(|length| from + length))
            }
            status => return Err(self.failed(format!("the server answered {status}; check the address"))),
        };
        let before = notes.and_then(|notes| notes.total).filter(|_| from > 0);
        if let (Some(before), Some(total)) = (before, total)
            && before != total
        {
            self.forget();
            return Err(self.failed(format!(
                "the file had {before} bytes and has {total} now: run again to start anew"
            )));
        }
        let most = self.limits.most_bytes;
        if let Some(total) = total.filter(|total| *total > most) {
            return Err(self.failed(format!("it has {total} bytes, and at most {most} are taken")));
        }
        let file = self.open(from, &response, total)?;
        self.fill(file, response, from, total, progress)?;
        Ok(from)
    }

    /// Opens the part: its end if something is kept, else a new file; never what a link points to.
    fn open(&self, from: u64, response: &Response<Body>, total: Option<u64>) -> Result<File, DatasetError> {
        if from > 0 {
            return OpenOptions::new()
                .append(true)
                .open(&self.part)
                .map_err(DatasetError::write(&self.part));
        }
        self.forget();
        let strong = header(response, "etag").filter(|tag| !tag.starts_with("W/"));
        let attempt = Attempt {
            url: self.url.to_owned(),
            validator: strong.or_else(|| header(response, "last-modified")).map(str::to_owned),
            total,
        };
        let notes = serde_json::to_vec(&attempt).map_err(|error| self.failed(error.to_string()))?;
        write_whole(&self.notes, notes).map_err(DatasetError::NotWritten)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.part)
            .map_err(DatasetError::write(&self.part))
    }

    fn fill(
        &self,
        mut file: File,
        response: Response<Body>,
        from: u64,
        total: Option<u64>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DatasetError> {
        let pieces = pieces(response);
        let mut so_far = from;
        let (mut window, mut in_window) = (Instant::now(), 0);
        progress(so_far, total);
        loop {
            if window.elapsed() >= self.limits.window {
                if in_window < self.limits.least_bytes {
                    return Err(self.too_slow(in_window));
                }
                (window, in_window) = (Instant::now(), 0);
            }
            let piece = match pieces.recv_timeout(self.limits.window.saturating_sub(window.elapsed())) {
                Ok(piece) => piece.map_err(|error| self.failed(format!("after {so_far} bytes: {error}")))?,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            so_far += piece.len() as u64;
            in_window += piece.len() as u64;
            if so_far > self.limits.most_bytes {
                self.forget();
                let most = self.limits.most_bytes;
                return Err(self.failed(format!("more than {most} bytes came, and no more are taken")));
            }
            file.write_all(&piece).map_err(DatasetError::write(&self.part))?;
            progress(so_far, total);
        }
        file.sync_all().map_err(DatasetError::write(&self.part))?;
        match total {
            Some(total) if total != so_far => {
                Err(self.failed(format!("the connection ended after {so_far} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn too_slow(&self, bytes: u64) -> DatasetError {
        let seconds = self.limits.window.as_secs_f64();
        self.failed(format!("only {bytes} bytes came in {seconds} s"))
    }
}

/// What the server sends, piece by piece. The connection is read in a thread of its own, which ends with it: a server that
/// falls silent holds up that thread only.
fn pieces(response: Response<Body>) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(4);
    thread::spawn(move || {
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        loop {
            let mut buffer = vec![0u8; 1 << 16];
            let piece = match body.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    buffer.truncate(count);
                    Ok(buffer)
                }
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.send(piece).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// A `Content-Range`: `bytes 10-99/100`, or `bytes */100`.
struct ContentRange {
    start: u64,
    total: Option<u64>,
}

fn range(response: &Response<Body>) -> Option<ContentRange> {
    let (range, total) = header(response, "content-range")?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let start = range.split('-').next()?.trim();
    Some(ContentRange {
        start: if start == "*" { u64::MAX } else { start.parse().ok()? },
        total: total.trim().parse().ok(),
    })
}
