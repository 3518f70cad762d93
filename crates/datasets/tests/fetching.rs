//! Downloads against a small server on this machine.
#![cfg(feature = "fetch")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use common::says;
use htl_datasets::{DatasetError, fetch, sha256_bytes};

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
    let mut from = None;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(from);
    let size = content.len();
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
        "HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let sent = if let Answer::HangUp(count) = answer {
        &body[..count.min(body.len())]
    } else {
        body
    };
    stream.write_all(sent)
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
    fs::write(path.with_extension("bin.part"), content()).unwrap();
    let (url, _) = serve(content(), vec![Answer::Ranges]);
    assert_eq!(fetch(&url, &path, None, &mut |_, _| ()).unwrap().resumed_from, 300_000);
    // One that is too long is of another file: from the start.
    fs::remove_file(&path).unwrap();
    fs::write(path.with_extension("bin.part"), [content(), vec![1]].concat()).unwrap();
    let (url, _) = serve(content(), vec![Answer::Ranges, Answer::Ranges]);
    assert_eq!(fetch(&url, &path, None, &mut |_, _| ()).unwrap().resumed_from, 0);
    assert_eq!(fs::read(&path).unwrap(), content());
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
