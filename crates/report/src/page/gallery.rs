use base64::Engine;
use indexmap::IndexMap;
use minijinja::Value;
use serde::Serialize;

use crate::{GalleryItem, Panel, words};

#[derive(Serialize)]
pub(super) struct Group {
    title: String,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    id: String,
    caption: String,
    scores: Vec<(String, String)>,
    panels: Vec<Picture>,
}

#[derive(Serialize)]
struct Picture {
    title: String,
    /// Base64, which needs no escaping.
    data: Value,
    size: Option<(u32, u32)>,
}

pub(super) fn view(items: &[GalleryItem]) -> Vec<Group> {
    let mut groups: IndexMap<&str, Vec<Item>> = IndexMap::new();
    for item in items {
        groups.entry(&item.setting).or_default().push(Item {
            id: item.image_id.clone(),
            caption: item.caption.clone(),
            scores: item
                .scores
                .iter()
                .map(|(name, v)| (words::score(name), score(*v)))
                .collect(),
            panels: item.panels.iter().map(picture).collect(),
        });
    }
    let title = |key: &str| {
        if key.is_empty() {
            String::new()
        } else {
            words::setting(key)
        }
    };
    groups
        .into_iter()
        .map(|(key, items)| Group {
            title: title(key),
            items,
        })
        .collect()
}

/// Which of the outlines with a colour of their own appear, to be explained once.
pub(super) fn outlines(items: &[GalleryItem]) -> Vec<&'static str> {
    let shown = |name: &&str| {
        items
            .iter()
            .flat_map(|i| &i.panels)
            .any(|p| p.title.eq_ignore_ascii_case(name))
    };
    ["truth", "dense", "sparse"].into_iter().filter(shown).collect()
}

fn score(value: f64) -> String {
    if value.is_finite() {
        words::minus(format!("{value:.2}"))
    } else {
        words::UNDEFINED.to_owned()
    }
}

fn picture(panel: &Panel) -> Picture {
    let data = base64::engine::general_purpose::STANDARD.encode(&panel.png);
    Picture {
        title: words::capital(&panel.title),
        data: Value::from_safe_string(data),
        size: png_size(&panel.png),
    }
}

/// Width and height from a PNG's header, so that the page does not jump while it is laid out.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    png.starts_with(b"\x89PNG\r\n\x1a\n")
        .then(|| Some((number(16)?, number(20)?)))?
}
