//! TensorBoard's event files: protocol buffers (`tensorboard/compat/proto/event.proto`, `summary.proto`) in TFRecord frames.

use std::{
    fs::{File, OpenOptions, read_dir},
    io::{Error, Write},
    path::{Path, PathBuf},
};

use prost::Message;

use crate::TrainError;

/// What a file begins with.
const VERSION: &str = "brain.Event:2";
/// What the name of a file begins with; TensorBoard reads the files of a folder in the order of their names.
const PREFIX: &str = "events.out.tfevents.";

/// An event; `Event` of `event.proto`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = 1)]
    wall_time: f64,
    #[prost(int64, tag = 2)]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = 3)]
    FileVersion(String),
    #[prost(message, tag = 5)]
    Summary(Summary),
    #[prost(message, tag = 7)]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = 1)]
    values: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = 1)]
    tag: String,
    /// A member of a `oneof`, so that 0 is written too.
    #[prost(float, optional, tag = 2)]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = 1)]
    status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum SessionStatus {
    Unspecified = 0,
    Start = 1,
}

impl Event {
    fn version(wall_time: f64) -> Self {
        Self {
            wall_time,
            step: 0,
            what: Some(What::FileVersion(VERSION.to_owned())),
        }
    }

    /// A session whose first step is `step`: TensorBoard drops what earlier sessions wrote of this step and later ones.
    pub(super) fn start(wall_time: f64, step: usize) -> Self {
        let status = SessionStatus::Start.into();
        Self {
            wall_time,
            step: step as i64,
            what: Some(What::SessionLog(SessionLog { status })),
        }
    }

    /// Tagged numbers of one step, stored as `f32`.
    pub(super) fn scalars<'a>(wall_time: f64, step: usize, scalars: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let values = scalars.into_iter().map(|(tag, value)| SummaryValue {
            tag: tag.to_owned(),
            simple_value: Some(value as f32),
        });
        Self {
            wall_time,
            step: step as i64,
            what: Some(What::Summary(Summary {
                values: values.collect(),
            })),
        }
    }
}

/// An event file that is being written.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a new file in `folder`, which is made if it is absent. `wall_time` is in seconds since 1970.
    pub(super) fn create(folder: &Path, wall_time: f64) -> Result<Self, TrainError> {
        crate::files::make_folder(folder)?;
        let name = name(folder, wall_time as u64).map_err(|e| failed("list", folder, &e))?;
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| failed("make", &path, &e))?;
        let mut events = Self { path, file };
        events.write(&Event::version(wall_time))?;
        Ok(events)
    }

    /// Writes an event through to the system, so that TensorBoard sees it and a killed process loses none.
    pub(super) fn write(&mut self, event: &Event) -> Result<(), TrainError> {
        self.file
            .write_all(&record(&event.encode_to_vec()))
            .map_err(|e| failed("write", &self.path, &e))
    }
}

fn failed(action: &str, path: &Path, error: &Error) -> TrainError {
    let message = format!("cannot {action} {}: {error}", path.display());
    TrainError::Write(Error::new(error.kind(), message))
}

/// `events.out.tfevents.<seconds>.<host>.<pid>`. The seconds are later than those of any file there: a training that is
/// continued within a second, or on a host whose clock is behind, is read after what it continues.
fn name(folder: &Path, now: u64) -> std::io::Result<String> {
    let mut seconds = now;
    for entry in read_dir(folder)? {
        let name = entry?.file_name();
        let earlier = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('.').next());
        if let Some(earlier) = earlier.and_then(|digits| digits.parse::<u64>().ok()) {
            seconds = seconds.max(earlier.saturating_add(1));
        }
    }
    let host = hostname::get().unwrap_or_default();
    let host = host.to_string_lossy().replace(std::path::is_separator, "-");
    Ok(format!("{PREFIX}{seconds:010}.{host}.{}", std::process::id()))
}

/// A TFRecord: length, its checksum, data, their checksum; numbers in little-endian order.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [
        &length[..],
        &masked_crc32c(&length).to_le_bytes(),
        data,
        &masked_crc32c(data).to_le_bytes(),
    ]
    .concat()
}

/// A CRC-32C that may itself be part of data with a checksum (`tensorflow/core/lib/hash/crc32c.h`).
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Events of a file; panics where a frame is damaged.
    fn read(bytes: &[u8]) -> Vec<Event> {
        let mut rest = bytes;
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let (this, after) = rest.split_at(length + 16);
            let data = &this[12..12 + length];
            assert!(this == record(data));
            events.push(Event::decode(data).unwrap());
            rest = after;
        }
        events
    }

    /// Steps at which TensorBoard shows `tag`: files in the order of their names, without what a later session starts
    /// before (`plugin_event_accumulator.py`).
    pub(in crate::observe) fn shown_steps(folder: &Path, tag: &str) -> Vec<i64> {
        let mut files: Vec<_> = read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let (mut steps, mut sessions) = (Vec::new(), 0);
        for event in files.iter().flat_map(|path| read(&std::fs::read(path).unwrap())) {
            match event.what {
                Some(What::SessionLog(_)) => {
                    if sessions > 0 {
                        steps.retain(|step| *step < event.step);
                    }
                    sessions += 1;
                }
                Some(What::Summary(summary)) if summary.values.iter().any(|value| value.tag == tag) => {
                    steps.push(event.step);
                }
                _ => {}
            }
        }
        steps
    }

    /// As `masked_crc32c` of tensorboard 2.21.0 gives it.
    #[test]
    fn checksums_are_masked() {
        assert_eq!(masked_crc32c(b"123456789"), 0xc78a_b0e5);
    }

    /// A file is read after those that were there, whatever the clock says.
    #[test]
    fn names_say_the_order() {
        let folder = tempfile::tempdir().unwrap();
        for other in [
            "events.out.tfevents.nonsense",
            "notes.txt",
            "events.out.tfevents.0000000700.node7.1",
        ] {
            std::fs::write(folder.path().join(other), "").unwrap();
        }
        let pid = std::process::id().to_string();
        for (now, seconds) in [(900, "0000000900"), (900, "0000000901"), (800, "0000000902")] {
            let made = EventFile::create(folder.path(), now as f64 + 0.9).unwrap();
            let name = made.path.file_name().unwrap().to_str().unwrap().to_owned();
            let rest = name.strip_prefix("events.out.tfevents.").unwrap();
            assert!(
                rest.starts_with(&format!("{seconds}.")) && rest.ends_with(&format!(".{pid}")),
                "{name}"
            );
        }
    }
}
