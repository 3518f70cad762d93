//! `--set key=value`.

/// Most parts of a dotted key; no key of a configuration has as many.
const MOST_PARTS: usize = 8;

/// Puts `key=value` into a table: a dotted key, and a value in TOML's syntax or a bare string.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn apply(table: &mut toml::Table, item: &str) -> Result<(), String> {
    let (key, value) = item.split_once('=').ok_or("expected key=value")?;
    let value = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    // No further than one part too many: the key may be of any length.
    let parts: Vec<&str> = key.trim().split('.').take(MOST_PARTS + 1).collect();
    if parts.len() > MOST_PARTS {
        return Err(format!("a key has at most {MOST_PARTS} parts"));
    }
    insert(table, &parts, value)
}

fn insert(table: &mut toml::Table, parts: &[&str], value: toml::Value) -> Result<(), String> {
    match parts {
        [] => Ok(()),
        [key] => {
            table.insert((*key).to_owned(), value);
            Ok(())
        }
        [head, rest @ ..] => {
            match table
                .entry((*head).to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            {
                toml::Value::Table(inner) => insert(inner, rest, value),
                _ => Err(format!("`{head}` is not a section")),
            }
        }
    }
}
