//! The keys of a training's configuration, as a campaign writes them.

use crate::plan::Value;

/// What an earlier mining wrote.
pub(super) const MINED: [&str; 2] = ["$scores", "$maps"];
/// Nothing: the training makes scores of its own.
pub(super) const OWN: &str = "$own";
/// What was planted.
pub(super) const PLANTED: [&str; 2] = ["$planted", "$parity"];

/// What is wrong with mined pseudo-masks.
pub(super) const TRUTH: [&str; 2] = ["$true-scores", "$true-maps"];

/// Words that stand for something of the scenario.
fn words() -> impl Iterator<Item = &'static str> {
    MINED.into_iter().chain(TRUTH).chain(PLANTED).chain([OWN])
}

/// A configuration as dotted keys.
pub(super) fn dotted(train: &toml::Table) -> Result<Vec<(String, Value)>, String> {
    let mut keys = Vec::new();
    for (key, value) in train {
        let value = match value {
            toml::Value::Table(table) => {
                let inner = dotted(table)?;
                keys.extend(inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
                continue;
            }
            toml::Value::String(text) if text.starts_with('$') && !words().any(|word| word == text) => {
                return Err(format!(
                    "`{text}` stands for nothing: there are {}",
                    words().collect::<Vec<_>>().join(", ")
                ));
            }
            toml::Value::String(text) => Value::Text(text.clone()),
            toml::Value::Integer(number) => Value::Integer(*number),
            toml::Value::Float(number) => Value::Float(*number),
            other => return Err(format!("`{key}` is a text or a number, found {other}")),
        };
        keys.push((key.clone(), value));
    }
    Ok(keys)
}

/// The scenario's own scores and maps, where a section that needs them names none.
pub(super) fn with_defaults(train: &toml::Table) -> toml::Table {
    let mut train = train.clone();
    let mut usual = |section: &str, inner: Option<&str>, key: &str, word: &str| {
        let table = train.get_mut(section).and_then(toml::Value::as_table_mut);
        let table = match inner {
            None => table,
            Some(inner) => table.and_then(|table| table.get_mut(inner)?.as_table_mut()),
        };
        if let Some(table) = table {
            table.entry(key).or_insert_with(|| word.into());
        }
    };
    usual("attention", None, "scores", "$scores");
    usual("pseudo", None, "maps", "$maps");
    usual("pseudo", Some("leave_out"), "scores", "$scores");
    train
}

/// Whether a value is one of these words.
pub(super) fn mentions(train: &toml::Table, words: &[&str]) -> bool {
    train.values().any(|value| match value {
        toml::Value::Table(table) => mentions(table, words),
        toml::Value::String(text) => words.contains(&text.as_str()),
        _ => false,
    })
}

/// One table with the keys of another on top.
pub(super) fn merged(below: &toml::Table, above: &toml::Table) -> toml::Table {
    let mut merged = below.clone();
    for (key, value) in above {
        let value = match (merged.get(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => self::merged(below, above).into(),
            _ => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    merged
}
