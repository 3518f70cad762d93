//! A configuration with an explanation of every key, from the documentation of the fields.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::TrainConfig;

/// Characters of a line of explanation.
const WIDTH: usize = 100;

impl TrainConfig {
    /// The configuration as TOML in which every key is explained, those too that are left out. It reads back as itself.
    pub fn explained(&self) -> String {
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Self>();
        let values = serde_json::to_value(self).unwrap_or_default();
        let mut page = Page::default();
        page.section("", schema.as_value(), values.as_object(), Given::Yes);
        page.text
    }
}

/// Whether a section is part of the configuration, or shown for what it might hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Yes,
    No,
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// The keys of a section, then the sections in it.
    fn section(&mut self, name: &str, schema: &Value, values: Option<&Map<String, Value>>, given: Given) {
        let Some(properties) = object(schema).and_then(|schema| schema["properties"].as_object()) else {
            return;
        };
        let value = |key: &String| {
            values
                .and_then(|values| values.get(key))
                .filter(|value| !value.is_null())
        };
        let (sections, keys): (Vec<_>, Vec<_>) = properties.iter().partition(|(_, schema)| object(schema).is_some());
        for (key, schema) in keys {
            self.explain(schema);
            let default = schema.get("default").filter(|default| !default.is_null());
            match (value(key), default) {
                (Some(value), _) => self.line(&format!("{key} = {}", toml(value)), given),
                (None, Some(default)) => self.line(&format!("{key} = {}", toml(default)), Given::No),
                (None, None) => self.line(&format!("{key} ="), Given::No),
            }
        }
        for (key, schema) in sections {
            let name = match name {
                "" => key.clone(),
                outer => format!("{outer}.{key}"),
            };
            self.text.push('\n');
            self.explain(schema);
            let given = match value(key) {
                Some(_) => given,
                None => Given::No,
            };
            self.line(&format!("[{name}]"), given);
            self.section(&name, schema, value(key).and_then(Value::as_object), given);
        }
    }

    fn line(&mut self, line: &str, given: Given) {
        if given == Given::No {
            self.text.push_str("# ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// What a key is, and what it may be, where that is one of several words.
    fn explain(&mut self, schema: &Value) {
        self.comment("", schema["description"].as_str().unwrap_or_default());
        for choice in choices(schema) {
            if let Some(word) = choice["const"].as_str() {
                let about = choice["description"].as_str().unwrap_or_default();
                self.comment("  ", &format!("\"{word}\": {about}"));
            }
        }
    }

    /// A comment in lines of a readable length, `indent` before each.
    fn comment(&mut self, indent: &str, text: &str) {
        let mut line = String::new();
        for word in plain(text).split(' ') {
            if line.len() + word.len() >= WIDTH {
                self.text.push_str(&format!("# {indent}{}\n", line.trim_end()));
                line.clear();
            }
            line.push_str(word);
            line.push(' ');
        }
        self.text.push_str(&format!("# {indent}{}\n", line.trim_end()));
    }
}

/// The schema of a section, whether it may be left out or not.
fn object(schema: &Value) -> Option<&Value> {
    let of_section = |schema: &&Value| schema["properties"].is_object();
    let any = schema["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    [schema].into_iter().chain(any).find(of_section)
}

/// The words that a key may be.
fn choices(schema: &Value) -> Vec<&Value> {
    let lists = [&schema["oneOf"], &schema["anyOf"]];
    let listed = lists.into_iter().filter_map(Value::as_array).flatten();
    listed
        .flat_map(|schema| match schema["oneOf"].as_array() {
            Some(inner) => inner.iter().collect(),
            None => vec![schema],
        })
        .collect()
}

/// A value in TOML's syntax.
fn toml(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}

/// Documentation without its markup: "see [`settings`](crate::settings)" is "see `settings`".
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        plain.push_str(before);
        let (name, tail) = after.split_once("`]").unwrap_or((after, ""));
        plain.push_str(&format!("`{name}`"));
        rest = match tail.strip_prefix('(').and_then(|tail| tail.split_once(')')) {
            Some((_, tail)) => tail,
            None => tail,
        };
    }
    plain.push_str(rest);
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attention, DynamicsParams, TeacherFilter};

    fn whole() -> TrainConfig {
        let mut config = TrainConfig {
            data: "my data".into(),
            labelled: Some("labelled.csv".into()),
            attention: Some(Attention::to("scores.csv")),
            dynamics: Some(DynamicsParams::default()),
            ..TrainConfig::default()
        };
        config.mean_teacher.filter = Some(TeacherFilter::default());
        config
    }

    /// What is explained reads back as it was, with sections and without.
    #[test]
    fn explanations_are_comments() {
        for config in [TrainConfig::default(), whole()] {
            let text = config.explained();
            assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config, "{text}");
        }
    }

    /// Every key stands there, each below a comment; a section that is left out is shown as one.
    #[test]
    fn every_key_is_explained() {
        let text = TrainConfig::default().explained();
        for key in [
            "setting = \"supervised\"",
            "seed = 0",
            "# precision =",
            "# labelled =",
            "# [attention]",
            "# scores =",
            "[mean_teacher]",
            "# [mean_teacher.filter]",
            "targets = \"refined\"",
            "# [pseudo.leave_out]",
        ] {
            let (before, _) = text
                .split_once(&format!("\n{key}"))
                .unwrap_or_else(|| panic!("{key} is not in\n{text}"));
            assert!(before.lines().last().unwrap().starts_with("# "), "{key}");
        }
        assert!(
            text.contains("\"ellipse\": The ellipse inscribed in the box."),
            "{text}"
        );
        assert!(
            !text.contains("[`") && text.lines().all(|line| line.len() < WIDTH + 20),
            "{text}"
        );
    }
}
