use std::io::Write;
use std::path::Path;

use crate::ReportError;

/// Writes under a temporary name in the same folder, then renames: a reader sees the old bytes or the new, never half.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let fail = |action: &'static str| {
        move |source| ReportError::Io {
            path: path.to_owned(),
            action,
            source,
        }
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail("write"))?;
    file.write_all(bytes).map_err(fail("write"))?;
    file.as_file().sync_all().map_err(fail("write"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; results are to be shared.
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .map_err(fail("write"))?;
    }
    file.persist(path).map_err(|e| fail("rename into place")(e.error))?;
    Ok(())
}
