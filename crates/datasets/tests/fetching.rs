//! Downloads against a small server on this machine.
#![cfg(feature = "fetch")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use common::says;
use htl_datasets::{DatasetError, FetchLimits, Fetched, sha256_bytes};

/// How the server behaves to one request.
#[derive(Clone, Copy)]
enum Answer {
    /// Knows ranges.
    Ranges,
    /// Sends everything, whatever range is asked.
    Whole,
    /// Knows ranges, but hangs up after so many bytes.
    HangUp(usize),
    /// 404.
    NotFound,
    /// Knows ranges, and calls the content by this name.
    Tagged(&'static str),
    /// This status and these lines of the head, then this body, whatever is asked.
    Just(&'static str, &'static str, &'static [u8]),
    /// Half of the content, then silence.
    Silence,
    /// A byte now and then.
    Trickle,
}

/// Serves `content`, one connection per answer, then stops; the ranges asked are kept.
fn serve(content: Vec<u8>, answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for answer in answers {
            let Ok((stream, _)) = listener.accept() else { return };
            let _ = reply(stream, &content, answer, &log);
        }
    });
    (url, asked)
}

fn reply(
    mut stream: TcpStream,
    content: &[u8],
    answer: Answer,
    log: &Mutex<Vec<Option<usize>>>,
) -> std::io::Result<()> {
    let (mut from, mut if_range) = (None, None);
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(tag) = line.strip_prefix("if-range: ") {
            if_range = Some(tag.to_owned());
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(from);
    let size = content.len();
    let current = match answer {
        Answer::Tagged(tag) => tag,
        _ => "\"first\"",
    };
    // Of other content than the client has, everything is sent.
    let from = from.filter(|_| if_range.as_deref().is_none_or(|tag| tag == current));
    if let Answer::Just(status, head, body) = answer {
        stream.write_all(format!("HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n").as_bytes())?;
        return stream.write_all(body);
    }
    let (status, extra, body) = match (answer, from) {
        (Answer::NotFound, _) => ("404 Not Found", String::new(), &b"no"[..]),
        (Answer::Whole, _) | (_, None) => ("200 OK", String::new(), content),
        (_, Some(from)) if from >= size => (
            "416 Range Not Satisfiable",
            format!("Content-Range: bytes */{size}\r\n"),
            &b""[..],
        ),
        (_, Some(from)) => {
            let range = format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1);
            ("206 Partial Content", range, &content[from..])
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{extra}ETag: {current}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    match answer {
        Answer::Silence => {
            stream.write_all(&body[..body.len() / 2])?;
            thread::sleep(Duration::from_secs(20));
        }
        Answer::Trickle => {
            for byte in body.chunks(1).take(2000) {
                stream.write_all(byte)?;
                thread::sleep(Duration::from_millis(10));
            }
        }
        _ => {}
    }
    let sent = if let Answer::HangUp(count) = answer {
        &body[..count.min(body.len())]
    } else {
        body
    };
    stream.write_all(sent)
}

/// Patient for a second, with files of up to a megabyte.
fn fetch(
    url: &str,
    path: &Path,
    sha256: Option<&str>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Fetched, DatasetError> {
    let limits = FetchLimits {
        most_bytes: 1 << 20,
        window: Duration::from_secs(1),
        least_bytes: 1 << 10,
    };
    htl_datasets::fetch(url, path, sha256, &limits, progress)
}

/// What fetching a file of that name says.
fn refused(name: &str, answer: Answer) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let (url, _) = serve(content(), vec![answer]);
    let error = fetch(&url, &path, None, &mut |_, _| ()).unwrap_err().to_string();
    assert!(!path.exists() && !folder.path().join(format!("{name}.sha256")).exists());
    error
}

fn content() -> Vec<u8> {
    (0..300_000u32).map(|index| (index * 7 % 251) as u8).collect()
}

#[test]
fn a_broken_download_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/file.bin");
    let (url, asked) = serve(
        content(),
        vec![Answer::HangUp(120_000), Answer::HangUp(50_000), Answer::Ranges],
    );
    let expected = sha256_bytes(&content());
    let attempt = || fetch(&url, &path, Some(&expected), &mut |_, _| ());
    says(&attempt().unwrap_err().to_string(), &[&url, "run again to resume"]);
    assert!(!path.exists() && path.with_extension("bin.part").exists());
    attempt().unwrap_err();
    let mut last = (0, None);
    let got = fetch(&url, &path, Some(&expected), &mut |done, total| last = (done, total)).unwrap();
    assert_eq!(
        (got.bytes, got.resumed_from, &got.sha256),
        (300_000, 170_000, &expected)
    );
    assert_eq!(last, (300_000, Some(300_000)));
    assert_eq!(fs::read(&path).unwrap(), content());
    assert!(!path.with_extension("bin.part").exists());
    assert_eq!(*asked.lock().unwrap(), [None, Some(120_000), Some(170_000)]);
    // Now it is there, and the server is gone.
    assert_eq!(attempt().unwrap().sha256, expected);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    fs::write(path.with_extension("bin.part"), &content()[..1000]).unwrap();
    let (url, _) = serve(content(), vec![Answer::Whole]);
    assert_eq!(fetch(&url, &path, None, &mut |_, _| ()).unwrap().resumed_from, 0);
    assert_eq!(fs::read(&path).unwrap(), content());
}

#[test]
fn a_complete_part_is_only_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    let expected = sha256_bytes(&content());
    let bring = |url: &str| fetch(url, &path, Some(&expected), &mut |_, _| ()).unwrap();
    fs::write(path.with_extension("bin.part"), content()).unwrap();
    let (url, _) = serve(content(), vec![Answer::Ranges]);
    assert_eq!(bring(&url).resumed_from, 300_000);
    // One that is too long is of another file: from the start.
    fs::remove_file(&path).unwrap();
    fs::write(path.with_extension("bin.part"), [content(), vec![1]].concat()).unwrap();
    let (url, _) = serve(content(), vec![Answer::Ranges, Answer::Ranges]);
    assert_eq!(bring(&url).resumed_from, 0);
    assert_eq!(fs::read(&path).unwrap(), content());
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["file.bin", "file.bin.sha256"]);
}

/// Where no checksum is given, only what the server calls the same content is continued.
#[test]
fn what_changed_on_the_server_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    let bring = |url: &str| fetch(url, &path, None, &mut |_, _| ());
    let (url, asked) = serve(content(), vec![Answer::HangUp(120_000), Answer::Tagged("\"first\"")]);
    bring(&url).unwrap_err();
    assert_eq!(bring(&url).unwrap().resumed_from, 120_000);
    assert_eq!(*asked.lock().unwrap(), [None, Some(120_000)]);
    fs::remove_file(&path).unwrap();
    fs::remove_file(path.with_extension("bin.sha256")).unwrap();
    let (url, _) = serve(content(), vec![Answer::HangUp(120_000), Answer::Tagged("\"second\"")]);
    bring(&url).unwrap_err();
    assert_eq!(bring(&url).unwrap().resumed_from, 0);
    assert_eq!(fs::read(&path).unwrap(), content());
}

/// The checksum of the first download is kept, and a file that changed since is told.
#[test]
fn checksums_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    let (url, _) = serve(content(), vec![Answer::Whole]);
    let found = fetch(&url, &path, None, &mut |_, _| ()).unwrap();
    let record = fs::read_to_string(path.with_extension("bin.sha256")).unwrap();
    assert_eq!(record, format!("{}  file.bin\n", found.sha256));
    fs::write(&path, "cut").unwrap();
    let error = fetch(&url, &path, None, &mut |_, _| ()).unwrap_err();
    says(&error.to_string(), &[&found.sha256, "left alone"]);
}

/// Servers that send less, more, otherwise, slower or something else than was asked.
#[test]
fn hostile_servers_are_refused() {
    for (name, answer, wanted) in [
        (
            "a.bin",
            Answer::Just(
                "206 Partial Content",
                "Content-Range: bytes 0-9/1000\r\nContent-Length: 10\r\n",
                b"0123456789",
            ),
            "after 10 of 1000 bytes",
        ),
        (
            "a.bin",
            Answer::Just(
                "206 Partial Content",
                "Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n",
                b"56789",
            ),
            "another range",
        ),
        (
            "a.bin",
            Answer::Just(
                "200 OK",
                "Content-Encoding: gzip\r\nContent-Length: 4\r\n",
                b"\x1f\x8b\x08\x00",
            ),
            "encoded as `gzip`",
        ),
        (
            "a.bin",
            Answer::Just("200 OK", "Content-Length: 9000000\r\n", b"a"),
            "at most 1048576 are taken",
        ),
        (
            "a.zip",
            Answer::Just("200 OK", "Content-Length: 29\r\n", b"<!DOCTYPE html><p>log in</p>\n"),
            "it is no zip: it begins with `<!doctype html>",
        ),
        (
            "a.csv",
            Answer::Just("200 OK", "Content-Length: 14\r\n", b"\n<html></html>"),
            "it is no csv",
        ),
        ("a.bin", Answer::Trickle, "bytes came in 1 s"),
        ("a.bin", Answer::Silence, "0 bytes came in 1 s"),
    ] {
        let begin = Instant::now();
        says(&refused(name, answer), &[wanted]);
        assert!(begin.elapsed() < Duration::from_secs(10), "{wanted}");
    }
}

/// A body without a stated size ends at the limit.
#[test]
fn endless_bodies_end() {
    let body: &'static [u8] = vec![7u8; 3 << 20].leak();
    says(
        &refused("a.bin", Answer::Just("200 OK", "", body)),
        &["more than 1048576 bytes"],
    );
}

/// What a link in the place of the part points to stays as it is.
#[cfg(unix)]
#[test]
fn nothing_is_written_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let (path, victim) = (folder.path().join("file.bin"), folder.path().join("victim"));
    for expected in [None, Some(sha256_bytes(&content()))] {
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, path.with_extension("bin.part")).unwrap();
        let (url, _) = serve(content(), vec![Answer::Ranges]);
        fetch(&url, &path, expected.as_deref(), &mut |_, _| ()).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&path).unwrap(), content());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn wrong_content_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    let (url, _) = serve(content(), vec![Answer::Ranges]);
    let wrong = "0".repeat(64);
    let error = fetch(&url, &path, Some(&wrong), &mut |_, _| ()).unwrap_err();
    says(
        &error.to_string(),
        &[&url, &wrong, &sha256_bytes(&content()), "not kept"],
    );
    assert!(!path.exists() && !path.with_extension("bin.part").exists());
    // A file that was there before is the user's: told, not deleted.
    fs::write(&path, "mine").unwrap();
    assert!(matches!(
        fetch(&url, &path, Some(&wrong), &mut |_, _| ()),
        Err(DatasetError::Checksum { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_missing_file_and_a_missing_server_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    let (url, _) = serve(content(), vec![Answer::NotFound]);
    let message = |url: &str| fetch(url, &path, None, &mut |_, _| ()).unwrap_err().to_string();
    says(&message(&url), &[&url, "404", "check the address"]);
    assert!(!path.exists());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    says(&message(&format!("http://{closed}/x")), &["cannot fetch"]);
}
