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
    /// Anchor of the card.
    anchor: String,
    id: String,
    caption: String,
    scores: Vec<(String, String)>,
    panels: Vec<Picture>,
}

#[derive(Serialize)]
struct Picture {
    /// Anchor under which the picture is shown large.
    anchor: String,
    title: String,
    /// Outlines of which there was nothing to draw.
    empty: Vec<String>,
    /// Base64, which needs no escaping.
    data: Value,
    size: Option<(u32, u32)>,
}

/// What an outline's colour stands for.
#[derive(Serialize)]
pub(super) struct Swatch {
    name: String,
    colour: String,
}

/// Cards by setting; `prefix` tells the anchors of this gallery from those of others.
pub(super) fn view(prefix: &str, items: &[GalleryItem]) -> Vec<Group> {
    let mut groups: IndexMap<&str, Vec<Item>> = IndexMap::new();
    for (number, item) in items.iter().enumerate() {
        let anchor = format!("{prefix}-{}", number + 1);
        let panels = item.panels.iter().enumerate();
        let panels = panels.map(|(place, panel)| picture(panel, format!("{anchor}-{}", place + 1)));
        groups.entry(&item.setting).or_default().push(Item {
            id: item.image_id.clone(),
            caption: item.caption.clone(),
            scores: item
                .scores
                .iter()
                .map(|(name, v)| (words::score(name), words::two_decimals(Some(*v))))
                .collect(),
            panels: panels.collect(),
            anchor,
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

/// The outlines that appear, to be explained once.
pub(super) fn outlines(items: &[GalleryItem]) -> Vec<Swatch> {
    let mut known: IndexMap<&str, [u8; 3]> = IndexMap::new();
    for outline in items
        .iter()
        .flat_map(|item| &item.panels)
        .flat_map(|panel| &panel.outlines)
    {
        known.entry(&outline.name).or_insert(outline.colour.0);
    }
    let swatch = |(name, [r, g, b]): (&str, [u8; 3])| Swatch {
        name: name.to_owned(),
        colour: format!("#{r:02x}{g:02x}{b:02x}"),
    };
    known.into_iter().map(swatch).collect()
}

fn picture(panel: &Panel, anchor: String) -> Picture {
    let empty = panel.outlines.iter().filter(|outline| outline.empty);
    let data = base64::engine::general_purpose::STANDARD.encode(&panel.png);
    Picture {
        anchor,
        title: words::capital(&panel.title),
        empty: empty.map(|outline| outline.name.clone()).collect(),
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
