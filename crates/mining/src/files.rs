//! Writing to a temporary name in the same folder, then renaming.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{MiningError, Result};

/// Runs `fill` on a temporary file beside `path` and renames it to `path`; a failure leaves `path` as it was.
pub(crate) fn write_then_rename(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut std::fs::File>) -> std::io::Result<()>,
) -> Result<()> {
    let io = |source| MiningError::Io {
        path: path.to_path_buf(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".htl-").suffix(".tmp");
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666); // less the umask, as for any new file
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    {
        let mut writer = BufWriter::with_capacity(1 << 20, file.as_file_mut());
        fill(&mut writer).map_err(io)?;
        writer.flush().map_err(io)?;
    }
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}
